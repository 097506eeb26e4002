"""Fills a buffer from ``/tf`` and ``/tf_static``."""

from __future__ import annotations

from threading import Thread

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage
from tf2_py import BufferCore


class TransformListener:
    """Subscribes to transforms for as long as it lives.

    Args:
        buffer: Where they go.
        node: The node that subscribes.
        spin_thread: Spin ``node`` in a thread of its own.
        qos: For ``tf_topic``; depth 100 if not given.
        static_qos: For ``tf_static_topic``; latched, depth 100 if not given.
        tf_topic: Topic of transforms over time.
        tf_static_topic: Topic of transforms that hold at all times.
    """

    def __init__(
        self,
        buffer: BufferCore,
        node: Node,
        *,
        spin_thread: bool = False,
        qos: QoSProfile | int | None = None,
        static_qos: QoSProfile | int | None = None,
        tf_topic: str = "/tf",
        tf_static_topic: str = "/tf_static",
    ) -> None:
        self.buffer = buffer
        self.node = node
        # Reentrant, so that a callback of the same node may wait for a transform.
        self.group = ReentrantCallbackGroup()
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.tf_sub = node.create_subscription(
            TFMessage, tf_topic, self.callback, QoSProfile(depth=100) if qos is None else qos, callback_group=self.group
        )
        self.tf_static_sub = node.create_subscription(
            TFMessage,
            tf_static_topic,
            self.static_callback,
            latched if static_qos is None else static_qos,
            callback_group=self.group,
        )
        self._executor: SingleThreadedExecutor | None = None
        if spin_thread:
            self._executor = SingleThreadedExecutor(context=node.context)
            self._executor.add_node(node)
            self._thread = Thread(target=self._executor.spin, daemon=True)
            self._thread.start()

    def unregister(self) -> None:
        """Stop listening."""
        if self._executor is not None:
            self._executor.shutdown()
            self._thread.join()
            self._executor = None
        self.node.destroy_subscription(self.tf_sub)
        self.node.destroy_subscription(self.tf_static_sub)

    def callback(self, data: TFMessage) -> None:
        """Take in transforms over time."""
        for transform in data.transforms:
            self.buffer.set_transform(transform, "default_authority")

    def static_callback(self, data: TFMessage) -> None:
        """Take in transforms that hold at all times."""
        for transform in data.transforms:
            self.buffer.set_transform_static(transform, "default_authority")
