"""History of positions: it is as long as asked for, and starts anew with time or frame."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from posed_objects import Posed

from clipose_ros.ros_tools.view.trails import Trails


def at(x: float, name: str = "mug_1") -> Posed:
    T = np.eye(4)
    T[0, 3] = x
    return Posed(T, np.ones(3), np.eye(6), name)


@given(st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=20), st.integers(0, 20))
def test_trail_joins_the_positions_of_the_last_seconds(places: list[float], seconds: int) -> None:
    trails = Trails()
    for second, x in enumerate(places):
        trails.add(second * 1_000_000_000, "map", [at(x)])
    lines = trails.lines(float(seconds))
    expected = places[-(seconds + 1) :]
    assert lines.points.shape == lines.colours.shape == (len(expected) - 1, 2, 3)
    np.testing.assert_allclose(lines.points[:, 0, 0], expected[:-1], atol=1e-6)
    np.testing.assert_allclose(lines.points[:, 1, 0], expected[1:], atol=1e-6)


def test_trail_starts_anew_when_time_jumps_back_or_the_frame_changes() -> None:
    trails = Trails()
    for stamp, frame in ((1, "map"), (2, "map"), (1, "map"), (2, "odom")):
        trails.add(stamp, frame, [at(0.0)])
        count = len(trails.lines(10.0).points)
        assert count == (1 if (stamp, frame) == (2, "map") else 0)


def test_tracks_that_cannot_be_drawn_or_are_too_many_are_left_out() -> None:
    trails = Trails()
    for stamp in (1, 2):
        trails.add(stamp, "map", [at(float("nan")), *(at(0.0, f"mug_{k}") for k in range(1000))])
    assert 0 < len(trails.lines(10.0).points) <= 200
