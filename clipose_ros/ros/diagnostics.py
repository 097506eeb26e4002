"""Counters, rates, latencies and problems of the node, for /diagnostics and, throttled, for the log."""

from __future__ import annotations

import statistics
import threading
import time
import traceback
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.impl.rcutils_logger import RcutilsLogger

from clipose_ros.errors import one_line

LOG_EVERY_S = 5.0
"""Shortest time between two log messages of the same kind of problem, seconds."""
_CURRENT_S = 5.0  # a problem counts as present for this long after its last report
_WINDOW = 120  # number of recent frames from which rates and latencies are computed


@dataclass(frozen=True)
class _Problem:
    """Newest report of one kind of problem.

    Attributes:
        message: Text of the report.
        at_s: Time of the report, seconds of the monotonic clock.
        count: Number of reports of this kind.
        lasting: True if the problem lasts until it is resolved.
    """

    message: str
    at_s: float
    count: int
    lasting: bool


class NodeDiagnostics:
    """Collects counters, latencies and problems from all parts of the node. Its methods are thread-safe.

    Counters: ``frames_received`` (matched sets), ``frames_processed``, ``frames_dropped`` (replaced by a newer frame
    before processing began), ``frames_failed`` (unusable input), ``objects_published``, ``objects_coasting`` (tracked
    objects that a frame did not observe), ``tracks_lost`` (deleted after ``tracking.max_age_s``), ``rejections`` and
    ``rejections.<reason>``.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._counters: Counter[str] = Counter(
            dict.fromkeys(("frames_received", "frames_processed", "frames_dropped", "frames_failed"), 0)
        )
        self._times_s: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_WINDOW))
        self._latencies_ms: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_WINDOW))
        self._problems: dict[str, _Problem] = {}
        self._logged_s: dict[str, float] = {}
        self._traced: set[str] = set()
        self._hints: dict[str, tuple[str, float]] = {}
        self._last_problem = ""

    def count(self, name: str, number: int = 1) -> None:
        """Add a number to a counter."""
        with self._lock:
            self._counters[name] += number
            self._times_s[name].append(time.monotonic())

    def counters(self) -> dict[str, int]:
        """Return a copy of the counters by name."""
        with self._lock:
            return dict(self._counters)

    def latency(self, stage: str, milliseconds: float) -> None:
        """Record the duration of a stage."""
        with self._lock:
            self._latencies_ms[stage].append(milliseconds)

    def warning(self, key: str, message: str) -> None:
        """Report a problem of the kind ``key`` with a frame or an input; it counts as present for a few seconds.

        Kinds are names of this package, never text from outside: their number must be bounded.
        """
        message = one_line(message)
        if self._record(key, message, lasting=False):
            self._logger.warning(message)

    def hint(self, key: str, message: str) -> None:
        """Log once what is no problem but explains later ones; again if the message of the kind ``key`` changes."""
        now_s, message = time.monotonic(), one_line(message)
        with self._lock:
            logged, at_s = self._hints.get(key, ("", -LOG_EVERY_S))
            due = message != logged and now_s - at_s >= LOG_EVERY_S
            if due:
                self._hints[key] = message, now_s
        if due:
            self._logger.warning(message)

    def error(self, key: str, message: str) -> None:
        """Report a problem of the kind ``key`` that lasts until ``resolved`` is called."""
        message = one_line(message)
        if self._record(key, message, lasting=True):
            self._logger.error(message)

    def exception(self, key: str, what: str, error: Exception) -> str:
        """Report an unexpected exception, with its trace the first time.

        Args:
            key: Kind of the problem.
            what: What is left out because of it.
            error: The exception.

        Returns:
            Description of the exception in one line.
        """
        trace = traceback.extract_tb(error.__traceback__)
        place = f" ({trace[-1].filename.rpartition('/')[2]}:{trace[-1].lineno})" if trace else ""
        description = one_line(f"{type(error).__name__}: {error}{place}")
        message = one_line(f"{what} is left out after an unexpected exception: {description}")
        if self._record(key, message, lasting=False):
            self._logger.error(message)
        with self._lock:
            is_new = key not in self._traced
            self._traced.add(key)
        if is_new:
            # Without the text of the exception, which may come from outside.
            self._logger.error("Traceback (most recent call last):\n" + "".join(traceback.format_list(trace)).rstrip())
        return description

    def resolved(self, key: str) -> None:
        """Remove a lasting problem."""
        with self._lock:
            self._problems.pop(key, None)

    def _record(self, key: str, message: str, lasting: bool) -> bool:
        """Record a problem and return whether to log it: each kind at most every ``LOG_EVERY_S``, lasting ones always.

        The text does not matter: a publisher that varies it could flood the log otherwise.
        """
        now_s = time.monotonic()
        with self._lock:
            count = self._problems[key].count + 1 if key in self._problems else 1
            self._problems[key] = _Problem(message, now_s, count, lasting)
            self._last_problem = message
            due = lasting or now_s - self._logged_s.get(key, -LOG_EVERY_S) >= LOG_EVERY_S
            if due:
                self._logged_s[key] = now_s
        return due

    def status(self, name: str, hardware_id: str, state: Mapping[str, str]) -> DiagnosticStatus:
        """Make the diagnostic status.

        The level is OK without a problem in the last seconds and WARN with one. It is ERROR if a problem lasts, or if
        no frame was processed in these seconds.

        Args:
            name: Name of the status.
            hardware_id: Device that runs the network.
            state: Values to put before the collected ones; ``state["state"]`` is the message without a problem.
        """
        now_s = time.monotonic()
        with self._lock:
            present = [p for p in self._problems.values() if p.lasting or now_s - p.at_s <= _CURRENT_S]
            processing = any(now_s - t <= _CURRENT_S for t in self._times_s["frames_processed"])
            values = self._values(state, now_s)
        status = DiagnosticStatus(name=name, hardware_id=hardware_id, level=DiagnosticStatus.OK, message=state["state"])
        if present:
            status.message = max(present, key=lambda p: (p.lasting, p.at_s)).message
            is_error = not processing or any(p.lasting for p in present)
            status.level = DiagnosticStatus.ERROR if is_error else DiagnosticStatus.WARN
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        return status

    def _values(self, state: Mapping[str, str], now_s: float) -> dict[str, str]:
        """Return the values of the status by key; the lock is held."""
        values = dict(state) | {counter: str(number) for counter, number in self._counters.items()}
        for counter in ("frames_received", "frames_processed"):
            values[f"{counter}_hz"] = f"{self._rate_hz(counter, now_s):.2f}"
        for stage, latencies_ms in self._latencies_ms.items():
            values |= _latency_percentiles(stage, latencies_ms)
        for key, problem in self._problems.items():
            values[f"problem.{key}"] = (
                f"{problem.count} times, last {now_s - problem.at_s:.0f} s ago: {problem.message}"
            )
        values["last_problem"] = self._last_problem
        return values

    def _rate_hz(self, counter: str, now_s: float) -> float:
        """Return the rate of a counter over the last seconds; 0 with fewer than two events."""
        recent = [t for t in self._times_s[counter] if now_s - t <= _CURRENT_S]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 and recent[-1] > recent[0] else 0.0


def _latency_percentiles(stage: str, latencies_ms: deque[float]) -> dict[str, str]:
    """Return median and 95th percentile of the latencies of a stage."""
    ordered = sorted(latencies_ms)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return {f"{stage}_ms_p50": f"{statistics.median(ordered):.2f}", f"{stage}_ms_p95": f"{p95:.2f}"}
