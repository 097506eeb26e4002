"""Sends transforms that hold at all times."""

from __future__ import annotations

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from tf2_ros.transform_broadcaster import Transforms, as_list


class StaticTransformBroadcaster:
    """Publishes on ``/tf_static``; late listeners get the last message, so each one carries all that was sent.

    Args:
        node: The node that publishes.
        qos: Quality of service or history depth; latched with depth 1 if not given.
    """

    def __init__(self, node: Node, qos: QoSProfile | int | None = None) -> None:
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.pub_tf = node.create_publisher(TFMessage, "/tf_static", latched if qos is None else qos)
        self._by_child: dict[str, TransformStamped] = {}

    def sendTransform(self, transform: Transforms) -> None:
        """Publish one transform or several; a child frame sent before is replaced."""
        self._by_child |= {each.child_frame_id: each for each in as_list(transform)}
        self.pub_tf.publish(TFMessage(transforms=list(self._by_child.values())))
