"""Orthogonalization of two predicted axes, CLIPose Eq. (7) and Eq. (8)."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipose_ros.errors import DegenerateInputError
from clipose_ros.geometry.rotation import rotation_from_axes
from clipose_ros.geometry.se3 import exp_so3

vectors = arrays(np.float64, 3, elements=st.floats(-1, 1)).filter(lambda v: np.linalg.norm(v) > 0.1)
confidences = st.floats(1e-3, 1.0)


def angle(a, b):
    return math.atan2(np.linalg.norm(np.cross(a, b)), a @ b)


@given(vectors, vectors, confidences, confidences)
def test_result_is_a_rotation(y, x, confidence_y, confidence_x):
    assume(np.linalg.norm(np.cross(x, y)) > 1e-6)
    R = rotation_from_axes(y, x, confidence_y, confidence_x)
    assert np.allclose(R.T @ R, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1.0)


@given(vectors, vectors, confidences, confidences)
def test_axes_turn_in_inverse_proportion_to_their_confidences(y, x, confidence_y, confidence_x):
    assume(0.05 < angle(y, x) < math.pi - 0.05)
    R = rotation_from_axes(y, x, confidence_y, confidence_x)
    turn_x, turn_y = angle(x, R[:, 0]), angle(y, R[:, 1])
    assert turn_x + turn_y == pytest.approx(abs(angle(y, x) - math.pi / 2), abs=1e-7)
    assert turn_x * confidence_x == pytest.approx(turn_y * confidence_y, abs=1e-7)
    assert abs(np.cross(y, x) @ R[:, 1]) < 1e-9, "the axes stay in their plane"


@given(vectors, vectors, confidences)
def test_zero_confidence_of_x_keeps_y(y, x, confidence_y):
    R = rotation_from_axes(y, x, confidence_y, 0.0)
    assert np.allclose(R[:, 1], y / np.linalg.norm(y), atol=1e-12)
    assert np.allclose(R.T @ R, np.eye(3), atol=1e-12)


@given(vectors, vectors)
def test_dominant_confidence_of_y_keeps_y(y, x):
    assume(0.05 < angle(y, x) < math.pi - 0.05)
    assert angle(rotation_from_axes(y, x, 1.0, 1e-4)[:, 1], y) < 2e-4


@given(arrays(np.float64, 3, elements=st.floats(-3, 3)), confidences, confidences, st.floats(0.1, 10))
def test_orthogonal_axes_are_kept(phi, confidence_y, confidence_x, length):
    R = exp_so3(phi)
    assert np.allclose(rotation_from_axes(length * R[:, 1], R[:, 0], confidence_y, confidence_x), R, atol=1e-12)


@given(vectors, vectors, arrays(np.float64, 3, elements=st.floats(-3, 3)), confidences, confidences)
def test_result_is_equivariant_to_rotation(y, x, phi, confidence_y, confidence_x):
    assume(0.05 < angle(y, x) < math.pi - 0.05)
    Q = exp_so3(phi)
    expected = Q @ rotation_from_axes(y, x, confidence_y, confidence_x)
    assert np.allclose(rotation_from_axes(Q @ y, Q @ x, confidence_y, confidence_x), expected, atol=1e-9)


def test_zero_confidences_turn_both_axes_equally():
    R = rotation_from_axes(np.array([0.0, 1.0, 0.0]), np.array([1.0, 1.0, 0.0]), 0.0, 0.0)
    assert math.degrees(angle(R[:, 1], np.array([0.0, 1.0, 0.0]))) == pytest.approx(22.5)


@pytest.mark.parametrize("x", [[0.0, 3.0, 0.0], [0.0, -3.0, 0.0]])
def test_parallel_axes_raise_unless_x_has_no_confidence(x):
    y = np.array([0.0, 1.0, 0.0])
    with pytest.raises(DegenerateInputError, match="parallel"):
        rotation_from_axes(y, np.array(x), 0.9, 0.5)
    R = rotation_from_axes(y, np.array(x), 0.9, 0.0)
    assert np.allclose(R[:, 1], y) and np.linalg.det(R) == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [[0.0, 0.0, 0.0], [np.nan, 0.0, 1.0], [np.inf, 0.0, 1.0], [1.0, 0.0]])
def test_invalid_axis_raises(bad):
    good = np.array([1.0, 0.0, 0.0])
    with pytest.raises(DegenerateInputError, match="axis_y"):
        rotation_from_axes(np.array(bad), good, 0.5, 0.5)
    with pytest.raises(DegenerateInputError, match="axis_x"):
        rotation_from_axes(good, np.array(bad), 0.5, 0.5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1])
def test_invalid_confidence_raises(bad):
    with pytest.raises(DegenerateInputError, match="confidences"):
        rotation_from_axes(np.eye(3)[1], np.eye(3)[0], bad, 0.5)
