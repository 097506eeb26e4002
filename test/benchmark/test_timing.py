"""Medians, quartiles, and how often is called."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.benchmark.timing import Timing, time_call


def test_median_and_quartiles_in_milliseconds() -> None:
    timing = Timing.of([0.004, 0.001, 0.002, 0.003, 0.1])
    assert (timing.median_ms, timing.low_ms, timing.high_ms, timing.count) == (3.0, 2.0, 4.0, 5)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=50))
def test_quartiles_enclose_the_median(seconds: list[float]) -> None:
    timing = Timing.of(seconds)
    assert 0.0 <= timing.low_ms <= timing.median_ms <= timing.high_ms <= 1e3 * max(seconds) + 1e-3
    assert timing.count == len(seconds)


class Clock:
    """Time that passes only in calls, each of which takes as long as told, the last value over and over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *takes_s: float) -> None:
        self.now, self.calls, self.takes_s = 100.0, 0, takes_s
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def call(self) -> None:
        self.now += self.takes_s[min(self.calls, len(self.takes_s) - 1)]
        self.calls += 1


def test_the_first_call_is_left_out_and_the_budget_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 0.5, 0.125)
    timing = time_call(clock.call, budget_s=1.0)
    assert (timing.count, timing.high_ms, clock.calls) == (8, 125.0, 9)


def test_slow_calls_are_made_a_few_times_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 9.0, 8.0)
    assert (time_call(clock.call, budget_s=1.0, min_calls=3).count, clock.calls) == (3, 3)


def test_fast_calls_are_not_made_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 1e-9)
    assert time_call(clock.call, budget_s=1.0, max_calls=50).count == 50
