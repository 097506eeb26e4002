"""Nodes of the ROS tools over DDS: a listener to all topics of a camera, and spinning until a condition holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray

from clipose_ros.decoding.messages import stamp_ns

TOPICS = {
    "/rgb/image_rect_color": Image,
    "/depth_registered/image_rect": Image,
    "/rgb/camera_info": CameraInfo,
    "/segmentation/labels": Image,
    "/truth/detections": Detection3DArray,
    "/tf": TFMessage,
}


class Listener(Node):
    """Subscriber to all topics of a camera that keeps each message by topic and stamp."""

    def __init__(self) -> None:
        super().__init__("listener")
        self.received: dict[str, dict[int, Any]] = {topic: {} for topic in TOPICS}
        for topic, kind in TOPICS.items():
            qos = QoSProfile(depth=100) if topic == "/tf" else qos_profile_sensor_data
            self.create_subscription(kind, topic, lambda message, topic=topic: self._keep(topic, message), qos)

    def _keep(self, topic: str, message: Any) -> None:
        header = message.transforms[0].header if topic == "/tf" else message.header
        self.received[topic][stamp_ns(header.stamp)] = message

    def stamps_of(self, *topics: str) -> list[int]:
        """Stamps received on all of these topics, in order."""
        return sorted(set.intersection(*(set(self.received[topic]) for topic in topics)))


@pytest.fixture
def spin() -> Iterator[Callable[..., None]]:
    """Spins nodes until a condition holds."""
    rclpy.init()
    nodes: list[Node] = []
    executor = SingleThreadedExecutor()

    def until(condition: Callable[[], bool], *more: Node, limit_s: float = 60.0) -> None:
        for node in more:
            if node not in nodes:
                nodes.append(node)
                executor.add_node(node)
        end = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end, "the condition never held"
            executor.spin_once(timeout_sec=0.1)

    yield until
    for node in nodes:
        node.destroy_node()
    executor.shutdown()
    rclpy.shutdown()


@pytest.fixture
def with_parameters(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Node]:
    """Creates a node as if started with ``-p name:=value``."""
    original = Node.__init__

    def create(kind: type[Node], **values: Any) -> Node:
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        with monkeypatch.context() as patch:
            patch.setattr(Node, "__init__", lambda self, name: original(self, name, parameter_overrides=overrides))
            return kind()

    return create


@pytest.fixture
def listener(spin: Callable[..., None]) -> Listener:
    """The listener; ``spin`` has initialised rclpy."""
    return Listener()
