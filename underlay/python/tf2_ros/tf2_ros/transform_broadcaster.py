"""Sends transforms that hold at their stamp."""

from __future__ import annotations

from collections.abc import Iterable

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from tf2_msgs.msg import TFMessage

Transforms = TransformStamped | Iterable[TransformStamped]


def as_list(transform: Transforms) -> list[TransformStamped]:
    """One transform or several as a list."""
    return [transform] if isinstance(transform, TransformStamped) else list(transform)


class TransformBroadcaster:
    """Publishes on ``/tf``.

    Args:
        node: The node that publishes.
        qos: Quality of service or history depth; depth 100 if not given.
    """

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        self.pub_tf = node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100) if qos is None else qos)

    def sendTransform(self, transform: Transforms) -> None:
        """Publish one transform or several, in one message."""
        self.pub_tf.publish(TFMessage(transforms=as_list(transform)))
