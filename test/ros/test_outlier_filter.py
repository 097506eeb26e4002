"""A single stamp far ahead is left out; a clock that is set forward is followed after one message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.ros.outlier_filter import OutlierFilter

SECOND = 1_000_000_000
HOUR = 3600 * SECOND


def accepted(stamps_ns: list[int], period_s: float = 0.033) -> list[int]:
    """Return the stamps that a filter accepts, one message per period."""
    outliers = OutlierFilter()
    return [stamp for i, stamp in enumerate(stamps_ns) if not outliers.lead_ns("/rgb", stamp, i * period_s)]


@given(st.lists(st.integers(0, 59 * SECOND), min_size=1, max_size=30), st.data())
def test_outliers_that_do_not_follow_one_another_are_left_out(steps: list[int], data: st.DataObject) -> None:
    regular = [10 * HOUR + sum(steps[: i + 1]) for i in range(len(steps))]
    places = data.draw(st.lists(st.integers(1, len(regular)), unique=True))
    advances = {place: data.draw(st.integers(HOUR, 10 * HOUR)) for place in places}
    mixed = []
    for i, stamp in enumerate(regular):
        mixed.append(stamp)
        if i + 1 in advances:
            mixed.append(stamp + advances[i + 1])
    assert accepted(mixed) == regular


@given(st.lists(st.integers(0, 200 * SECOND), min_size=2, max_size=30), st.integers(2, 8))
def test_time_that_moves_on_in_large_steps_loses_at_most_every_second_message(steps: list[int], jump: int) -> None:
    stamps = [jump * HOUR + sum(steps[: i + 1]) for i in range(len(steps))]
    kept = accepted([SECOND, *stamps])
    assert len(kept) >= 1 + len(stamps) // 2


def test_a_clock_that_is_set_forward_is_followed_from_the_second_message() -> None:
    assert accepted([SECOND, HOUR, HOUR + SECOND, HOUR + 2 * SECOND]) == [SECOND, HOUR + SECOND, HOUR + 2 * SECOND]


def test_a_pause_of_the_camera_is_no_outlier() -> None:
    assert accepted([SECOND, HOUR, HOUR + SECOND], period_s=3599.0) == [SECOND, HOUR, HOUR + SECOND]


def test_topics_are_separate() -> None:
    outliers = OutlierFilter()
    assert not outliers.lead_ns("/rgb", SECOND, 0.0)
    assert not outliers.lead_ns("/depth", HOUR, 0.0)
