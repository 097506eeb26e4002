"""Oriented boxes: corners, edges and the points inside."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipose_ros.geometry.boxes import BOX_EDGES, box_corners, points_in_box
from clipose_ros.geometry.se3 import exp_se3, transform_points

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
