"""How long a call takes: the middle of many, and their spread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall times of one call, milliseconds.

    Attributes:
        median_ms: Half of the calls took longer.
        low_ms: A quarter took less.
        high_ms: A quarter took more.
        count: Calls timed.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Median and quartiles of at least one call."""
        low, median, high = (round(1e3 * float(value), 4) for value in np.percentile(seconds, (25, 50, 75)))
        return cls(median, low, high, len(seconds))


def time_call(call: Callable[[], object], budget_s: float = 1.0, least: int = 3, most: int = 2000) -> Timing:
    """Call again and again, for about ``budget_s`` but ``least`` times at least.

    The first call is left out, since caches fill and memory is allocated then. One that takes longer than the whole
    budget counts all the same: it is long beside such things.
    """
    took_s = [_seconds(call)]
    if took_s[0] <= budget_s:
        took_s.clear()
    end = time.perf_counter() + budget_s
    while len(took_s) < least or (len(took_s) < most and time.perf_counter() < end):
        took_s.append(_seconds(call))
    return Timing.of(took_s)


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
