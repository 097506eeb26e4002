"""Stand-in for the distribution's ``message_filters``: a subscriber that filters hang on, and two time synchronisers.

Same import names, signatures and matching rules as documented there. ``Cache`` and the other filters are left out.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from rclpy.clock import ROSClock
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.time import Time

__all__ = ["ApproximateTimeSynchronizer", "SimpleFilter", "Subscriber", "TimeSynchronizer"]


class SimpleFilter:
    """Something that has messages to give, to any number of callbacks."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:
        """Have ``cb`` called with each output, followed by ``args``; returns the connection's number."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        """Hand one output, a message or a matched set, to every callback."""
        for callback, args in self.callbacks.values():
            callback(*msg, *args)


class Subscriber(SimpleFilter):
    """A ROS subscription as the source of a chain of filters.

    Args:
        node: The node that subscribes.
        msg_type: Message class.
        topic: Topic name.
        qos_profile: Quality of service or history depth.
        **kwargs: Passed to ``node.create_subscription`` (``callback_group``, ``qos_overriding_options``, ...).
    """

    def __init__(self, node: Node, msg_type: type, topic: str, *, qos_profile: Any = 10, **kwargs: Any) -> None:
        super().__init__()
        self.node = node
        self.topic = topic
        self.sub = node.create_subscription(msg_type, topic, self.callback, qos_profile=qos_profile, **kwargs)

    def callback(self, msg: Any) -> None:
        """Pass a received message on."""
        self.signalMessage(msg)

    def getTopic(self) -> str:
        """Return the topic as given."""
        return self.topic

    def __getattr__(self, key: str) -> Any:
        """Everything else is the subscription's."""
        if key == "sub":  # not made yet: without this, a failed construction would recurse
            raise AttributeError(key)
        return getattr(self.sub, key)


class TimeSynchronizer(SimpleFilter):
    """Gives out sets of messages, one per input, whose header stamps are equal.

    Args:
        fs: The inputs.
        queue_size: Messages kept per input while they wait for the others; the oldest stamp goes first.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:
        """Listen to ``fs``, from empty queues."""
        self.queues: list[dict[int, Any]] = [{} for _ in fs]
        self.input_connections = [
            source.registerCallback(self.add, queue, index)
            for index, (source, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        """Take in ``msg`` and give out every set that is now complete, oldest first."""
        with self.lock:
            self._store(Time.from_msg(msg.header.stamp).nanoseconds, msg, my_queue)
            for stamp in sorted(set.intersection(*(set(queue) for queue in self.queues))):
                self._emit([stamp] * len(self.queues))

    def _store(self, stamp: int, msg: Any, queue: dict[int, Any]) -> None:
        """Queue ``msg`` and drop the oldest beyond the queue's size."""
        queue[stamp] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def _emit(self, stamps: Sequence[int]) -> None:
        """Give out the set with these stamps and forget it."""
        self.signalMessage(*(queue[stamp] for queue, stamp in zip(self.queues, stamps, strict=True)))
        for queue, stamp in zip(self.queues, stamps, strict=True):
            del queue[stamp]


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Gives out sets of messages, one per input, whose stamps lie less than ``slop`` apart.

    Args:
        fs: The inputs.
        queue_size: Messages kept per input while they wait for the others.
        slop: Seconds.
        allow_headerless: Take messages without a header too, stamped with the time of their arrival.
        sync_arrival_time: Match by time of arrival instead of by header stamp.
    """

    def __init__(
        self,
        fs: Sequence[SimpleFilter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
        sync_arrival_time: bool = False,
    ) -> None:
        super().__init__(fs, queue_size)
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless
        self.sync_arrival_time = sync_arrival_time

    def add(self, msg: Any, my_queue: dict[int, Any], my_queue_index: int | None = None) -> None:
        """Take in ``msg`` and give out the set around it, if there is one: nearest stamps first."""
        stamp = self._stamp(msg)
        if stamp is None:
            return
        with self.lock:
            self._store(stamp, msg, my_queue)
            slop = self.slop.nanoseconds
            candidates = []
            for index, queue in enumerate(self.queues):
                near = [stamp] if index == my_queue_index else [other for other in queue if abs(other - stamp) <= slop]
                candidates.append(sorted(near, key=lambda other: abs(other - stamp)))
            for stamps in itertools.product(*candidates):
                complete = all(key in queue for key, queue in zip(stamps, self.queues, strict=True))
                if complete and max(stamps) - min(stamps) < slop:
                    self._emit(stamps)
                    return

    def _stamp(self, msg: Any) -> int | None:
        """Nanoseconds to match ``msg`` by; None where it cannot be matched."""
        header = getattr(msg, "header", None)
        headerless = not hasattr(header, "stamp")
        if headerless and not self.allow_headerless:
            get_logger("message_filters_approx").warning(
                f"expected messages with a header stamp, got {type(msg).__name__} without: ignored; "
                "set allow_headerless=True to match it by time of arrival"
            )
            return None
        if headerless or self.sync_arrival_time:
            return int(ROSClock().now().nanoseconds)
        return int(Time.from_msg(header.stamp).nanoseconds)
