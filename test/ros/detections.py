"""Detections of a table, as the pose node publishes them, and messages that nobody should send."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from std_msgs.msg import Header
from vision_msgs.msg import Detection3D, Detection3DArray

from clipose_ros.ros.conversions import ros_stamp
from clipose_ros.ros.messages import ObjectMessages
from clipose_ros.types import FloatArray, TrackedObject

START_NS = 1_000_000_000_000
CERTAIN = np.diag([1e-6] * 3 + [1e-4] * 3)
R_UPRIGHT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
SIZES = {"can": (0.066, 0.12, 0.066), "bowl": (0.16, 0.07, 0.16), "mug": (0.1, 0.09, 0.068), "laptop": (0.3, 0.2, 0.3)}


def track(category: str, xy: Sequence[float], number: int = 1, covariance: FloatArray = CERTAIN) -> TrackedObject:
    """An object that stands on the plane z = 0 of the frame ``world``."""
    T = np.eye(4)
    T[:3, :3] = R_UPRIGHT
    T[:3, 3] = *xy, 0.5 * SIZES[category][1]
    size = np.array(SIZES[category])
    return TrackedObject(number, category, T, size, 0.9, covariance, 1.0, seen=True)


def detections(tracks: Sequence[TrackedObject], stamp_ns: int = START_NS, frame_id: str = "world") -> Detection3DArray:
    """The message of a frame."""
    messages = ObjectMessages()
    messages.fill(Header(stamp=ros_stamp(stamp_ns), frame_id=frame_id), tracks, "")
    return messages.detections


def garbage(stamp_ns: int = START_NS) -> dict[str, Detection3DArray]:
    """Messages that are wrong in one way each."""

    def changed(change) -> Detection3DArray:
        message = detections([track("can", (0.5, 0.0))], stamp_ns)
        change(message.detections[0])
        return message

    def nan_covariance(item: Detection3D) -> None:
        item.results[0].pose.covariance = np.full(36, np.nan)

    def negative_covariance(item: Detection3D) -> None:
        item.results[0].pose.covariance = np.full(36, -1.0)

    def huge(item: Detection3D) -> None:
        item.results[0].pose.covariance = np.full(36, 1e300)
        item.bbox.center.position.x = 1e300

    def zero_size(item: Detection3D) -> None:
        item.bbox.size.x = item.bbox.size.y = item.bbox.size.z = 0.0

    def negative_size(item: Detection3D) -> None:
        item.bbox.size.y = -0.1

    def infinite_size(item: Detection3D) -> None:
        item.bbox.size.z = np.inf

    def zero_quaternion(item: Detection3D) -> None:
        turn = item.bbox.center.orientation
        turn.x = turn.y = turn.z = turn.w = 0.0

    def no_result(item: Detection3D) -> None:
        item.results = []

    def strange_names(item: Detection3D) -> None:
        item.id = item.results[0].hypothesis.class_id = "\n\x1b[31m" * 1000

    changes = (
        *(nan_covariance, negative_covariance, huge, zero_size, negative_size, infinite_size, zero_quaternion),
        *(no_result, strange_names),
    )
    messages = {change.__name__: changed(change) for change in changes}
    messages["no_stamp"] = detections([track("can", (0.5, 0.0))], 0)
    messages["no_frame"] = detections([track("can", (0.5, 0.0))], stamp_ns, "")
    messages["foreign_frame"] = detections([track("can", (0.5, 0.0))], stamp_ns, "mars")
    messages["long_frame"] = detections([track("can", (0.5, 0.0))], stamp_ns, "m" * 100_000)
    messages["future"] = detections([track("can", (0.5, 0.0))], 2_000_000_000_000_000_000)
    crowd = detections([track("can", (0.5, 0.0))], stamp_ns)
    crowd.detections = list(crowd.detections) * 10_000
    messages["crowd"] = crowd
    return messages
