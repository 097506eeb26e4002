"""Facts about the connection to the publishers of the input topics, for messages about lost or missing data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import get_rmw_implementation_identifier

from clipose_ros.resources import config_path


class Transport:
    """Graph and middleware of a node, as ``sync_monitor.TransportHints`` needs them.

    Args:
        node: Node that subscribes.
        types: Message type of each topic.
    """

    def __init__(self, node: Node, types: Mapping[str, type[Any]]) -> None:
        self._node, self._types = node, types

    @property
    def loss_remedy(self) -> str:
        """Return the name of the transport and what to do against lost messages."""
        rmw = get_rmw_implementation_identifier()
        if "fastrtps" in rmw:
            return (
                f"by default, the shared memory of {rmw} is too small for images, and it is the publisher's: in the "
                "shell that starts the camera driver, export "
                f"FASTDDS_DEFAULT_PROFILES_FILE={config_path('fastdds.xml')} (up to ROS 2 Jazzy, the variable is "
                "FASTRTPS_DEFAULT_PROFILES_FILE)"
            )
        return (
            f"{rmw} drops images if a buffer is too small or the network too slow: raise the receive buffer of this "
            "machine (sysctl net.core.rmem_max), or use sync.compressed"
        )

    def explain_silence(self, topic: str, others_arrive: bool) -> str:
        """Return why a topic may be silent, and the remedy.

        Args:
            topic: The silent topic.
            others_arrive: Messages of other topics arrive.
        """
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not publishers:
            return "it has no publisher: is its driver running, is the topic remapped (ros2 topic list)?"
        message_type = self._types[topic]
        expected = f"{message_type.__module__.split('.')[0]}/msg/{message_type.__name__}"
        other_types = sorted({info.topic_type for info in publishers} - {expected})
        if other_types:
            return (
                f"it is published as {', '.join(other_types)}, not as {expected}: remap the topic, or see "
                "sync.compressed"
            )
        requested = [
            info.qos_profile
            for info in self._node.get_subscriptions_info_by_topic(topic)
            if (info.node_name, info.node_namespace) == (self._node.get_name(), self._node.get_namespace())
        ]
        if requested and all(_is_incompatible(info.qos_profile, requested[0]) for info in publishers):
            return (
                "its publisher is best effort, but this node requests reliable: set "
                f"qos_overrides.{topic}.subscription.reliability to best_effort"
            )
        if others_arrive:
            return (
                "it has a publisher, but only other topics arrive: its driver publishes nothing there, or the messages "
                f"are lost: {self.loss_remedy}"
            )
        return "it has a publisher that is silent: is its driver running, does its log report errors?"


def _is_incompatible(offered: QoSProfile, requested: QoSProfile) -> bool:
    """Return True if a publisher's profile offers less than a subscription requests; other policies always fit."""
    return requested.reliability == ReliabilityPolicy.RELIABLE and offered.reliability == ReliabilityPolicy.BEST_EFFORT
