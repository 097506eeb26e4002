"""Finds out why no set of messages matches, or why wrong ones could: silence, lateness, stamps too far or too near."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from clipose_ros.types import TIME_JUMP_NS

_LARGEST_SLOP = 0.9
"""Of a topic's period. Beyond it frames that follow each other could match: stamps tremble and differ by topic."""
_ENOUGH_STAMPS = 10
"""To tell a topic's period."""


@dataclass
class _Heard:
    at_s: float
    # so many that those of a topic that comes seconds late still overlap with the others'
    stamps_ns: deque[int] = field(default_factory=lambda: deque(maxlen=100))


class SyncMonitor:
    """Listens to what arrives and what matches. Times are seconds of a clock that only goes forward."""

    def __init__(self, topics: Sequence[str], timeout_s: float, slop_s: float, now_s: float) -> None:
        self._topics = tuple(topics)
        self._timeout_s = timeout_s
        self._slop_s = slop_s
        self._matched_s = self._begun_s = now_s
        self._heard: dict[str, _Heard] = {}

    def heard(self, topic: str, stamp_ns: int, now_s: float) -> int:
        """Note a message.

        Returns:
            Nanoseconds by which time jumped back on this topic, and everything heard before is forgotten then; else 0.
        """
        heard = self._heard.setdefault(topic, _Heard(now_s))
        back_ns = heard.stamps_ns[-1] - stamp_ns if heard.stamps_ns else 0
        jumped_ns = back_ns if back_ns > TIME_JUMP_NS else 0
        if jumped_ns:
            for each in self._heard.values():
                each.stamps_ns.clear()
        heard.at_s = now_s
        heard.stamps_ns.append(stamp_ns)
        return jumped_ns

    def unstamped(self, topic: str, now_s: float) -> None:
        """Note a message without a stamp: the topic is not silent, but there is nothing to match by."""
        self._heard.setdefault(topic, _Heard(now_s)).at_s = now_s

    def matched(self, now_s: float) -> None:
        """Note a matched set."""
        self._matched_s = now_s

    def complaint(self, now_s: float) -> str | None:
        """Why nothing matched for too long, in words that name the topic; None while all is well."""
        if now_s - self._matched_s < self._timeout_s:
            return None
        silent = [topic for topic in self._topics if now_s - self._last_s(topic) >= self._timeout_s]
        if silent:
            silent_s = now_s - max(map(self._last_s, silent))
            return (
                f"nothing on {_quoted(silent)} for {silent_s:.0f} s: is its driver running, "
                "is the topic remapped, do the QoS profiles fit (ros2 topic info -v)?"
            )
        if not all(self._heard[topic].stamps_ns for topic in self._topics):  # unstamped, or time has just jumped
            return None
        gaps = {pair: self._gap_s(*pair) for pair in itertools.combinations(self._topics, 2)}
        worst = max(gaps, key=lambda pair: gaps[pair])
        if gaps[worst] == 0.0 or gaps[worst] < self._slop_s:
            return self._lateness()
        return (
            f"stamps of {_quoted(worst)} have not matched for {now_s - self._matched_s:.0f} s: "
            f"the nearest are {gaps[worst] * 1e3:.1f} ms apart, {self._slop_s * 1e3:.1f} ms are allowed: synchronise "
            "the drivers, or set sync.slop_s"
        )

    def caution(self) -> str | None:
        """Why frames that follow each other could be taken for one, in words that name the topic; None if not."""
        periods_s = {topic: self._period_s(topic) for topic in self._topics}
        fastest = min(periods_s, key=lambda topic: periods_s[topic])
        period_s = periods_s[fastest]
        if self._slop_s <= _LARGEST_SLOP * period_s:
            return None
        return (
            f"stamps of '{fastest}' are {period_s * 1e3:.1f} ms apart, and in a set {self._slop_s * 1e3:.1f} ms are "
            "allowed: after a lost image, colour can be matched with the next frame's depth: set sync.exact where the "
            f"stamps of a frame are equal, or sync.slop_s below {0.5 * period_s:.2g}"
        )

    def _lateness(self) -> str:
        """Of stamps that would match, if the earlier ones were still kept when the others come."""
        newest_ns = {topic: self._heard[topic].stamps_ns[-1] for topic in self._topics}
        last = min(newest_ns, key=lambda topic: newest_ns[topic])
        late_ms = (max(newest_ns.values()) - newest_ns[last]) * 1e-6
        return (
            f"'{last}' arrives {late_ms:.0f} ms late, when the messages that match it are no longer kept: raise "
            "sync.queue_size, or speed up its driver"
        )

    def _period_s(self, topic: str) -> float:
        stamps_ns = sorted(set(self._heard[topic].stamps_ns)) if topic in self._heard else []
        if len(stamps_ns) < _ENOUGH_STAMPS:
            return math.inf
        return statistics.median(b - a for a, b in itertools.pairwise(stamps_ns)) * 1e-9

    def _last_s(self, topic: str) -> float:
        return self._heard[topic].at_s if topic in self._heard else self._begun_s

    def _gap_s(self, topic_a: str, topic_b: str) -> float:
        stamps_a, stamps_b = self._heard[topic_a].stamps_ns, self._heard[topic_b].stamps_ns
        return min(abs(a - b) for a in stamps_a for b in stamps_b) * 1e-9


def _quoted(topics: Sequence[str]) -> str:
    *others, last = (f"'{topic}'" for topic in topics)
    return f"{', '.join(others)} and {last}" if others else last
