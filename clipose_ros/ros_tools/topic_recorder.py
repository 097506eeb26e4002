"""Recorder of the topics of a camera and a pose node into an MCAP recording."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from geometry_msgs.msg import PoseArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from clipose_ros.data.bags.writer import BagWriter
from clipose_ros.decoding.messages import INPUT_TOPICS
from clipose_ros.ros.shutdown import until_shutdown

_DEPTH = 200  # a queue of several seconds, while the disk is busy
_CAMERA = QoSProfile(depth=_DEPTH, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
_RELIABLE = QoSProfile(depth=_DEPTH)
_LATCHED = QoSProfile(depth=_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class TopicRecorder(Node):
    """Subscriber that writes messages as they arrive, without decoding them.

    Args:
        writer: Writer of the recording.
        pose_node: Name of the pose node.

    Attributes:
        written: Number of messages by topic.
    """

    def __init__(self, writer: BagWriter, pose_node: str = "pose_node") -> None:
        super().__init__("topic_recorder")
        self._writer = writer
        self.written: dict[str, int] = {}
        topics: list[tuple[type[Any], str, QoSProfile]] = [
            (Image, INPUT_TOPICS.color, _CAMERA),
            (Image, INPUT_TOPICS.depth, _CAMERA),
            (CameraInfo, INPUT_TOPICS.info, _CAMERA),
            (Image, INPUT_TOPICS.labels, _CAMERA),
            (Detection3DArray, "truth/detections", _CAMERA),
            (TFMessage, "/tf", _RELIABLE),
            (TFMessage, "/tf_static", _LATCHED),
            (Detection3DArray, f"{pose_node}/detections", _RELIABLE),
            (PoseArray, f"{pose_node}/poses", _RELIABLE),
            (MarkerArray, f"{pose_node}/markers", _RELIABLE),
        ]
        for kind, topic, qos in topics:
            name = self.resolve_topic_name(topic)
            package = kind.__module__.partition(".")[0]
            callback = partial(self._on_message, name, f"{package}/msg/{kind.__name__}")
            self.create_subscription(kind, topic, callback, qos, raw=True)

    def _on_message(self, topic: str, kind: str, data: bytes) -> None:
        self._writer.write(topic, kind, self.get_clock().now().nanoseconds, data)
        self.written[topic] = self.written.get(topic, 0) + 1


@contextmanager
def recorded_topics(folder: Path) -> Iterator[TopicRecorder]:
    """Record the topics until the context ends; rclpy must be initialised.

    Args:
        folder: Folder of the recording; an earlier one in it is replaced.

    Raises:
        DataError: The folder cannot be written.
    """
    with BagWriter(folder) as writer:
        recorder, executor = TopicRecorder(writer), SingleThreadedExecutor()
        executor.add_node(recorder)

        def spin() -> None:
            with until_shutdown(recorder.context):
                executor.spin()

        thread = threading.Thread(target=spin, name="topic_recorder", daemon=True)
        thread.start()
        try:
            yield recorder
        finally:
            executor.shutdown()
            thread.join()
            recorder.destroy_node()
