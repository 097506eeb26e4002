"""Subscriptions that last for one message: what the node makes only for subscribers costs it nothing in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from clipose_ros.config import SyncConfig
from clipose_ros.decoding.messages import FrameMessages
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.inputs import InputCallbacks, InputSubscriptions

_QOS = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


class TopicSampler:
    """Sampler of one topic.

    Args:
        node: Node that subscribes, in whose thread all methods are called.
        kind: Type of the messages.
        topic: Name of the topic.
        on_message: Receives the message.
    """

    def __init__(self, node: Node, kind: type[Any], topic: str, on_message: Callable[[Any], None]) -> None:
        self._node, self._kind, self._topic, self._on_message = node, kind, topic, on_message
        self._subscription: Subscription | None = None

    def start(self) -> None:
        """Subscribe until the next message."""
        if self._subscription is None:
            self._subscription = self._node.create_subscription(self._kind, self._topic, self._on_first, _QOS)

    def stop(self) -> None:
        """Unsubscribe."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _on_first(self, message: Any) -> None:
        if self._subscription is not None:
            self.stop()
            self._on_message(message)


class CameraSampler:
    """Sampler of matched sets of the camera topics, which have the names of the inputs of the pose node.

    Args:
        node: Node that subscribes, in whose thread all methods are called.
        sync: Matching of the messages.
        diagnostics: Collector of problems.
        on_set: Receives the set.
    """

    def __init__(
        self, node: Node, sync: SyncConfig, diagnostics: NodeDiagnostics, on_set: Callable[[FrameMessages], None]
    ) -> None:
        self._node, self._sync, self._diagnostics, self._on_set = node, sync, diagnostics, on_set
        self._inputs: InputSubscriptions | None = None
        self._messages: FrameMessages | None = None
        self._since_s = 0.0

    @property
    def waiting_s(self) -> float:
        """Return the time since the subscription, seconds; 0 while there is none."""
        return time.monotonic() - self._since_s if self._inputs is not None else 0.0

    def start(self) -> None:
        """Subscribe until the next set."""
        if self._inputs is None:
            callbacks = InputCallbacks(self._on_match, lambda: None)
            self._since_s = time.monotonic()
            self._inputs = InputSubscriptions(self._node, self._sync, "", callbacks, self._diagnostics)

    def stop(self) -> None:
        """Unsubscribe."""
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = self._messages = None

    def advance(self) -> None:
        """Pass a set on, and unsubscribe; not in the callback, in which the subscriptions hold their lock."""
        if (messages := self._messages) is not None:
            self.stop()
            self._on_set(messages)

    def _on_match(self, messages: FrameMessages) -> None:
        self._messages = messages
