"""Timing of repeated calls: median and quartiles."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall time of repeated calls, milliseconds.

    Attributes:
        median_ms: Median.
        low_ms: Lower quartile.
        high_ms: Upper quartile.
        count: Number of timed calls.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    count: int

    @classmethod
    def from_seconds(cls, seconds: Sequence[float]) -> Timing:
        """Compute median and quartiles of the durations of at least one call."""
        low, median, high = (round(1e3 * float(value), 4) for value in np.percentile(seconds, (25, 50, 75)))
        return cls(median, low, high, len(seconds))


def time_call(call: Callable[[], object], budget_s: float = 1.0, min_calls: int = 3, max_calls: int = 2000) -> Timing:
    """Time a call repeatedly for about ``budget_s``.

    The first call fills caches and allocates memory, so its duration is left out. If it takes longer than the whole
    budget, it is included, since these costs are then small in comparison.

    Args:
        call: Timed function.
        budget_s: Total duration of the timed calls, seconds.
        min_calls: Smallest number of calls, also if they exceed the budget.
        max_calls: Largest number of calls.
    """
    durations_s = [_measure_seconds(call)]
    if durations_s[0] <= budget_s:
        durations_s.clear()
    end = time.perf_counter() + budget_s
    while len(durations_s) < min_calls or (len(durations_s) < max_calls and time.perf_counter() < end):
        durations_s.append(_measure_seconds(call))
    return Timing.from_seconds(durations_s)


def _measure_seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
