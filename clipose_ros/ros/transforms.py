"""Lookup of TF transforms at the stamp of a frame."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener

from clipose_ros.decoding.messages import stamp_ns
from clipose_ros.decoding.transforms import find_transform_fault
from clipose_ros.errors import DegenerateInputError, FrameError, one_line, quoted
from clipose_ros.ros.clock_check import MAX_AGE_S
from clipose_ros.ros.conversions import read_transform
from clipose_ros.types import FloatArray

_MAX_FRAMES = 10_000


class _BoundedBuffer(Buffer):
    """Buffer that refuses transforms without a usable value, with long names, or of too many frames.

    tf2 keeps the name of every frame for ever, and logs each transform that it refuses, with its name. Its own lookup
    polls every 20 ms for a transform that is yet to come; ``wait_for_next`` returns as soon as one is stored.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__()
        self._report = report
        self._children: set[str] = set()
        self._stored = threading.Condition()
        self.count = 0  # of the transforms passed on to tf2 so far

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Store a transform that holds at its stamp, if it is usable."""
        if self._is_usable(transform):
            super().set_transform(transform, authority)
            self._notify_stored()

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Store a transform that holds at all times, if it is usable."""
        if self._is_usable(transform):
            super().set_transform_static(transform, authority)
            self._notify_stored()

    def wait_for_next(self, count: int, timeout_s: float) -> bool:
        """Wait until more than ``count`` transforms have been stored; return False after the timeout."""
        with self._stored:
            return self._stored.wait_for(lambda: self.count > count, timeout_s)

    def _notify_stored(self) -> None:
        with self._stored:
            self.count += 1
            self._stored.notify_all()

    def _is_usable(self, transform: TransformStamped) -> bool:
        fault = self._find_fault(transform)
        if fault is not None:
            self._report(
                f"a transform of {quoted(transform.child_frame_id)} in {quoted(transform.header.frame_id)} on '/tf' is "
                f"ignored: {fault}"
            )
        return fault is None

    def _find_fault(self, transform: TransformStamped) -> str | None:
        fault = find_transform_fault(transform)
        if fault is not None:
            return fault
        child = transform.child_frame_id
        self._children.add(child)
        if len(self._children) > _MAX_FRAMES:
            self._children.discard(child)
            return f"there are {_MAX_FRAMES} frames already"
        return None


class Transforms:
    """Buffer of TF from configuration to clean-up, so that static transforms are known when frames arrive.

    Args:
        node: Node that subscribes to TF.
        frames: Target frames of lookups. If all are empty, TF is not subscribed to.
        report: Receives the reason why a received transform is ignored.
    """

    def __init__(self, node: Node, *frames: str, report: Callable[[str], None] = lambda reason: None) -> None:
        self._buffer = _BoundedBuffer(report)
        self._listener = TransformListener(self._buffer, node) if any(frames) else None

    def lookup(self, target: str, source: str, stamp: int, timeout_s: float, parameter: str) -> FloatArray:
        """Return ``T_target_source`` ``(4, 4)`` at a stamp.

        Args:
            target: Target frame.
            source: Source frame.
            stamp: Time of the transform, nanoseconds.
            timeout_s: Longest wait, seconds.
            parameter: Name of the parameter that holds the target, for the error message.

        Raises:
            FrameError: TF has no such transform within the timeout.
        """
        if target == source:  # a camera without TF needs no transform
            return np.eye(4)
        try:
            stamped = self._wait_for(target, source, Time(nanoseconds=stamp), time.monotonic() + timeout_s)
            return read_transform(stamped.transform.translation, stamped.transform.rotation)
        except (TransformException, DegenerateInputError) as error:
            clocks = self._describe_other_clock(target, source, stamp)
            raise FrameError(
                f"no transform on '/tf' from the camera's frame {quoted(source)} to '{target}' ({parameter}) at the "
                f"image's stamp: {one_line(str(error))[:300]}; nothing is published without it: publish the transform, "
                f"or set {parameter} to an existing frame, or to ''{clocks}"
            ) from error

    def _wait_for(self, target: str, source: str, stamp: Time, end_s: float) -> TransformStamped:
        """Look up a transform, again whenever another one has arrived, until ``end_s`` of the monotonic clock."""
        while True:
            count = self._buffer.count  # before the lookup: what arrives after it is not missed
            try:
                return self._buffer.lookup_transform(target, source, stamp)
            except TransformException:
                remaining_s = end_s - time.monotonic()
                if remaining_s <= 0.0 or not self._buffer.wait_for_next(count, remaining_s):
                    raise

    def _describe_other_clock(self, target: str, source: str, stamp: int) -> str:
        """Return that the stamps of transforms and image are of different clocks, if they are; otherwise ''."""
        try:
            newest = stamp_ns(self._buffer.lookup_transform(target, source, Time()).header.stamp)
        except TransformException:
            return ""
        if newest == 0 or abs(newest - stamp) < MAX_AGE_S * 1e9:
            return ""
        return (
            f"; the newest transform is of {newest * 1e-9:.3f} s and the image of {stamp * 1e-9:.3f} s, which are "
            "different clocks: set use_sim_time in all nodes or in none, and play recordings with --clock"
        )

    def clear(self) -> None:
        """Clear moving transforms, as after a time jump: TF rejects transforms much older than those it holds."""
        self._buffer.clear()

    def close(self) -> None:
        """Unsubscribe from TF."""
        if self._listener is not None:
            self._listener.unregister()
