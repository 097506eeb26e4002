"""Arrivals and losses of the messages of one topic over the last seconds."""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections import deque

WINDOW_S = 10.0
"""Time over which arrivals and losses are kept, seconds."""
_MAX_MESSAGES = 1000
_MIN_MESSAGES = 20
"""Number of messages that are kept however old they are, for slow topics."""
_MIN_STAMPS = 10
"""Least number of stamps from which a period is estimated."""


class TopicHistory:
    """Stamps and arrival times of a topic, and the messages that the middleware reported as lost.

    Arrival times are seconds of a monotonic clock, stamps nanoseconds of the publisher's clock.

    Attributes:
        received_s: Arrival of the last message, with or without a stamp; None before the first.
    """

    def __init__(self) -> None:
        self.received_s: float | None = None
        self._arrivals: deque[tuple[int, float]] = deque(maxlen=_MAX_MESSAGES)
        self._losses: deque[tuple[float, int]] = deque(maxlen=_MAX_MESSAGES)

    def add(self, stamp_ns: int, now_s: float) -> None:
        """Record a message."""
        self.received_s = now_s
        self._arrivals.append((stamp_ns, now_s))
        while len(self._arrivals) > _MIN_MESSAGES and now_s - self._arrivals[0][1] > WINDOW_S:
            self._arrivals.popleft()

    def add_lost(self, number: int, now_s: float) -> None:
        """Record messages that were published but did not arrive."""
        self._losses.append((now_s, number))

    def clear(self) -> None:
        """Forget arrivals and losses, as after a time jump."""
        self._arrivals.clear()
        self._losses.clear()

    @property
    def stamps_ns(self) -> list[int]:
        """Return the stamps in the order of arrival, oldest first."""
        return [stamp_ns for stamp_ns, _ in self._arrivals]

    @property
    def last_stamp_ns(self) -> int | None:
        """Return the stamp that arrived last; None without one."""
        return self._arrivals[-1][0] if self._arrivals else None

    @property
    def first_s(self) -> float:
        """Return the arrival of the oldest message that is kept; infinite without one."""
        return self._arrivals[0][1] if self._arrivals else math.inf

    def received(self, since_s: float) -> int:
        """Return the number of messages that have arrived since a time."""
        return sum(at_s >= since_s for _, at_s in self._arrivals)

    def lost(self, since_s: float) -> int:
        """Return the number of messages that were lost since a time."""
        return sum(number for at_s, number in self._losses if at_s >= since_s)

    def rate_hz(self, now_s: float) -> float:
        """Return the rate of arrival over the last seconds; 0 with fewer than two messages."""
        times_s = [at_s for _, at_s in self._arrivals if now_s - at_s <= WINDOW_S]
        span_s = times_s[-1] - times_s[0] if times_s else 0.0
        return (len(times_s) - 1) / span_s if span_s > 0.0 else 0.0

    def period_s(self) -> float:
        """Return the median difference of successive stamps; infinite with too few stamps."""
        stamps_ns = sorted(set(self.stamps_ns))
        if len(stamps_ns) < _MIN_STAMPS:
            return math.inf
        return statistics.median(b - a for a, b in itertools.pairwise(stamps_ns)) * 1e-9

    def lag_s(self) -> float:
        """Return the median of arrival time minus stamp. Only differences between topics have a meaning."""
        return statistics.median(at_s - stamp_ns * 1e-9 for stamp_ns, at_s in self._arrivals)

    def is_irregular(self, period_s: float) -> bool:
        """Return True if the stamps are not evenly spaced: messages between them are missing at random.

        Args:
            period_s: Period of the frames, of which the distances of the stamps are multiples.
        """
        stamps_ns = sorted(set(self.stamps_ns))
        steps = [round((b - a) * 1e-9 / period_s) for a, b in itertools.pairwise(stamps_ns)]
        # Too few to tell: that so few arrive is itself irregular.
        return len(steps) < _MIN_STAMPS // 2 or steps.count(statistics.mode(steps)) < 0.8 * len(steps)


def median_gap_s(a: TopicHistory, b: TopicHistory) -> float:
    """Return the median distance from a stamp of the rarer topic to the nearest of the other, seconds."""
    rarer, other = sorted((sorted(a.stamps_ns), sorted(b.stamps_ns)), key=len)
    return statistics.median(_nearest_ns(stamp_ns, other) for stamp_ns in rarer) * 1e-9


def _nearest_ns(stamp_ns: int, ordered_ns: list[int]) -> int:
    index = bisect.bisect(ordered_ns, stamp_ns)
    return min(abs(stamp_ns - other) for other in ordered_ns[max(index - 1, 0) : index + 1])
