"""Intersection volume of oriented boxes."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.evaluation.metrics.box_intersection import intersection_volume
from clipose_ros.geometry.boxes import points_in_box
from clipose_ros.geometry.se3 import exp_so3, make_transform

EYE, ORIGIN, UNIT = np.eye(3), np.zeros(3), np.ones(3)
sides = st.floats(0.05, 2.0)
sizes = st.tuples(sides, sides, sides).map(np.array)
shifts = st.tuples(*[st.floats(-1.0, 1.0)] * 3).map(np.array)
turns = st.tuples(*[st.floats(-3.0, 3.0)] * 3).map(lambda v: exp_so3(np.array(v)))


def turn_y(degrees):
    return exp_so3(np.radians([0.0, degrees, 0.0]))


@pytest.mark.parametrize(
    ("R", "offset", "size", "expected"),
    [
        (EYE, [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], 1.0),
        (EYE, [0.25, 0.0, 0.0], [1.0, 1.0, 1.0], 0.75),
        (EYE, [0.5, 0.5, -0.5], [1.0, 1.0, 1.0], 0.125),
        (EYE, [1.0, 0.0, 0.0], [1.0, 1.0, 1.0], 0.0),  # faces touch
        (EYE, [0.0, 0.2, 0.0], [0.5, 0.2, 3.0], 0.1),  # passes through both faces
        (EYE, [0.1, 0.2, -0.1], [0.2, 0.3, 0.4], 0.024),  # inside
        (EYE, [0.0, 0.0, 9.0], [1.0, 1.0, 1.0], 0.0),
        (turn_y(90.0), [0.0, 0.0, 0.0], [2.0, 1.0, 0.5], 0.5),
        (turn_y(45.0), [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], 2.0 * (math.sqrt(2.0) - 1.0)),  # a regular octagon
        # an edge of the second box enters a face of the first: the intersection is a triangular prism
        (turn_y(45.0), [0.5 + 0.25 * math.sqrt(2.0), 0.0, 0.0], [1.0, 1.0, 1.0], 0.125),
    ],
)
def test_intersection_volume_of_known_cases(R, offset, size, expected):
    for turn in (EYE, exp_so3([0.3, -1.1, 0.7])):
        both = (turn @ R, turn @ np.array(offset), np.array(size))
        assert intersection_volume(turn, ORIGIN, UNIT, *both) == pytest.approx(expected, abs=1e-8)
        assert intersection_volume(*both, turn, ORIGIN, UNIT) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("seed", range(6))
def test_intersection_volume_agrees_with_random_points(seed):
    rng = np.random.default_rng(seed)
    R_a, R_b = exp_so3(rng.normal(size=(2, 3)))
    offset, size_a, size_b = rng.normal(size=3) * 0.15, rng.uniform(0.3, 1.0, 3), rng.uniform(0.3, 1.0, 3)
    count = 200_000
    points = (rng.uniform(-0.5, 0.5, (count, 3)) * size_a) @ R_a.T
    share = points_in_box(points, make_transform(R_b, offset), size_b).mean()
    deviation = math.sqrt(share * (1.0 - share) / count)
    volume = intersection_volume(R_a, ORIGIN, size_a, R_b, offset, size_b)
    assert 0.05 < share < 0.95  # otherwise the case is trivial
    assert volume / size_a.prod() == pytest.approx(share, abs=4.5 * deviation)


@settings(max_examples=200, deadline=None)
@given(turns, turns, shifts, sizes, sizes, turns, shifts)
def test_intersection_volume_is_symmetric_bounded_and_invariant(R_a, R_b, offset, size_a, size_b, turn, shift):
    volume = intersection_volume(R_a, ORIGIN, size_a, R_b, offset, size_b)
    smaller = min(size_a.prod(), size_b.prod())
    assert 0.0 <= volume <= smaller
    swapped = intersection_volume(R_b, offset, size_b, R_a, ORIGIN, size_a)
    assert swapped == pytest.approx(volume, abs=1e-6 * smaller)
    moved = intersection_volume(turn @ R_a, shift, size_a, turn @ R_b, turn @ offset + shift, size_b)
    assert moved == pytest.approx(volume, abs=1e-6 * smaller)


def test_intersection_volume_broadcasts_pairs():
    rng = np.random.default_rng(1)
    R, centres, size = exp_so3(rng.normal(size=(5, 3))), rng.normal(size=(5, 3)) * 0.2, rng.uniform(0.2, 1.0, (5, 3))
    table = intersection_volume(R[:, None], centres[:, None], size[:, None], R[None], centres[None], size[None])
    assert table.shape == (5, 5)
    for i in range(5):
        for j in range(5):
            one = intersection_volume(R[i], centres[i], size[i], R[j], centres[j], size[j])
            assert table[i, j] == pytest.approx(float(one), abs=1e-12)
