"""Diagnosis of missing or wrong matches of messages: silent or late topics, stamps too far apart or too close."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from clipose_ros.types import TIME_JUMP_NS

_MAX_SLOP_RATIO = 0.9
"""Largest slop as a fraction of a topic's period. With a larger one, consecutive frames could match."""
_MIN_STAMPS = 10
"""Least number of stamps from which a period is estimated."""


@dataclass
class _TopicStamps:
    """Arrival time of the last message of a topic, and its newest stamps."""

    received_s: float
    # enough stamps that those of a topic seconds late still overlap with the others'
    stamps_ns: deque[int] = field(default_factory=lambda: deque(maxlen=100))


class SyncMonitor:
    """Records arrivals and matches and explains their absence. Times are seconds of a monotonic clock."""

    def __init__(self, topics: Sequence[str], timeout_s: float, slop_s: float, now_s: float) -> None:
        self._topics = tuple(topics)
        self._timeout_s = timeout_s
        self._slop_s = slop_s
        self._matched_s = self._started_s = now_s
        self._stamps: dict[str, _TopicStamps] = {}

    def add_stamp(self, topic: str, stamp_ns: int, now_s: float) -> int:
        """Record a message.

        Returns:
            Nanoseconds by which the stamps of this topic jumped back, 0 without a jump. A jump clears all stamps.
        """
        topic_stamps = self._stamps.setdefault(topic, _TopicStamps(now_s))
        back_ns = topic_stamps.stamps_ns[-1] - stamp_ns if topic_stamps.stamps_ns else 0
        jumped_ns = back_ns if back_ns > TIME_JUMP_NS else 0
        # Of all topics: stamps from before the jump would count as gaps to those after it.
        if jumped_ns:
            for each in self._stamps.values():
                each.stamps_ns.clear()
        topic_stamps.received_s = now_s
        topic_stamps.stamps_ns.append(stamp_ns)
        return jumped_ns

    def add_unstamped(self, topic: str, now_s: float) -> None:
        """Record a message without a stamp: the topic is not silent, but the message cannot be matched."""
        self._stamps.setdefault(topic, _TopicStamps(now_s)).received_s = now_s

    def add_match(self, now_s: float) -> None:
        """Record a matched set."""
        self._matched_s = now_s

    def find_sync_problem(self, now_s: float) -> str | None:
        """Return the reason why nothing has matched for too long, with the topic; None without a problem."""
        if now_s - self._matched_s < self._timeout_s:
            return None
        silent = [topic for topic in self._topics if now_s - self._last_s(topic) >= self._timeout_s]
        if silent:
            silent_s = now_s - max(map(self._last_s, silent))
            return (
                f"nothing on {_quoted(silent)} for {silent_s:.0f} s: is its driver running, "
                "is the topic remapped, do the QoS profiles fit (ros2 topic info -v)?"
            )
        if not all(self._stamps[topic].stamps_ns for topic in self._topics):  # unstamped, or time has just jumped
            return None
        gaps = {pair: self._gap_s(*pair) for pair in itertools.combinations(self._topics, 2)}
        worst = max(gaps, key=lambda pair: gaps[pair])
        if gaps[worst] == 0.0 or gaps[worst] < self._slop_s:
            return self._describe_late_topic()
        return (
            f"stamps of {_quoted(worst)} have not matched for {now_s - self._matched_s:.0f} s: "
            f"the nearest are {gaps[worst] * 1e3:.1f} ms apart, {self._slop_s * 1e3:.1f} ms are allowed: synchronise "
            "the drivers, or set sync.slop_s"
        )

    def find_slop_problem(self) -> str | None:
        """Return a warning if the slop lets consecutive frames match, with the topic; otherwise None."""
        periods_s = {topic: self._period_s(topic) for topic in self._topics}
        fastest = min(periods_s, key=lambda topic: periods_s[topic])
        period_s = periods_s[fastest]
        if self._slop_s <= _MAX_SLOP_RATIO * period_s:
            return None
        return (
            f"stamps of '{fastest}' are {period_s * 1e3:.1f} ms apart, and sync.slop_s allows "
            f"{self._slop_s * 1e3:.1f} ms within a set: after a lost image, colour can be matched with the next "
            "frame's depth: set sync.exact if the stamps of a frame are equal, or "
            f"sync.slop_s below {0.5 * period_s:.2g}"
        )

    def _describe_late_topic(self) -> str:
        """Return the message for stamps that match but arrive after their counterparts have left the queue."""
        newest_ns = {topic: self._stamps[topic].stamps_ns[-1] for topic in self._topics}
        last = min(newest_ns, key=lambda topic: newest_ns[topic])
        late_ms = (max(newest_ns.values()) - newest_ns[last]) * 1e-6
        return (
            f"'{last}' arrives {late_ms:.0f} ms late, when the messages that match it are no longer kept: raise "
            "sync.queue_size, or speed up its driver"
        )

    def _period_s(self, topic: str) -> float:
        stamps_ns = sorted(set(self._stamps[topic].stamps_ns)) if topic in self._stamps else []
        if len(stamps_ns) < _MIN_STAMPS:
            return math.inf
        return statistics.median(b - a for a, b in itertools.pairwise(stamps_ns)) * 1e-9

    def _last_s(self, topic: str) -> float:
        return self._stamps[topic].received_s if topic in self._stamps else self._started_s

    def _gap_s(self, topic_a: str, topic_b: str) -> float:
        stamps_a, stamps_b = self._stamps[topic_a].stamps_ns, self._stamps[topic_b].stamps_ns
        return min(abs(a - b) for a in stamps_a for b in stamps_b) * 1e-9


def _quoted(topics: Sequence[str]) -> str:
    *others, last = (f"'{topic}'" for topic in topics)
    return f"{', '.join(others)} and {last}" if others else last
