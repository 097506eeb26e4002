"""Lookup of TF transforms at the stamp of a frame."""

from __future__ import annotations

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener

from clipose_ros.errors import DegenerateInputError, FrameError
from clipose_ros.ros.clock_check import describe_other_clock
from clipose_ros.ros.conversions import read_transform
from clipose_ros.types import FloatArray


class Transforms:
    """Buffer of TF from configuration to clean-up, so that static transforms are known when frames arrive.

    Args:
        node: Node that subscribes to TF.
        frames: Target frames of lookups. If all are empty, TF is not subscribed to.
    """

    def __init__(self, node: Node, *frames: str) -> None:
        self._node = node
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node) if any(frames) else None

    def lookup(self, target: str, source: str, stamp_ns: int, timeout_s: float, parameter: str) -> FloatArray:
        """Return ``T_target_source`` ``(4, 4)`` at a stamp.

        Args:
            target: Target frame.
            source: Source frame.
            stamp_ns: Time of the transform, nanoseconds.
            timeout_s: Longest wait, seconds.
            parameter: Name of the parameter that holds the target, for the error message.

        Raises:
            FrameError: TF has no such transform within the timeout.
        """
        if target == source:  # a camera without TF needs no transform
            return np.eye(4)
        try:
            stamped = self._buffer.lookup_transform(
                target, source, Time(nanoseconds=stamp_ns), timeout=Duration(seconds=timeout_s)
            )
            return read_transform(stamped.transform.translation, stamped.transform.rotation)
        except (TransformException, DegenerateInputError) as error:
            hint = describe_other_clock(self._node, stamp_ns)
            raise FrameError(
                f"no transform on '/tf' from the camera's frame '{source}' to '{target}' ({parameter}) at the image's "
                f"stamp: {error}; nothing is published without it: publish the transform, or set {parameter} to "
                f"an existing frame, or to ''{f'; {hint}' if hint else ''}"
            ) from error

    def clear(self) -> None:
        """Clear moving transforms, as after a time jump: TF rejects transforms much older than those it holds."""
        self._buffer.clear()

    def close(self) -> None:
        """Unsubscribe from TF."""
        if self._listener is not None:
            self._listener.unregister()
