"""Transforms from TF at a frame's own stamp."""

from __future__ import annotations

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener

from clipose_ros.errors import DegenerateInputError, FrameError
from clipose_ros.ros.conversions import read_transform
from clipose_ros.types import FloatArray


class Transforms:
    """Listens to TF. Lives from configuration to clean-up, so that it knows the static transforms when frames come.

    Args:
        node: It listens.
        frames: The frames that are looked up. Where all are empty, nothing is subscribed: every transform of the robot
            would be read for nothing.
    """

    def __init__(self, node: Node, *frames: str) -> None:
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node) if any(frames) else None

    def lookup(self, target: str, source: str, stamp_ns: int, timeout_s: float, parameter: str) -> FloatArray:
        """``T_target_source`` ``(4, 4)`` at a stamp; ``parameter`` is the setting that named the target.

        Raises:
            FrameError: TF does not know it, within the time given.
        """
        if target == source:
            return np.eye(4)
        try:
            stamped = self._buffer.lookup_transform(
                target, source, Time(nanoseconds=stamp_ns), timeout=Duration(seconds=timeout_s)
            )
            return read_transform(stamped.transform.translation, stamped.transform.rotation)
        except (TransformException, DegenerateInputError) as error:
            raise FrameError(
                f"no transform on '/tf' from the camera's frame '{source}' to '{target}' ({parameter}) at the image's "
                f"stamp: {error}: nothing is published meanwhile; publish the transform, or set {parameter} to a "
                "frame there is, or to ''"
            ) from error

    def clear(self) -> None:
        """Forget moving transforms, as after a jump of time: TF refuses what is much older than what it holds."""
        self._buffer.clear()

    def close(self) -> None:
        """Give the subscriptions back."""
        if self._listener is not None:
            self._listener.unregister()
