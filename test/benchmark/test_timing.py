"""Timing of repeated calls."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.benchmark.timing import Timing, time_call


def test_timing_computes_median_and_quartiles_in_milliseconds() -> None:
    timing = Timing.from_seconds([0.004, 0.001, 0.002, 0.003, 0.1])
    assert (timing.median_ms, timing.low_ms, timing.high_ms, timing.count) == (3.0, 2.0, 4.0, 5)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=50))
def test_timing_quartiles_enclose_the_median(seconds: list[float]) -> None:
    timing = Timing.from_seconds(seconds)
    assert 0.0 <= timing.low_ms <= timing.median_ms <= timing.high_ms <= 1e3 * max(seconds) + 1e-3
    assert timing.count == len(seconds)


class Clock:
    """Clock that advances only in calls, by the given durations; the last one is repeated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *takes_s: float) -> None:
        self.now, self.calls, self.takes_s = 100.0, 0, takes_s
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def call(self) -> None:
        self.now += self.takes_s[min(self.calls, len(self.takes_s) - 1)]
        self.calls += 1


def test_time_call_leaves_out_the_first_call_and_keeps_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 0.5, 0.125)
    timing = time_call(clock.call, budget_s=1.0)
    assert (timing.count, timing.high_ms, clock.calls) == (8, 125.0, 9)


def test_time_call_repeats_slow_calls_min_calls_times(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 9.0, 8.0)
    assert (time_call(clock.call, budget_s=1.0, min_calls=3).count, clock.calls) == (3, 3)


def test_time_call_stops_at_max_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 1e-9)
    assert time_call(clock.call, budget_s=1.0, max_calls=50).count == 50
