"""Finds out why no set of messages matches: which topic is silent, or by how much the stamps miss each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from clipose_ros.types import TIME_JUMP_NS


@dataclass
class _Heard:
    at_s: float
    stamps_ns: deque[int] = field(default_factory=lambda: deque(maxlen=30))


class SyncWatch:
    """Listens to what arrives and what matches. Times are seconds of a clock that only goes forward."""

    def __init__(self, topics: Sequence[str], silence_s: float, slop_s: float, now_s: float) -> None:
        self._topics = tuple(topics)
        self._silence_s = silence_s
        self._slop_s = slop_s
        self._matched_s = self._begun_s = now_s
        self._heard: dict[str, _Heard] = {}

    def heard(self, topic: str, stamp_ns: int, now_s: float) -> bool:
        """Note a message.

        Returns:
            Whether time jumped back on this topic; everything heard before is forgotten then.
        """
        heard = self._heard.get(topic)
        jumped = heard is not None and bool(heard.stamps_ns) and stamp_ns < heard.stamps_ns[-1] - TIME_JUMP_NS
        if jumped:
            for other in self._heard.values():
                other.stamps_ns.clear()
        heard = self._heard.setdefault(topic, _Heard(now_s))
        heard.at_s = now_s
        heard.stamps_ns.append(stamp_ns)
        return jumped

    def unstamped(self, topic: str, now_s: float) -> None:
        """Note a message without a stamp: the topic is not silent, but there is nothing to match by."""
        self._heard.setdefault(topic, _Heard(now_s)).at_s = now_s

    def matched(self, now_s: float) -> None:
        """Note a matched set."""
        self._matched_s = now_s

    def complaint(self, now_s: float) -> str | None:
        """Why nothing matched for too long, in words that name the topic; None while all is well."""
        if now_s - self._matched_s < self._silence_s:
            return None
        silent = [topic for topic in self._topics if now_s - self._last_s(topic) >= self._silence_s]
        if silent:
            silent_s = now_s - max(map(self._last_s, silent))
            return (
                f"nothing on {_quoted(silent)} for {silent_s:.0f} s: is its driver running, "
                "is the topic remapped, do the QoS profiles fit (ros2 topic info -v)?"
            )
        if not all(self._heard[topic].stamps_ns for topic in self._topics):  # unstamped, or time has just jumped
            return None
        gaps = {topic: self._gap_s(self._topics[0], topic) for topic in self._topics[1:]}
        worst = max(gaps, key=lambda topic: gaps[topic])
        return (
            f"stamps of {_quoted([self._topics[0], worst])} have not matched for {now_s - self._matched_s:.0f} s: "
            f"the nearest are {gaps[worst] * 1e3:.1f} ms apart, {self._slop_s * 1e3:.1f} ms are allowed: synchronise "
            "the drivers, or set sync.slop_s"
        )

    def _last_s(self, topic: str) -> float:
        return self._heard[topic].at_s if topic in self._heard else self._begun_s

    def _gap_s(self, topic_a: str, topic_b: str) -> float:
        stamps_a, stamps_b = self._heard[topic_a].stamps_ns, self._heard[topic_b].stamps_ns
        return min(abs(a - b) for a in stamps_a for b in stamps_b) * 1e-9


def _quoted(topics: Sequence[str]) -> str:
    *others, last = (f"'{topic}'" for topic in topics)
    return f"{', '.join(others)} and {last}" if others else last
