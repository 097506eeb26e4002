"""Diagnosis of missing, rare or wrong matches: silence, lost messages, different clocks, stamps apart, late topics."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from clipose_ros.config import SyncConfig
from clipose_ros.ros.topic_history import WINDOW_S, TopicHistory, median_gap_s
from clipose_ros.types import TIME_JUMP_NS

_MAX_SLOP_RATIO = 0.9
"""Largest slop as a fraction of a topic's period. With a larger one, consecutive frames could match."""
_MIN_MESSAGES = 10
"""Least number of messages of the last seconds from which a ratio is computed."""
_MIN_WINDOW_S = 5.0
"""Least time from which the ratio of matched frames is computed, seconds."""
_MAX_LOST = 0.1
"""Largest fraction of lost messages that is not reported."""
_MIN_ARRIVED = 0.6
"""Least ratio of the arrivals of two topics that is not reported, if the rarer one is irregular."""
_MIN_MATCHED = 0.5
"""Least fraction of the frames of the rarest topic that match without a report."""
_OTHER_CLOCK_S = 60.0
"""Difference of two stamps that arrive together from which they are of different clocks; no driver is so late."""
_EPOCH_S = 1e9
"""Stamps above are seconds since 1970; those below are of a clock that starts with the machine or a simulation."""


class TransportHints(Protocol):
    """Facts about the connection to the publishers, for messages."""

    @property
    def loss_remedy(self) -> str:
        """Return the name of the transport and what to do against lost messages."""
        ...

    def explain_silence(self, topic: str, others_arrive: bool) -> str:
        """Return why a topic may be silent, and the remedy."""
        ...


class SyncProblem(NamedTuple):
    """Reason why sets are missing.

    Attributes:
        kind: ``sync``, ``transport`` (lost messages) or ``clock`` (stamps of different clocks).
        message: Topics, measured values and the remedy.
    """

    kind: str
    message: str


class SyncMonitor:
    """Records arrivals and matches and explains their absence. Times are seconds of a monotonic clock.

    Args:
        topics: Names of the topics.
        config: Matching of the messages.
        hints: Facts about the connection to the publishers.
        now_s: Present time.
    """

    def __init__(self, topics: Sequence[str], config: SyncConfig, hints: TransportHints, now_s: float) -> None:
        self._config, self._hints = config, hints
        self._slop_s = 0.0 if config.exact else config.slop_s
        self._matched_s = self._started_s = now_s
        self._matches_s: deque[float] = deque(maxlen=1000)
        self._topics = {topic: TopicHistory() for topic in topics}

    def add_stamp(self, topic: str, stamp_ns: int, now_s: float) -> int:
        """Record a message.

        Returns:
            Nanoseconds by which the stamps of this topic jumped back, 0 without a jump. A jump clears all stamps.
        """
        last_ns = self._topics[topic].last_stamp_ns
        back_ns = 0 if last_ns is None else last_ns - stamp_ns
        jumped_ns = back_ns if back_ns > TIME_JUMP_NS else 0
        # Of all topics: stamps from before the jump would count as gaps to those after it.
        if jumped_ns:
            self._matches_s.clear()
            for history in self._topics.values():
                history.clear()
        self._topics[topic].add(stamp_ns, now_s)
        return jumped_ns

    def add_unstamped(self, topic: str, now_s: float) -> None:
        """Record a message without a stamp: the topic is not silent, but the message cannot be matched."""
        self._topics[topic].received_s = now_s

    def add_lost(self, topic: str, number: int, now_s: float) -> None:
        """Record messages of a topic that the middleware reported as lost."""
        self._topics[topic].add_lost(number, now_s)

    def add_match(self, now_s: float) -> None:
        """Record a matched set."""
        self._matched_s = now_s
        self._matches_s.append(now_s)
        while now_s - self._matches_s[0] > WINDOW_S:
            self._matches_s.popleft()

    def newest_stamp_ns(self) -> int | None:
        """Return the newest stamp of all topics; None before the first message."""
        newest = (history.last_stamp_ns for history in self._topics.values())
        return max((stamp for stamp in newest if stamp is not None), default=None)

    def rate_hz(self, topic: str, now_s: float) -> float:
        """Return the rate at which messages of a topic arrived over the last seconds."""
        return self._topics[topic].rate_hz(now_s)

    def find_sync_problem(self, now_s: float) -> SyncProblem | None:
        """Return the reason why nothing, or little, has matched for some time, with the topic; None without a problem.

        The causes are tested in this order: silent topics, lost messages, different clocks, stamps apart, late topics.
        Each of them looks like the later ones, too.
        """
        silent = self._find_silence(now_s)
        if silent is not None:
            return SyncProblem("sync", silent)
        lost = self._find_loss(now_s)
        if lost is not None:
            return SyncProblem("transport", lost)
        state = self._matching_state(now_s)
        if state is None or not all(history.stamps_ns for history in self._topics.values()):
            return None  # all is well; or stamps are missing, or time has just jumped
        clocks = self._find_other_clock()
        if clocks is not None:
            return SyncProblem("clock", clocks)
        return SyncProblem("sync", self._find_gap(state) or self._describe_late_topic(state))

    def find_slop_problem(self) -> str | None:
        """Return a warning if the slop lets consecutive frames match, with the topic; otherwise None."""
        periods_s = {topic: history.period_s() for topic, history in self._topics.items()}
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

    def _find_silence(self, now_s: float) -> str | None:
        """Return the topics without a message for too long, if nothing matches either."""
        timeout_s = self._config.timeout_s
        silent = [topic for topic in self._topics if now_s - self._last_s(topic) >= timeout_s]
        if not silent or now_s - self._matched_s < timeout_s:
            return None
        silent_s = now_s - max(map(self._last_s, silent))
        others_arrive = len(silent) < len(self._topics)
        reasons = dict.fromkeys(self._hints.explain_silence(topic, others_arrive) for topic in silent)
        return f"nothing on {_quoted(silent)} for {silent_s:.0f} s: {'; '.join(reasons)}"

    def _find_loss(self, now_s: float) -> str | None:
        """Return the loss of messages between publisher and node: reported by the middleware, or seen in the rates."""
        since_s = now_s - WINDOW_S
        received = {topic: history.received(since_s) for topic, history in self._topics.items()}
        lost = {topic: history.lost(since_s) for topic, history in self._topics.items()}
        published = {topic: received[topic] + lost[topic] for topic in self._topics}
        if max(published.values()) < _MIN_MESSAGES:
            return None
        ratios = {topic: lost[topic] / published[topic] for topic in self._topics if published[topic] >= _MIN_MESSAGES}
        worst = max(ratios, key=lambda topic: ratios[topic])
        is_reported = ratios[worst] > _MAX_LOST
        if not is_reported and not self._lacks_messages(received):
            return None
        counts = ", ".join(
            f"{received[topic]} of {published[topic]} on '{topic}'"
            if is_reported
            else f"{received[topic]} on '{topic}'"
            for topic in self._topics
        )
        matched = sum(at_s >= since_s for at_s in self._matches_s)
        return (
            f"{'messages are lost' if is_reported else 'messages are missing, lost or never published'} between the "
            f"publishers and this node: in {WINDOW_S:.0f} s {counts} arrived, {matched} sets were complete: "
            f"{self._hints.loss_remedy}"
        )

    def _lacks_messages(self, received: dict[str, int]) -> bool:
        """Return True if a topic is much rarer than another, and irregular. A slower topic is regular, or lags."""
        reference = max(received, key=lambda topic: received[topic])
        period_s = self._topics[reference].period_s()
        if math.isinf(period_s):
            return False
        lag_s = self._topics[reference].lag_s()
        return any(
            0 < received[topic] < _MIN_ARRIVED * received[reference]
            and abs(history.lag_s() - lag_s) < period_s
            and history.is_irregular(period_s)
            for topic, history in self._topics.items()
        )

    def _matching_state(self, now_s: float) -> str | None:
        """Return a description of missing or rare matches; None if enough sets match."""
        if now_s - self._matched_s >= self._config.timeout_s:
            return f"have not matched for {now_s - self._matched_s:.0f} s"
        # Topics begin one after the other.
        since_s = max(now_s - WINDOW_S, *(history.first_s for history in self._topics.values()))
        matched = sum(at_s >= since_s for at_s in self._matches_s)
        frames = min(history.received(since_s) for history in self._topics.values())
        if now_s - since_s < _MIN_WINDOW_S or frames < _MIN_MESSAGES or matched >= _MIN_MATCHED * frames:
            return None
        return f"matched in only {matched} of {frames} frames in {now_s - since_s:.0f} s"

    def _find_other_clock(self) -> str | None:
        """Return the pair of topics whose stamps are of different clocks, with both stamps."""
        lags_s = {topic: history.lag_s() for topic, history in self._topics.items()}
        first, last = (choose(lags_s, key=lambda topic: lags_s[topic]) for choose in (min, max))
        if lags_s[last] - lags_s[first] < _OTHER_CLOCK_S:
            return None
        ages = " and ".join(
            f"'{topic}' ({_describe_stamp(self._topics[topic].stamps_ns[-1])})" for topic in (first, last)
        )
        return (
            f"stamps of {ages} come from different clocks, {lags_s[last] - lags_s[first]:.0f} s apart, and cannot "
            "match: let both drivers stamp with the time of ROS (same use_sim_time), and synchronise their machines"
        )

    def _find_gap(self, state: str) -> str | None:
        """Return the pair of topics whose stamps are too far apart to match."""
        pairs = itertools.combinations(self._topics, 2)
        gaps_s = {(a, b): median_gap_s(self._topics[a], self._topics[b]) for a, b in pairs}
        worst = max(gaps_s, key=lambda pair: gaps_s[pair])
        if gaps_s[worst] == 0.0 or gaps_s[worst] < self._slop_s:
            return None
        return (
            f"stamps of {_quoted(worst)} {state}: the nearest are {gaps_s[worst] * 1e3:.1f} ms apart, "
            f"{self._slop_s * 1e3:.1f} ms are allowed: synchronise the drivers, or set sync.slop_s"
        )

    def _describe_late_topic(self, state: str) -> str:
        """Return the topic that arrives when the queue no longer holds its counterparts; or that too little arrives."""
        lags_s = {topic: history.lag_s() for topic, history in self._topics.items()}
        last = max(lags_s, key=lambda topic: lags_s[topic])
        late_s = lags_s[last] - min(lags_s.values())
        period_s = min(history.period_s() for history in self._topics.values())
        if late_s < (self._config.queue_size - 1) * period_s:
            return (
                f"stamps of {_quoted(list(self._topics))} {state}, although they are equal and arrive in time: too few "
                f"messages of the same frame arrive: {self._hints.loss_remedy}"
            )
        return (
            f"'{last}' arrives {late_s * 1e3:.0f} ms late, when the messages that match it are no longer kept: raise "
            f"sync.queue_size from {self._config.queue_size} to {round(late_s / period_s) + 2}, or speed up its "
            "driver"
        )

    def _last_s(self, topic: str) -> float:
        received_s = self._topics[topic].received_s
        return self._started_s if received_s is None else received_s


def _describe_stamp(stamp_ns: int) -> str:
    """Return a stamp in seconds, with the clock that it is probably of."""
    clock = "since 1970" if stamp_ns * 1e-9 > _EPOCH_S else "since the start of a machine or simulation"
    return f"{stamp_ns * 1e-9:.3f} s {clock}"


def _quoted(topics: Sequence[str]) -> str:
    *others, last = (f"'{topic}'" for topic in topics)
    return f"{', '.join(others)} and {last}" if others else last
