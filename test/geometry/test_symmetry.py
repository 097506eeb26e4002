"""Yaw and rotation errors of axially symmetric objects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.geometry.se3 import exp_se3, exp_so3, make_transform, rotation_angle_deg
from clipose_ros.geometry.symmetry import align_yaw, canonicalize_yaw, rotation_error_deg

AXIAL = NOCS_CATEGORIES["bottle"].symmetry
rotations = arrays(np.float64, 3, elements=st.floats(-3, 3)).map(exp_so3)
yaws = st.floats(-np.pi, np.pi)


def about_y(angle):
    return exp_so3([0.0, angle, 0.0])


def pose(R):
    return make_transform(R, [0.1, 0.2, 0.9])


@given(rotations, yaws)
def test_canonical_pose_is_independent_of_yaw(R, yaw):
    canonical = canonicalize_yaw(pose(R), True)
    assert np.allclose(canonical, canonicalize_yaw(pose(R @ about_y(yaw)), True), atol=1e-6)
    assert np.allclose(canonical[:3, 1], R[:, 1]) and np.allclose(canonical[:3, 3], [0.1, 0.2, 0.9])
    assert np.allclose(canonical[:3, :3] @ canonical[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(canonical[:3, :3]) == pytest.approx(1.0)


@given(rotations, rotations, yaws)
def test_canonical_pose_with_a_previous_rotation_is_independent_of_yaw(R, previous, yaw):
    canonical = canonicalize_yaw(pose(R), True, previous)
    assert np.allclose(canonical, canonicalize_yaw(pose(R @ about_y(yaw)), True, previous), atol=1e-6)


def test_canonical_x_of_an_upright_object_is_the_frame_x():
    R = np.diag([-1.0, -1.0, 1.0]) @ about_y(0.7)  # upright before a camera: y up is -y of the image
    assert np.allclose(canonicalize_yaw(pose(R), True)[:3, 0], [1, 0, 0])


@given(rotations)
def test_objects_without_axial_symmetry_are_unchanged(R):
    T = pose(R)
    result = canonicalize_yaw(T, False, np.eye(3))
    assert np.array_equal(result, T) and result is not T
    assert np.array_equal(align_yaw(T, False, np.eye(3)), T)


def test_canonical_axes_are_continuous_through_the_degenerate_direction():
    """The y axis of a bottle rotates with noise through the frame's x axis."""
    rng = np.random.default_rng(2)
    previous, largest = None, 0.0
    for angle in np.linspace(0.0, np.pi, 400):
        y = np.array([np.sin(angle), 0.0, np.cos(angle)]) + rng.normal(0.0, 0.004, 3)
        y /= np.linalg.norm(y)
        R = np.linalg.qr(np.stack([y, rng.normal(size=3), rng.normal(size=3)], axis=1))[0]
        R = np.stack([R[:, 1], y, np.cross(R[:, 1], y)], axis=1)
        R = canonicalize_yaw(pose(R), True, previous)[:3, :3]
        if previous is not None:
            largest = max(largest, rotation_angle_deg(R, previous))
        previous = R
    assert largest < 6.0


@given(rotations, rotations)
def test_aligned_yaw_has_the_smallest_angle(R, reference):
    aligned = align_yaw(pose(R), True, reference)[:3, :3]
    assert np.allclose(aligned[:, 1], R[:, 1])
    nearest = rotation_angle_deg(aligned, reference)
    for yaw in np.linspace(0.0, 2.0 * np.pi, 24):
        assert rotation_angle_deg(R @ about_y(yaw), reference) >= nearest - 1e-4


@given(rotations, arrays(np.float64, 3, elements=st.floats(-1, 1)), yaws)
def test_rotation_error_of_axial_objects_ignores_yaw(R, phi, yaw):
    other = exp_so3(phi) @ R
    error = rotation_error_deg(R, other, AXIAL)
    assert rotation_error_deg(R @ about_y(yaw), other, AXIAL) == pytest.approx(error, abs=1e-5)
    assert error <= rotation_angle_deg(R, other) + 1e-6


def test_rotation_error_of_known_rotations():
    tilt = exp_so3([np.radians(10.0), 0.0, 0.0])
    assert rotation_error_deg(tilt @ about_y(1.0), np.eye(3), AXIAL) == pytest.approx(10.0)
    assert rotation_error_deg(about_y(np.radians(30.0)), np.eye(3), NOCS_CATEGORIES["mug"].symmetry) == pytest.approx(
        30.0
    )
    assert rotation_error_deg(exp_so3([np.pi, 0, 0]), np.eye(3), AXIAL) == pytest.approx(180.0)


def canonicalize_single(T, reference_R):
    """Compute the canonical pose of one object with vector operations, as a reference."""
    y = T[:3, 1]

    def across(v):
        part = v - (v @ y) * y
        return part / max(np.linalg.norm(part), 1e-12), np.linalg.norm(part)

    convention, sine = across(np.array([1.0, 0.0, 0.0]))
    start, strength = across(np.array([0.0, 0.0, 1.0]) if reference_R is None else reference_R[:, 0])
    if strength <= 1e-6:
        x = convention
    else:
        away = np.arctan2(np.cross(start, convention) @ y, start @ convention)
        limit = np.pi if reference_R is None else np.radians(4.0)
        turn = np.clip(np.clip((sine - 0.2) / 0.3, 0.0, 1.0) * away, -limit, limit)
        x = Rotation.from_rotvec(turn * y).apply(start)
    result = T.copy()
    result[:3, 0], result[:3, 2] = x, np.cross(x, y)
    return result


@given(arrays(np.float64, (5, 6), elements=st.floats(-3, 3)), st.lists(st.booleans(), min_size=5, max_size=5))
def test_batches_equal_single_results(twists, axial):
    T, references = exp_se3(twists), exp_se3(twists[::-1])[:, :3, :3]
    canonical, aligned = canonicalize_yaw(T, axial, references), align_yaw(T, axial, references)
    fresh = canonicalize_yaw(T, axial)
    for k in range(5):
        if not axial[k]:
            assert np.array_equal(canonical[k], T[k]) and np.array_equal(aligned[k], T[k])
            continue
        assert np.allclose(canonical[k], canonicalize_single(T[k], references[k]), atol=1e-9)
        assert np.allclose(fresh[k], canonicalize_single(T[k], None), atol=1e-9)
        M = references[k].T @ T[k, :3, :3]
        turned = T[k, :3, :3] @ about_y(np.arctan2(M[2, 0] - M[0, 2], M[0, 0] + M[2, 2]))
        assert np.allclose(aligned[k, :3, :3], turned, atol=1e-9)
