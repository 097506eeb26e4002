"""The three kinds of 3D IoU."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.evaluation.metrics.iou import TURNS, IouKind, box_iou, pairwise_iou
from clipose_ros.geometry.se3 import exp_so3, make_transform

NOT_AXIAL, AXIAL = np.array([False]), np.array([True])
KINDS = list(IouKind)

extents = st.tuples(*[st.floats(0.1, 0.9)] * 3).map(np.array)
vectors = st.tuples(*[st.floats(-1.0, 1.0)] * 3).map(np.array)


def similarity(rotation_vector=(0.0, 0.0, 0.0), t=(0.0, 0.0, 1.0), scale=0.2):
    S = make_transform(exp_so3(np.array(rotation_vector, dtype=float)), np.array(t, dtype=float))
    S[:3, :3] *= scale
    return S


def one(kind, S_a, e_a, S_b, e_b, axial=NOT_AXIAL):
    return float(pairwise_iou(kind, S_a[None], np.asarray(e_a)[None], S_b[None], np.asarray(e_b)[None], axial)[0, 0])


positions = st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(1.0, 1.6))
"""Positions in front of the camera. If x, y and z of a corner are equal, the released IoU is 0 / 0."""
poses = st.builds(similarity, st.tuples(*[st.floats(-3.0, 3.0)] * 3), positions, st.floats(0.05, 0.6))


@settings(max_examples=100, deadline=None)
@given(poses, extents, poses, extents, st.sampled_from(KINDS), st.booleans())
def test_iou_lies_between_zero_and_one(S_a, e_a, S_b, e_b, kind, axial):
    value = one(kind, S_a, e_a, S_b, e_b, np.array([axial]))
    assert 0.0 <= value <= 1.0
    assert value >= one(kind, S_a, e_a, S_b, e_b) - 1e-12  # the maximum over turns is at least the IoU without a turn
    assert one(kind, S_a, e_a, S_a, e_a, np.array([axial])) == pytest.approx(1.0, abs=1e-7)


@settings(max_examples=100, deadline=None)
@given(poses, extents, poses, extents, st.sampled_from(KINDS))
def test_iou_is_symmetric(S_a, e_a, S_b, e_b, kind):
    assert one(kind, S_a, e_a, S_b, e_b) == pytest.approx(one(kind, S_b, e_b, S_a, e_a), abs=1e-7)


@settings(max_examples=100, deadline=None)
@given(poses, extents, poses, extents, vectors, vectors, st.booleans())
def test_oriented_iou_does_not_depend_on_the_camera(S_a, e_a, S_b, e_b, rotation, t, axial):
    T = make_transform(exp_so3(3.0 * rotation), t)
    flag = np.array([axial])
    here, there = one(KINDS[2], S_a, e_a, S_b, e_b, flag), one(KINDS[2], T @ S_a, e_a, T @ S_b, e_b, flag)
    assert there == pytest.approx(here, abs=1e-6)


@given(vectors)
def test_corrected_iou_equals_oriented_iou_of_aligned_boxes(offset):
    S_a, S_b = similarity(), similarity(t=np.array([0.0, 0.0, 1.0]) + 0.2 * offset)
    e_a, e_b = np.array([0.5, 0.7, 0.4]), np.array([0.6, 0.5, 0.5])
    assert one(IouKind.CORRECTED, S_a, e_a, S_b, e_b) == pytest.approx(
        one(IouKind.ORIENTED, S_a, e_a, S_b, e_b), abs=1e-7
    )


def test_iou_of_a_cube_shifted_by_half_is_a_third():
    S_a, S_b, cube = similarity(), similarity(t=(0.05, 0.0, 1.0)), np.full(3, 0.5)
    for kind in (IouKind.CORRECTED, IouKind.ORIENTED):
        assert one(kind, S_a, cube, S_b, cube) == pytest.approx(1.0 / 3.0)


def test_released_iou_uses_the_range_of_the_coordinates_of_each_corner():
    # two cubes of side 2 at (0, 0, 10) and (0, 0, 11): the coordinates of a corner (x, y, z + c) range from min(x, y)
    # to z + c
    cube, S_a, S_b = np.full(3, 2.0), similarity(t=(0, 0, 10), scale=1.0), similarity(t=(0, 0, 11), scale=1.0)
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    spread_a = np.prod([10 + z - min(x, y) for x, y, z in corners])
    spread_b = np.prod([11 + z - min(x, y) for x, y, z in corners])
    shared = spread_a  # the range of each corner of a lies within that of b
    expected = shared / (spread_a + spread_b - shared)
    assert one(IouKind.RELEASED, S_a, cube, S_b, cube) == pytest.approx(expected)
    assert one(IouKind.RELEASED, S_a, cube, S_b, cube) > one(IouKind.CORRECTED, S_a, cube, S_b, cube)


def test_oriented_iou_of_a_quarter_turn():
    tilt = np.array([0.6, 0.0, 0.0])
    flat = np.array([0.8, 0.2, 0.4])
    S, turned = similarity(tilt), similarity(tilt)
    turned[:3, :3] = S[:3, :3] @ exp_so3([0.0, np.pi / 2, 0.0])
    assert one(IouKind.ORIENTED, turned, flat, S, flat) == pytest.approx(1.0 / 3.0)
    square = np.array([0.6, 0.2, 0.6])
    assert one(IouKind.ORIENTED, turned, square, S, square) == pytest.approx(1.0, abs=1e-7)


def test_pairwise_iou_of_axial_objects_is_the_maximum_over_twenty_turns():
    assert TURNS.shape == (20, 4, 4)
    extents_ = np.array([0.3, 0.8, 0.6])
    S = similarity((0.4, 0.2, -0.3))
    for turn in TURNS:
        assert one(IouKind.ORIENTED, S @ turn, extents_, S, extents_, AXIAL) == pytest.approx(1.0, abs=1e-7)
    between = S @ make_transform(exp_so3([0.0, np.radians(9.0), 0.0]), np.zeros(3))
    assert 0.7 < one(IouKind.ORIENTED, between, extents_, S, extents_, AXIAL) < 0.99
    # the flag belongs to the truth
    S_true = np.stack([S, S])
    row = pairwise_iou(
        IouKind.ORIENTED,
        (S @ TURNS[5])[None],
        extents_[None],
        S_true,
        np.stack([extents_] * 2),
        np.array([True, False]),
    )
    assert row[0, 0] == pytest.approx(1.0, abs=1e-7) and row[0, 1] < 0.6


@pytest.mark.parametrize("kind", KINDS)
def test_pairwise_iou_of_failed_estimates_is_zero(kind):
    S, e = similarity(), np.full(3, 0.5)
    for failed, size in ((np.zeros((4, 4)), np.zeros(3)), (np.full((4, 4), np.nan), e), (S, np.full(3, np.inf))):
        for axial in (AXIAL, NOT_AXIAL):
            assert one(kind, failed, size, S, e, axial) == 0.0
    assert box_iou(kind, S, np.zeros(3), S, np.zeros(3)) <= 1.0
    assert pairwise_iou(kind, np.zeros((0, 4, 4)), np.zeros((0, 3)), S[None], e[None], AXIAL).shape == (0, 1)
    assert pairwise_iou(kind, S[None], e[None], np.zeros((0, 4, 4)), np.zeros((0, 3)), np.zeros(0, bool)).shape == (
        1,
        0,
    )
