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
from clipose_ros.decoding.images import read_color
from clipose_ros.decoding.messages import stamp_ns
from clipose_ros.evaluation.runs.live_statistics import (
    LiveError,
    LiveStatistics,
    LiveSummary,
    PublishedObject,
    TrueObject,
    match_errors,
)
from clipose_ros.ros.conversions import read_transform
from clipose_ros.types import HANDLE_VISIBLE, ByteArray, FloatArray

_MAX_TRUTHS = 300  # true poses of this many frames are kept until the frame's detections arrive
_QUEUE = QoSProfile(depth=200, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass(frozen=True, slots=True, eq=False)
class ObservedObject:
    """One object of the newest detections.

    Attributes:
        published: Published pose, size and score.
        age_s: Time since the first detection under this name, seconds.
        error: Difference from the true pose; None if no true object matches.
    """

    published: PublishedObject
    age_s: float
    error: LiveError | None


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedImage:
    """Debug image of the pose node.

    Attributes:
        rgb: ``(H, W, 3)`` uint8, R G B.
        stamp_ns: Stamp of the image, nanoseconds.
        object_count: Number of objects of the newest detections.
    """

    rgb: ByteArray
    stamp_ns: int
    object_count: int


class Observer(Node):
    """Subscriber to a camera, a pose node and, if they are published, true poses. Spin it in a separate thread.

    Args:
        pose_node: Name of the pose node.
        categories: Categories with the symmetries that errors are computed with.
        debug_images: Subscribe to the debug image; the node draws it only for subscribers.

    Attributes:
        images: Newest debug images; the oldest is dropped when the queue is full.
    """

    def __init__(
        self, pose_node: str = "pose_node", categories: CategorySet = NOCS_CATEGORIES, debug_images: bool = True
    ) -> None:
        super().__init__("observer")
        self._categories = categories
        self._lock = threading.Lock()
        self._statistics = LiveStatistics()
        self._truths: OrderedDict[int, list[TrueObject]] = OrderedDict()
        self._first_stamp_ns: dict[str, int] = {}
        self._objects: list[ObservedObject] = []
        self._newest_ns = 0
        self.images: queue.Queue[AnnotatedImage] = queue.Queue(maxsize=8)
        self.create_subscription(CameraInfo, "rgb/camera_info", self._on_info, _QUEUE)
        self.create_subscription(Detection3DArray, "truth/detections", self._on_truth, _QUEUE)
        self.create_subscription(Detection3DArray, f"{pose_node}/detections", self._on_detections, 50)
        if debug_images:
            self.create_subscription(Image, f"{pose_node}/debug_image", self._on_image, _QUEUE)

    def reset_statistics(self) -> None:
        """Start a new measurement."""
        with self._lock:
            self._statistics = LiveStatistics()

    @property
    def has_detections(self) -> bool:
        """Return True if the pose node has published detections, even an empty list."""
        return self._newest_ns > 0

    def objects(self) -> list[ObservedObject]:
        """Return the objects of the newest detections."""
        with self._lock:
            return list(self._objects)

    def summary(self) -> LiveSummary:
        """Return the statistics since ``reset_statistics``."""
        with self._lock:
            return self._statistics.summary()

    def _on_info(self, message: CameraInfo) -> None:
        with self._lock:
            self._statistics.add_frame(stamp_ns(message.header.stamp))

    def _on_truth(self, message: Detection3DArray) -> None:
        with self._lock:
            self._truths[stamp_ns(message.header.stamp)] = [_true_object(detection) for detection in message.detections]
            while len(self._truths) > _MAX_TRUTHS:
                self._truths.popitem(last=False)

    def _on_detections(self, message: Detection3DArray) -> None:
        received_ns, stamp = time.time_ns(), stamp_ns(message.header.stamp)
        published = [_published_object(detection) for detection in message.detections]
        with self._lock:
            truths = self._truths.pop(stamp, None)
            errors = [None] * len(published) if truths is None else match_errors(published, truths, self._categories)
            self._statistics.add_answer(stamp, received_ns, published)
            self._statistics.add_errors(published, errors)
            self._newest_ns = stamp
            self._objects = [
                ObservedObject(item, 1e-9 * (stamp - self._first_stamp_ns.setdefault(item.name, stamp)), error)
                for item, error in zip(published, errors, strict=True)
            ]

    def _on_image(self, message: Image) -> None:
        rgb = read_color(message, "debug_image")
        if self.images.full():  # a slow reader gets the newest images
            self.images.get_nowait()
        self.images.put_nowait(AnnotatedImage(rgb, stamp_ns(message.header.stamp), len(self._objects)))


def _published_object(detection: Detection3D) -> PublishedObject:
    hypothesis, size = detection.results[0].hypothesis, detection.bbox.size
    extent = np.array([size.x, size.y, size.z])
    return PublishedObject(detection.id, hypothesis.class_id, _pose(detection), extent, hypothesis.score)


def _true_object(detection: Detection3D) -> TrueObject:
    scores = {result.hypothesis.class_id: result.hypothesis.score for result in detection.results}
    category = detection.results[0].hypothesis.class_id
    return TrueObject(category, _pose(detection), scores.get(HANDLE_VISIBLE, 1.0) > 0.5)


def _pose(detection: Detection3D) -> FloatArray:
    return read_transform(detection.bbox.center.position, detection.bbox.center.orientation)
