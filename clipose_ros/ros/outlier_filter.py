"""Outliers among stamps: a single message of the far future leaves out itself, not what follows it."""

from __future__ import annotations

from clipose_ros.types import TIME_JUMP_NS

_MAX_AHEAD_S = 60.0
"""Largest lead of a stamp over the one before, beyond the time that has passed, without a second such stamp."""


class OutlierFilter:
    """Leaves out a stamp that is far ahead of the last one of its topic, unless the next one is ahead, too.

    Without it, the stamp would become the newest of its topic, and the next one would count as a jump back in time.
    Clocks that are set forward and recordings that skip lose one message.
    """

    def __init__(self) -> None:
        self._accepted: dict[str, tuple[int, float]] = {}
        self._ahead_ns: dict[str, int] = {}

    def lead_ns(self, topic: str, stamp_ns: int, now_s: float) -> int:
        """Return by how much a stamp is ahead if its message must be left out; 0 if it is accepted.

        Args:
            topic: Name of the topic.
            stamp_ns: Stamp of the message, nanoseconds of the publisher's clock.
            now_s: Time of its arrival, seconds of a monotonic clock.
        """
        before_ns = self._ahead_ns.pop(topic, None)
        is_confirmed = before_ns is not None and stamp_ns >= before_ns - TIME_JUMP_NS
        if topic in self._accepted and not is_confirmed:
            last_ns, last_s = self._accepted[topic]
            ahead_ns = stamp_ns - last_ns - round((now_s - last_s) * 1e9)
            if ahead_ns > _MAX_AHEAD_S * 1e9:
                self._ahead_ns[topic] = stamp_ns
                return ahead_ns
        self._accepted[topic] = stamp_ns, now_s
        return 0
