"""Oriented boxes: corners, edges and the points inside."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipose_ros.geometry.boxes import BOX_EDGES, box_corners, boxes_overlap, points_in_box
from clipose_ros.geometry.se3 import exp_se3, exp_so3, invert_transform, make_transform, transform_points

transforms = arrays(np.float64, 6, elements=st.floats(-3, 3)).map(exp_se3)
sizes = arrays(np.float64, 3, elements=st.floats(0.01, 2))


@given(transforms, sizes)
def test_edges_have_the_lengths_of_the_sides(T, size):
    corners = box_corners(T, size)
    assert corners.shape == (8, 3)
    lengths = np.linalg.norm(corners[BOX_EDGES[:, 0]] - corners[BOX_EDGES[:, 1]], axis=1)
    assert np.allclose(np.sort(lengths), np.sort(np.repeat(size, 4)))
    assert np.allclose(corners.mean(axis=0), T[:3, 3])


def test_first_four_corners_are_the_bottom():
    corners = box_corners(np.eye(4), np.array([1.0, 2.0, 3.0]))
    assert (corners[:4, 1] == -1.0).all() and (corners[4:, 1] == 1.0).all()
    assert np.array_equal(corners[:4, [0, 2]], corners[4:, [0, 2]])


def test_every_corner_has_three_edges():
    assert BOX_EDGES.shape == (12, 2)
    assert (np.bincount(BOX_EDGES.ravel()) == 3).all()


@given(transforms, sizes, arrays(np.float64, (20, 3), elements=st.floats(-1.5, 1.5)))
def test_points_in_box_is_independent_of_the_frame(T, size, fractions):
    expected = (np.abs(fractions) <= 1.0).all(axis=1)
    clear = (np.abs(np.abs(fractions) - 1.0) > 1e-6).all(axis=1)
    points = transform_points(T, fractions * size / 2)
    assert np.array_equal(points_in_box(points, T, size)[clear], expected[clear])


def test_points_in_box_adds_the_margin_on_every_side():
    points = np.array([[0.55, 0.0, 0.0], [-0.55, 0.0, 0.0], [0.0, 0.65, 0.0]])
    assert points_in_box(points, np.eye(4), np.ones(3)).tolist() == [False, False, False]
    assert points_in_box(points, np.eye(4), np.ones(3), margin=0.1).tolist() == [True, True, False]


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_boxes_overlap_as_their_surfaces_say(seed):
    """Two boxes overlap if and only if the distance of their closest points, found by projection, is zero."""
    rng = np.random.default_rng(seed)
    T = make_transform(exp_so3(rng.normal(size=(2, 3))), rng.uniform(-1.0, 1.0, (2, 3)))
    size = rng.uniform(0.1, 1.5, (2, 3))
    point = T[0, :3, 3]
    for _ in range(300):  # alternating projections converge to the closest points of two convex bodies
        before = point
        for k in (1, 0):
            local = transform_points(invert_transform(T[k]), point[None])[0]
            point = transform_points(T[k], np.clip(local, -0.5 * size[k], 0.5 * size[k])[None])[0]
        if np.abs(point - before).max() < 1e-12:
            break
    local = transform_points(invert_transform(T[1]), point[None])[0]
    distance = np.linalg.norm(np.maximum(np.abs(local) - 0.5 * size[1], 0.0))
    if not 1e-9 < distance < 1e-2:  # near contact the projections converge slowly
        assert boxes_overlap(T[0], size[0], T[1], size[1]) == (distance <= 1e-9)
        assert boxes_overlap(T[1], size[1], T[0], size[0]) == (distance <= 1e-9)
