"""Rotations and rigid transforms: group axioms, inverses and batches, also near 0 and 180 degrees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from clipose_ros.errors import DegenerateInputError, ShapeError
from clipose_ros.geometry.se3 import (
    exp_se3,
    exp_so3,
    invert_transform,
    log_se3,
    log_so3,
    make_transform,
    quat_xyzw_from_rotation,
    rotate_covariance,
    rotation_angle_deg,
    rotation_from_quat_xyzw,
    transform_points,
)

units = (
    arrays(np.float64, 3, elements=st.floats(-1, 1))
    .filter(lambda v: np.linalg.norm(v) > 0.1)
    .map(lambda v: v / np.linalg.norm(v))
)
angles = st.one_of(
    st.floats(0.0, np.pi),
    st.sampled_from([0.0, 1e-300, 1e-12, 1e-8, 1e-7, 1e-4, 0.0099999, 0.0100001, np.pi / 2]),
    st.floats(1e-12, 1e-3).map(lambda gap: np.pi - gap),
)
rotation_vectors = st.tuples(units, angles).map(lambda pair: pair[0] * pair[1])
vectors = arrays(np.float64, 3, elements=st.floats(-10, 10))
twists = st.tuples(vectors, rotation_vectors).map(np.concatenate)
transforms = twists.map(exp_se3)
rotations = rotation_vectors.map(exp_so3)


@given(rotation_vectors)
def test_exp_so3_agrees_with_scipy(phi):
    R = exp_so3(phi)
    assert np.allclose(R @ R.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(R) == pytest.approx(1.0)
    assert np.allclose(R, Rotation.from_rotvec(phi).as_matrix(), atol=1e-14)


@given(rotation_vectors)
def test_log_so3_is_the_inverse_of_exp(phi):
    assert np.allclose(log_so3(exp_so3(phi)), phi, atol=1e-9, rtol=0)


@given(st.lists(rotation_vectors, min_size=1, max_size=3))
def test_one_rotation_gets_the_values_that_it_has_in_a_batch(batch):
    """Single rotations are computed without arrays."""
    phi = np.stack(batch)
    R = exp_so3(phi)
    logarithms = log_so3(R)
    for i in range(len(phi)):
        assert np.allclose(exp_so3(phi[i]), R[i], atol=1e-15, rtol=0)
        assert np.allclose(log_so3(R[i]), logarithms[i], atol=1e-15, rtol=1e-14)


@given(units)
def test_log_so3_of_a_half_turn_has_length_pi(axis):
    phi = log_so3(2.0 * np.outer(axis, axis) - np.eye(3))
    assert np.linalg.norm(phi) == pytest.approx(np.pi)
    assert abs(phi @ axis) == pytest.approx(np.pi)


@given(twists)
def test_log_se3_is_the_inverse_of_exp(twist):
    assert np.allclose(log_se3(exp_se3(twist)), twist, atol=1e-8, rtol=0)


@given(twists)
def test_exp_se3_is_the_limit_of_many_small_steps(twist):
    """The reference is the square, taken 20 times, of a step for which two terms of the series suffice."""
    X = np.zeros((4, 4))
    X[:3, :3] = np.cross(np.eye(3), twist[3:])
    X[:3, 3] = twist[:3]
    step = X / 2**20
    T = np.eye(4) + step + step @ step / 2
    for _ in range(20):
        T = T @ T
    assert np.allclose(exp_se3(twist), T, atol=1e-7)


@given(transforms, transforms, transforms)
def test_transforms_satisfy_the_group_axioms(A, B, C):
    assert np.allclose((A @ B) @ C, A @ (B @ C))
    assert np.allclose(A @ invert_transform(A), np.eye(4), atol=1e-12)
    assert np.allclose(invert_transform(A @ B), invert_transform(B) @ invert_transform(A), atol=1e-9)


@given(transforms, transforms, arrays(np.float64, (5, 3), elements=st.floats(-5, 5)))
def test_transform_points_by_a_product_is_the_composition(A, B, points):
    assert np.allclose(transform_points(A, transform_points(B, points)), transform_points(A @ B, points), atol=1e-9)


@given(rotations)
def test_quaternion_round_trip(R):
    quat_xyzw = quat_xyzw_from_rotation(R)
    assert np.linalg.norm(quat_xyzw) == pytest.approx(1.0)
    assert quat_xyzw[3] >= 0.0
    assert np.allclose(rotation_from_quat_xyzw(quat_xyzw), R, atol=1e-14)


def test_quaternion_order_is_x_y_z_w():
    R = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # a quarter turn about z
    assert np.allclose(quat_xyzw_from_rotation(R), [0, 0, np.sqrt(0.5), np.sqrt(0.5)])
    assert np.allclose(rotation_from_quat_xyzw([0, 0, 2.0, 2.0]), R)


@pytest.mark.parametrize("quat_xyzw", [[0.0] * 4, [np.nan, 0, 0, 1]])
def test_invalid_quaternion_raises(quat_xyzw):
    with pytest.raises(DegenerateInputError, match="quat_xyzw"):
        rotation_from_quat_xyzw(quat_xyzw)


@given(rotations, units, angles)
def test_rotation_angle_of_a_known_rotation(R, axis, angle):
    assert rotation_angle_deg(R, R @ exp_so3(axis * angle)) == pytest.approx(np.degrees(angle), abs=1e-6)


@given(rotations, st.integers(0, 2**31))
def test_rotated_covariance_is_the_covariance_of_rotated_samples(R, seed):
    samples = np.random.default_rng(seed).normal(size=(50, 6))
    covariance = np.cov(samples.T)
    rotated = np.concatenate([samples[:, :3] @ R.T, samples[:, 3:] @ R.T], axis=1)
    assert np.allclose(rotate_covariance(covariance, R), np.cov(rotated.T), atol=1e-12)


@pytest.mark.parametrize("batch", [(), (1,), (4,), (2, 3), (0,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_equal_single_results_in_float64(batch, dtype):
    rng = np.random.default_rng(5)
    twist = rng.normal(size=(*batch, 6)).astype(dtype)
    points = rng.normal(size=(*batch, 7, 3)).astype(dtype)
    T = exp_se3(twist)
    assert T.shape == (*batch, 4, 4) and T.dtype == np.float64
    R = T[..., :3, :3]
    results = {
        "log_se3": (log_se3(T), log_se3),
        "log_so3": (log_so3(R), lambda T: log_so3(T[:3, :3])),
        "quaternion": (quat_xyzw_from_rotation(R), lambda T: quat_xyzw_from_rotation(T[:3, :3])),
        "inverse": (invert_transform(T), invert_transform),
        "make": (make_transform(R, T[..., :3, 3]), lambda T: T),
    }
    for index in np.ndindex(batch):
        assert np.allclose(T[index], exp_se3(twist[index]))
        for name, (whole, single) in results.items():
            assert np.allclose(whole[index], single(T[index])), name
        assert np.allclose(transform_points(T, points)[index], transform_points(T[index], points[index]))
    assert transform_points(T, points).shape == (*batch, 7, 3)


@pytest.mark.parametrize(
    ("function", "value", "name"),
    [
        (exp_so3, np.zeros(4), "rotation_vector"),
        (exp_se3, np.zeros(3), "twist"),
        (log_so3, np.zeros((4, 4)), "R"),
        (log_se3, np.zeros((3, 3)), "T"),
        (invert_transform, np.zeros((3, 4)), "T"),
        (rotation_from_quat_xyzw, np.zeros(3), "quat_xyzw"),
    ],
)
def test_wrong_shape_raises(function, value, name):
    with pytest.raises(ShapeError, match=rf"{name} must have shape .* got \({value.shape[0]}"):
        function(value)
