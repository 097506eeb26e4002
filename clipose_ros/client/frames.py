"""Detections in other frames of TF."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener

from clipose_ros.client.deadline import Deadline
from clipose_ros.client.errors import PoseClientError
from clipose_ros.client.objects import DetectedObjects
from clipose_ros.errors import DegenerateInputError, one_line, quoted
from clipose_ros.geometry.se3 import make_transform, rotation_from_quat_xyzw


class FrameLookup:
    """Subscription to TF.

    Args:
        node: Node that subscribes. Another thread must spin it, since lookups wait.
    """

    def __init__(self, node: Node) -> None:
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node)

    def transform(self, detected: DetectedObjects, frame: str, deadline: Deadline) -> DetectedObjects:
        """Return detections in another frame, with the transform at the stamp of the image.

        Raises:
            PoseClientError: TF has no such transform.
        """
        if frame == detected.frame_id:
            return detected
        timeout = Duration(nanoseconds=round(1e9 * deadline.left_s))
        try:
            found = self._buffer.lookup_transform(
                frame, detected.frame_id, Time(nanoseconds=detected.stamp_ns), timeout=timeout
            )
            moved, turn = found.transform.translation, found.transform.rotation
            R = rotation_from_quat_xyzw([turn.x, turn.y, turn.z, turn.w])
        except (TransformException, DegenerateInputError) as error:
            raise PoseClientError(
                f"no transform on '/tf' from {quoted(detected.frame_id)} to {quoted(frame)} at the stamp of the image: "
                f"{one_line(str(error))[:300]}: publish it, or use another frame"
            ) from error
        return detected.transformed(frame, make_transform(R, (moved.x, moved.y, moved.z)))
