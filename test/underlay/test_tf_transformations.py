"""Quaternions, Euler angles and matrices agree with each other."""

import numpy as np
import pytest
import tf_transformations as tf
from hypothesis import assume, given
from hypothesis import strategies as st

angles = st.tuples(*[st.floats(-3.1, 3.1)] * 3)
quaternions = st.tuples(*[st.floats(-1.0, 1.0)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1).map(tf.unit_vector)
vectors = st.tuples(*[st.floats(-10.0, 10.0)] * 3)
AXES = [kind + order for kind in "sr" for order in ("xyz", "zyx", "yzx", "zxz", "xyx")]


def elementary(axis, angle):
    cos, sin = np.cos(angle), np.sin(angle)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.identity(4)
    matrix[first, first] = matrix[second, second] = cos
    matrix[second, first], matrix[first, second] = sin, -sin
    return matrix


@pytest.mark.parametrize("axes", AXES)
@given(angles)
def test_euler_matrix_is_the_product_of_its_turns(axes, triple):
    turns = [elementary(axis, angle) for axis, angle in zip(axes[1:], triple, strict=True)]
    ordered = turns[::-1] if axes[0] == "s" else turns  # fixed axes: the first turn acts first, from the right
    np.testing.assert_allclose(tf.euler_matrix(*triple, axes), tf.concatenate_matrices(*ordered), atol=1e-12)


@pytest.mark.parametrize("axes", AXES)
@given(quaternions)
def test_euler_angles_give_the_rotation_back(axes, quaternion):
    matrix = tf.quaternion_matrix(quaternion)
    middle = tf.euler_from_matrix(matrix, axes)[1]
    locked = 0.0 if axes[1] == axes[3] else np.pi / 2
    assume(min(abs(abs(middle) - locked), abs(np.pi - abs(middle) - locked)) > 1e-3)
    np.testing.assert_allclose(tf.euler_matrix(*tf.euler_from_quaternion(quaternion, axes), axes), matrix, atol=1e-7)
    again = tf.quaternion_from_euler(*tf.euler_from_quaternion(quaternion, axes), axes)
    assert abs(again @ quaternion) == pytest.approx(1.0, abs=1e-9)


@given(quaternions, quaternions)
def test_product_of_quaternions_is_product_of_matrices(a, b):
    product = tf.quaternion_matrix(tf.quaternion_multiply(a, b))
    np.testing.assert_allclose(product, tf.quaternion_matrix(a) @ tf.quaternion_matrix(b), atol=1e-12)
    np.testing.assert_allclose(tf.quaternion_multiply(a, tf.quaternion_inverse(a)), (0, 0, 0, 1), atol=1e-12)


@given(quaternions)
def test_quaternion_of_matrix_is_the_one_with_positive_w(quaternion):
    result = tf.quaternion_from_matrix(tf.quaternion_matrix(quaternion))
    assert result[3] >= 0
    assert abs(result @ quaternion) == pytest.approx(1.0, abs=1e-9)


@given(quaternions, vectors)
def test_inverse_and_translation(quaternion, vector):
    matrix = tf.concatenate_matrices(tf.translation_matrix(vector), tf.quaternion_matrix(quaternion))
    np.testing.assert_allclose(tf.translation_from_matrix(matrix), vector)
    np.testing.assert_allclose(tf.inverse_matrix(matrix) @ matrix, tf.identity_matrix(), atol=1e-10)


@given(st.floats(0.01, 3.0), st.floats(0.0, 1.0))
def test_slerp_turns_evenly(angle, fraction):
    end = tf.quaternion_about_axis(angle, (0, 0, 2))
    between = tf.quaternion_slerp((0, 0, 0, 1), end, fraction)
    np.testing.assert_allclose(tf.euler_from_quaternion(between)[2], angle * fraction, atol=1e-9)


def test_convention_is_x_y_z_w_and_right_handed():
    quarter = tf.quaternion_from_euler(0, 0, np.pi / 2)
    np.testing.assert_allclose(quarter, (0, 0, np.sqrt(0.5), np.sqrt(0.5)))
    np.testing.assert_allclose(tf.quaternion_matrix(quarter) @ (1, 0, 0, 1), (0, 1, 0, 1), atol=1e-12)
    through = tf.rotation_matrix(np.pi, (0, 0, 1), (1, 0, 0))
    np.testing.assert_allclose(through @ (0, 0, 0, 1), (2, 0, 0, 1), atol=1e-12)


def test_unknown_axes_are_refused():
    with pytest.raises(ValueError, match="'xyz'"):
        tf.euler_matrix(0, 0, 0, "xyz")
