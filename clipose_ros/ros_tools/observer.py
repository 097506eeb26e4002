"""Node that records the published images and poses of a camera and a pose node."""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import Detection3D, Detection3DArray

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.evaluation.runs.live_statistics import (
    LiveError,
    LiveStatistics,
    LiveSummary,
    PublishedObject,
    TrueObject,
    match_errors,
)
from clipose_ros.ros.conversions import read_color, read_transform, stamp_ns
from clipose_ros.ros_tools.synthetic_camera import HANDLE_VISIBLE
from clipose_ros.types import ByteArray, FloatArray

_TRUTHS_KEPT = 300  # frames whose truth waits for its poses
_QUEUE = QoSProfile(depth=200, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One object of the newest answer: what was published, since when it is known, and its error where the truth is."""

    seen: PublishedObject
    age_s: float
    error: LiveError | None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An annotated image ``(H, W, 3)`` uint8, R G B, its stamp, and how many objects were published with it."""

    rgb: ByteArray
    stamp_ns: int
    objects: int


class Observer(Node):
    """Subscribes to a camera, to a pose node and to the truth where there is one. Spin it in a thread of its own.

    Args:
        pose_node: Name of the pose node.
        categories: Where symmetries come from.
        pictures: Whether to subscribe to the annotated image, which the node draws only where somebody does.
    """

    def __init__(
        self, pose_node: str = "pose_node", categories: CategorySet = NOCS_CATEGORIES, pictures: bool = True
    ) -> None:
        super().__init__("observer")
        self._categories = categories
        self._lock = threading.Lock()
        self._statistics = LiveStatistics()
        self._truths: OrderedDict[int, list[TrueObject]] = OrderedDict()
        self._born_ns: dict[str, int] = {}
        self._rows: list[Row] = []
        self._answered_ns = 0
        self.pictures: queue.Queue[Picture] = queue.Queue(maxsize=8)
        self.create_subscription(CameraInfo, "rgb/camera_info", self._on_info, _QUEUE)
        self.create_subscription(Detection3DArray, "truth/detections", self._on_truth, _QUEUE)
        self.create_subscription(Detection3DArray, f"{pose_node}/detections", self._on_detections, 50)
        if pictures:
            self.create_subscription(Image, f"{pose_node}/debug_image", self._on_picture, _QUEUE)

    def begin(self) -> None:
        """Reset the statistics to start a measurement."""
        with self._lock:
            self._statistics = LiveStatistics()

    @property
    def answered(self) -> bool:
        """Return True if the pose node has published detections, even an empty list."""
        return self._answered_ns > 0

    def rows(self) -> list[Row]:
        """Return the objects of the newest detections."""
        with self._lock:
            return list(self._rows)

    def summary(self) -> LiveSummary:
        """Return the statistics since ``begin``."""
        with self._lock:
            return self._statistics.summary()

    def _on_info(self, message: CameraInfo) -> None:
        with self._lock:
            self._statistics.add_frame(stamp_ns(message.header.stamp))

    def _on_truth(self, message: Detection3DArray) -> None:
        with self._lock:
            self._truths[stamp_ns(message.header.stamp)] = [_true_object(detection) for detection in message.detections]
            while len(self._truths) > _TRUTHS_KEPT:
                self._truths.popitem(last=False)

    def _on_detections(self, message: Detection3DArray) -> None:
        received_ns, stamp = time.time_ns(), stamp_ns(message.header.stamp)
        seen = [_seen_object(detection) for detection in message.detections]
        with self._lock:
            truths = self._truths.pop(stamp, None)
            errors = [None] * len(seen) if truths is None else match_errors(seen, truths, self._categories)
            self._statistics.add_answer(stamp, received_ns, seen)
            self._statistics.add_errors(seen, errors)
            self._answered_ns = stamp
            self._rows = [
                Row(item, 1e-9 * (stamp - self._born_ns.setdefault(item.name, stamp)), error)
                for item, error in zip(seen, errors, strict=True)
            ]

    def _on_picture(self, message: Image) -> None:
        picture = Picture(read_color(message, "debug_image"), stamp_ns(message.header.stamp), len(self._rows))
        if self.pictures.full():  # whoever writes the film is late: the newest picture is worth more than the oldest
            self.pictures.get_nowait()
        self.pictures.put_nowait(picture)


def _seen_object(detection: Detection3D) -> PublishedObject:
    hypothesis, size = detection.results[0].hypothesis, detection.bbox.size
    extent = np.array([size.x, size.y, size.z])
    return PublishedObject(detection.id, hypothesis.class_id, _pose(detection), extent, hypothesis.score)


def _true_object(detection: Detection3D) -> TrueObject:
    scores = {result.hypothesis.class_id: result.hypothesis.score for result in detection.results}
    category = detection.results[0].hypothesis.class_id
    return TrueObject(category, _pose(detection), scores.get(HANDLE_VISIBLE, 1.0) > 0.5)


def _pose(detection: Detection3D) -> FloatArray:
    return read_transform(detection.bbox.center.position, detection.bbox.center.orientation)
