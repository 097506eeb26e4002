"""Subscriptions to the camera topics, matched into sets, with reports of silent topics and stamps that do not match."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from message_filters import ApproximateTimeSynchronizer, SimpleFilter, TimeSynchronizer
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from clipose_ros.config import SyncConfig
from clipose_ros.decoding.messages import INPUT_TOPICS, FrameMessages, Topics, is_valid_stamp, stamp_ns
from clipose_ros.ros.clock_check import describe_missing_clock, describe_other_clock
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.outlier_filter import OutlierFilter
from clipose_ros.ros.rclpy_compat import subscribe_counting_losses
from clipose_ros.ros.sync_monitor import SyncMonitor
from clipose_ros.ros.transport import Transport

_INPUT_TYPES: dict[str, type[Any]] = {"labels": Image, "boxes": Detection2DArray}


def input_topics(node: Node, compressed: bool) -> Topics:
    """Return the remapped, resolved names of the input topics of a node."""
    # image_transport appends the name of the transport to the resolved raw name, so remappings of the raw name apply.
    color = node.resolve_topic_name(INPUT_TOPICS.color) + ("/compressed" if compressed else "")
    others = (INPUT_TOPICS.depth, INPUT_TOPICS.info, INPUT_TOPICS.labels, INPUT_TOPICS.boxes)
    return Topics(color, *(node.resolve_topic_name(name) for name in others))


@dataclass(frozen=True, slots=True)
class InputCallbacks:
    """Callbacks of the subscriptions; the executor's thread calls them.

    Attributes:
        on_set: Receives each matched set.
        on_time_jump: Called when stamps jump back, before a set with the new time is passed on.
    """

    on_set: Callable[[FrameMessages], None]
    on_time_jump: Callable[[], None]


class InputSubscriptions:
    """Subscriptions to the inputs, from activation to deactivation.

    Args:
        node: Node that subscribes.
        config: Matching of the messages.
        frame_input: Further input of the segmentation backend: ``labels``, ``boxes``, or empty for none.
        callbacks: Receivers of matched sets and time jumps.
        diagnostics: Collector of problems.

    Attributes:
        topics: Resolved names of the topics.
    """

    def __init__(
        self,
        node: Node,
        config: SyncConfig,
        frame_input: str,
        callbacks: InputCallbacks,
        diagnostics: NodeDiagnostics,
    ) -> None:
        self._node, self._config, self._diagnostics = node, config, diagnostics
        self._callbacks = callbacks
        self._clock_compared = False
        self._lock = threading.Lock()
        self.topics = input_topics(node, config.compressed)
        self._types: dict[str, type[Any]] = {
            self.topics.color: CompressedImage if config.compressed else Image,
            self.topics.depth: Image,
            self.topics.info: CameraInfo,
        }
        self._frame_input = frame_input
        if frame_input:
            self._types[getattr(self.topics, frame_input)] = _INPUT_TYPES[frame_input]
        self._monitor = SyncMonitor(list(self._types), config, Transport(node, self._types), time.monotonic())
        self._outliers = OutlierFilter()
        self._filters: dict[str, SimpleFilter] = {}
        self._restart_matching()
        self._subscriptions = [self._subscribe(topic, kind) for topic, kind in self._types.items()]

    def close(self) -> None:
        """Destroy the subscriptions; no set is passed on afterwards."""
        with self._lock:
            self._filters = {}
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def check(self) -> None:
        """Report why sets are missing, and stamps that could match wrongly; call it about once a second."""
        with self._lock:
            sync, slop = self._monitor.find_sync_problem(time.monotonic()), self._monitor.find_slop_problem()
            stamp = self._monitor.newest_stamp_ns()
        if stamp is not None:
            self._check_clock(stamp)
        if sync is not None:
            self._diagnostics.warning(sync.kind, sync.message)
        if slop is not None:
            self._diagnostics.warning("slop", slop)

    def _check_clock(self, stamp: int) -> None:
        """Report simulated time that never arrives; hint once at stamps of another clock, which only disturb TF."""
        missing = describe_missing_clock(self._node)
        if missing is not None:
            self._diagnostics.warning("clock", missing)
        elif not self._clock_compared:
            self._clock_compared = True
            hint = describe_other_clock(self._node, stamp)
            if hint is not None:
                self._diagnostics.hint("clock", hint)

    def rates_hz(self) -> dict[str, float]:
        """Return the rate of arrival of each topic over the last seconds."""
        with self._lock:
            return {topic: self._monitor.rate_hz(topic, time.monotonic()) for topic in self._types}

    def _subscribe(self, topic: str, kind: type[Any]) -> Subscription:
        """Subscribe to a topic with a QoS profile that parameters can override."""
        # Best effort also matches reliable publishers; a queue of several frames survives a busy executor.
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        callbacks = partial(self._on_message, topic), partial(self._on_lost, topic)
        return subscribe_counting_losses(self._node, kind, topic, qos, callbacks)

    def _restart_matching(self) -> None:
        """Make a new synchroniser with empty queues."""
        # Queues of a synchroniser cannot be cleared, so it is replaced together with its filters.
        self._filters = {topic: SimpleFilter() for topic in self._types}
        filters, depth = list(self._filters.values()), self._config.queue_size
        if self._config.exact or self._config.slop_s == 0.0:
            synchronizer = TimeSynchronizer(filters, depth)
        else:
            synchronizer = ApproximateTimeSynchronizer(filters, depth, self._config.slop_s)
        synchronizer.registerCallback(self._on_match)

    def _on_message(self, topic: str, message: Any) -> None:
        """Check the stamp of a message and pass it to the synchroniser."""
        with self._lock:
            if topic not in self._filters:  # a message that arrives while the inputs are closed
                return
            if not is_valid_stamp(message.header.stamp):
                self._monitor.add_unstamped(topic, time.monotonic())
                sec, nanosec = message.header.stamp.sec, message.header.stamp.nanosec
                self._diagnostics.warning(
                    "stamp",
                    f"'{topic}' has the stamp {sec} s {nanosec} ns: its driver must fill in header.stamp, "
                    "with sec >= 0 and nanosec below 10^9",
                )
                return
            stamp = stamp_ns(message.header.stamp)
            lead_ns = self._outliers.lead_ns(topic, stamp, time.monotonic())
            if lead_ns:
                self._monitor.add_unstamped(topic, time.monotonic())
                self._diagnostics.warning(
                    "stamp",
                    f"'{topic}' jumped ahead by {lead_ns * 1e-9:.1f} s to {stamp * 1e-9:.3f} s: this message is left "
                    f"out, and the next is used if it is ahead, too; {self._describe_publishers(topic)}",
                )
                return
            jumped_ns = self._monitor.add_stamp(topic, stamp, time.monotonic())
            if jumped_ns:
                self._diagnostics.warning(
                    "time_jump",
                    f"'{topic}' jumped back by {jumped_ns * 1e-9:.1f} s to {stamp * 1e-9:.3f} s: matching, tracks and "
                    f"transforms are reset; {self._describe_publishers(topic)}",
                )
                self._restart_matching()
                self._callbacks.on_time_jump()
            self._filters[topic].signalMessage(message)

    def _describe_publishers(self, topic: str) -> str:
        """Return the probable cause of a time jump."""
        count = self._node.count_publishers(topic)
        if count > 1:
            return f"the topic has {count} publishers, whose times alternate: stop all but one (ros2 topic info -v)"
        return "a recording or simulation has restarted, or the clock of the camera was set"

    def _on_lost(self, topic: str, number: int) -> None:
        """Record messages that the middleware reports as lost."""
        with self._lock:
            self._monitor.add_lost(topic, number, time.monotonic())
        self._diagnostics.count("messages_lost", number)

    def _on_match(self, *messages: Any) -> None:
        """Pass on a matched set; the synchroniser calls it with the messages in the order of ``_types``."""
        self._monitor.add_match(time.monotonic())
        further = {self._frame_input: messages[3]} if self._frame_input else {}
        self._callbacks.on_set(FrameMessages(*messages[:3], **further))
