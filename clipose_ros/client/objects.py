"""Detected objects as frozen values, read from ``~/detections``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from vision_msgs.msg import Detection3D, Detection3DArray

from clipose_ros.errors import DegenerateInputError
from clipose_ros.geometry.se3 import make_transform, rotate_covariance, rotation_from_quat_xyzw
from clipose_ros.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class DetectedObject:
    """One object.

    Attributes:
        name: Name of the track, such as ``mug_3``; stable over frames.
        category: Name of the category.
        score: Score in 0 to 1.
        T_frame_object: ``(4, 4)`` pose in the frame of ``DetectedObjects``, metres.
        size: ``(3,)`` full extent along the axes of the object, metres.
        covariance: ``(6, 6)`` of (x, y, z, turn about X, Y, Z) about the fixed axes of the frame.
    """

    name: str
    category: str
    score: float
    T_frame_object: FloatArray
    size: FloatArray
    covariance: FloatArray

    @property
    def position(self) -> FloatArray:
        """Return the centre of the box ``(3,)``, metres."""
        return self.T_frame_object[:3, 3]


@dataclass(frozen=True, slots=True, eq=False)
class DetectedObjects:
    """Objects of one image.

    Attributes:
        stamp_ns: Stamp of the image and of its messages on ``~/detections``, nanoseconds.
        frame_id: Frame of the poses.
        objects: Objects in the order of the message.
    """

    stamp_ns: int
    frame_id: str
    objects: tuple[DetectedObject, ...]

    def __len__(self) -> int:
        return len(self.objects)

    def __iter__(self) -> Iterator[DetectedObject]:
        return iter(self.objects)

    def select(self, category: str = "", min_score: float = 0.0) -> DetectedObjects:
        """Return the objects of a category (empty: any) with at least a score, the best first."""
        chosen = [item for item in self.objects if category in ("", item.category) and item.score >= min_score]
        return replace(self, objects=tuple(sorted(chosen, key=lambda item: -item.score)))

    def transformed(self, frame_id: str, T_frame_source: FloatArray) -> DetectedObjects:
        """Return the objects in another frame.

        Args:
            frame_id: Name of the other frame.
            T_frame_source: ``(4, 4)`` transform from the present frame to the other one.
        """
        moved = [
            replace(
                item,
                T_frame_object=T_frame_source @ item.T_frame_object,
                covariance=rotate_covariance(item.covariance, T_frame_source[:3, :3]),
            )
            for item in self.objects
        ]
        return replace(self, frame_id=frame_id, objects=tuple(moved))


def read_detections(message: Detection3DArray) -> DetectedObjects:
    """Convert a message of ``~/detections``; detections without a result or finite values are left out."""
    stamp, frame_id = message.header.stamp, message.header.frame_id
    objects = [item for detection in message.detections if (item := _read_detection(detection)) is not None]
    return DetectedObjects(int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec), str(frame_id), tuple(objects))


def _read_detection(detection: Detection3D) -> DetectedObject | None:
    if not detection.results:
        return None
    result, box = detection.results[0], detection.bbox
    center, turn, extent = box.center.position, box.center.orientation, box.size
    position, size = np.array([center.x, center.y, center.z]), np.array([extent.x, extent.y, extent.z])
    score, covariance = float(result.hypothesis.score), np.array(result.pose.covariance, np.float64).reshape(6, 6)
    if not all(np.isfinite(values).all() for values in (position, size, score, covariance)):
        return None
    try:
        R = rotation_from_quat_xyzw([turn.x, turn.y, turn.z, turn.w])
    except DegenerateInputError:
        return None
    return DetectedObject(
        str(detection.id), str(result.hypothesis.class_id), score, make_transform(R, position), size, covariance
    )
