from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import TrackingConfig
from clipose_ros.geometry.se3 import exp_so3, log_so3, make_transform
from clipose_ros.inference.rotation_correction import correct_rotations, rotation_variance
from clipose_ros.inference.surface_normals import align_rotations, estimate_normals
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import FrameResult, InstanceMask, ObjectCloud, PoseEstimate, StageTimes

TILTED = exp_so3(np.array([-2.2, 0.4, 0.3]))
"""Rotation of an object whose top, front and side are in view."""
PRIOR = np.radians(5.0) ** 2
turns = st.tuples(*[st.floats(-7.0, 7.0)] * 3).map(lambda each: np.radians(each))


def in_view(points, normals, R, rng, noise_m=0.001):
    """Return 1024 noisy points of the sides that face the camera, 0.8 m in front of it."""
    centre = np.array([0.0, 0.0, 0.8])
    points, normals = points @ R.T + centre, normals @ R.T
    facing = np.flatnonzero((normals * points).sum(axis=1) < 0.0)
    chosen = rng.permutation(facing)[:1024]
    return (points[chosen] + rng.normal(0.0, noise_m, (len(chosen), 3))).astype(np.float32)


def box(R, rng, size=(0.08, 0.12, 0.1)):
    axis, sign = rng.integers(0, 3, 6000), rng.choice([-1.0, 1.0], 6000)
    points, normals = rng.uniform(-1.0, 1.0, (6000, 3)), np.zeros((6000, 3))
    points[np.arange(6000), axis] = normals[np.arange(6000), axis] = sign
    return in_view(points * np.array(size) / 2.0, normals, R, rng)


def cylinder(R, rng, radius=0.04, height=0.12):
    angle, y = rng.uniform(0.0, 2.0 * np.pi, 4000), rng.uniform(-height / 2.0, height / 2.0, 4000)
    side = np.stack([np.cos(angle), np.zeros(4000), np.sin(angle)], axis=1)
    points = side * radius
    points[:, 1] = y
    top = side[:1500] * (radius * np.sqrt(rng.uniform(0.0, 1.0, (1500, 1))))
    top[:, 1] = height / 2.0
    normals = np.concatenate([side, np.tile([0.0, 1.0, 0.0], (1500, 1))])
    return in_view(np.concatenate([points, top]), normals, R, rng)


def align(cloud, R, axial=False, variance=PRIOR):
    result = align_rotations([cloud], R[None], np.full((1, 3), variance), np.array([axial]))
    return result.R_camera_object[0], result.variance[0]


def angle_deg(R, other):
    return np.degrees(np.linalg.norm(log_so3(R.T @ other)))


@settings(max_examples=20, deadline=None)
@given(count=st.integers(17, 400), seed=st.integers(0, 1000))
def test_a_normal_is_fitted_to_the_sixteen_nearest_points(count, seed):
    points = np.random.default_rng(seed).normal(0.0, [0.1, 0.08, 0.02], (count, 3)).astype(np.float32)
    normals, flat = estimate_normals(points)
    distances = np.linalg.norm(points[:128, None].astype(np.float64) - points, axis=2)
    near = points[np.argsort(distances, axis=1)[:, :16]].astype(np.float64)
    near -= near.mean(axis=1, keepdims=True)
    variances, axes = np.linalg.eigh(np.swapaxes(near, 1, 2) @ near)
    assert len(normals) == len(flat) == min(count, 128)
    # rounding may exchange two points that are equally far
    assert (np.abs((normals * axes[:, :, 0]).sum(axis=1)) > 1.0 - 1e-9).mean() > 0.97
    assert (flat == (variances[:, 0] < 0.15 * variances[:, 1])).mean() > 0.97


@pytest.mark.parametrize("extent", [[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]])
def test_points_in_one_place_or_on_a_line_get_unit_vectors(extent):
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (200, 3)) * extent + [0.1, 0.2, 0.7]
    normals, _ = estimate_normals(points)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1.0)


@settings(max_examples=15, deadline=None)
@given(turns)
def test_rotations_of_boxes_are_corrected_about_all_axes(turn):
    R, variance = align(box(TILTED, np.random.default_rng(1)), TILTED @ exp_so3(turn))
    assert angle_deg(R, TILTED) < 2.0
    assert (variance < PRIOR / 2.0).all()


@settings(max_examples=15, deadline=None)
@given(turns)
def test_tilts_of_round_objects_are_corrected_and_their_turn_about_y_stays(turn):
    cloud, predicted = cylinder(TILTED, np.random.default_rng(2)), TILTED @ exp_so3(turn)
    for axial in (True, False):  # a mug is round, but not axially symmetric
        R, variance = align(cloud, predicted, axial)
        tilt = np.degrees(np.arccos(np.clip(R[:, 1] @ TILTED[:, 1], -1.0, 1.0)))
        assert tilt < 3.5
        assert abs(log_so3(predicted.T @ R)[1]) < 0.02
        assert variance[1] == pytest.approx(PRIOR)
        assert (variance[[0, 2]] < PRIOR / 2.0).all()


@settings(max_examples=15, deadline=None)
@given(turns, turns)
def test_another_camera_changes_nothing(turn, camera):
    Q, predicted, cloud = exp_so3(8.0 * camera), TILTED @ exp_so3(turn), box(TILTED, np.random.default_rng(3))
    R, variance = align(cloud, predicted)
    R_other, variance_other = align((cloud @ Q.T).astype(np.float64), Q @ predicted)
    assert angle_deg(Q @ R, R_other) < 0.01
    assert variance_other == pytest.approx(variance, rel=1e-3)


def test_a_single_plane_determines_two_turns():
    rng = np.random.default_rng(4)
    plane = np.column_stack([rng.uniform(-0.05, 0.05, (1024, 2)), np.full(1024, 0.8) + rng.normal(0, 5e-4, 1024)])
    predicted = exp_so3(np.radians([4.0, -3.0, 5.0]))
    R, variance = align(plane, predicted)
    assert np.degrees(np.arccos(abs(R[2, 2]))) < 0.7
    assert variance[2] == pytest.approx(PRIOR, rel=0.1)
    assert abs(log_so3(predicted.T @ R)[2]) < 0.01


def test_a_few_points_and_shapeless_clouds_leave_the_prediction():
    rng = np.random.default_rng(5)
    for cloud in (np.zeros((4, 3)), rng.normal([0.0, 0.0, 0.8], 0.05, (1024, 3))):
        R, variance = align(cloud, TILTED, variance=0.2)
        assert angle_deg(R, TILTED) < 2.0
        assert np.isfinite(R).all()
        assert (variance > 0.5 * np.radians(5.0) ** 2).all()
    assert len(estimate_normals(np.zeros((16, 3)))[0]) == 0


def test_a_variance_beyond_the_bounds_stays_where_no_normal_determines_the_turn():
    assert align(np.zeros((4, 3)), TILTED, variance=0.5)[1] == pytest.approx([0.5] * 3)


def test_objects_do_not_depend_on_each_other():
    rng = np.random.default_rng(6)
    clouds = [box(TILTED, rng), cylinder(TILTED, rng)]
    R = np.stack([TILTED @ exp_so3(np.radians(each)) for each in ([3.0, 2.0, -4.0], [-5.0, 1.0, 2.0])])
    axial, variance = np.array([False, True]), np.full((2, 3), PRIOR)
    both = align_rotations(clouds, R, variance, axial)
    swapped = align_rotations(clouds[::-1], R[::-1], variance, axial[::-1])
    np.testing.assert_allclose(both.R_camera_object, swapped.R_camera_object[::-1], atol=1e-12)
    np.testing.assert_allclose(both.variance, swapped.variance[::-1])


def pose_of(category, R, confidence=0.9):
    return PoseEstimate(
        category, make_transform(R, [0.0, 0.0, 0.8]), np.array([0.08, 0.12, 0.1]), 0.8, (confidence, confidence)
    )


def test_poses_are_corrected_by_the_cloud_of_their_object():
    cloud, predicted = box(TILTED, np.random.default_rng(7)), TILTED @ exp_so3(np.radians([5.0, -4.0, 3.0]))
    before = pose_of("camera", predicted)
    (after,) = correct_rotations([before], cloud[None], NOCS_CATEGORIES)
    assert angle_deg(after.T_camera_object[:3, :3], TILTED) < 2.0
    assert np.array_equal(after.T_camera_object[:3, 3], before.T_camera_object[:3, 3]) and after.score == before.score
    predicted_variance = rotation_variance(np.array([[0.9, 0.9]]), np.array([False]))[0]
    assert after.rotation_variance is not None and (after.rotation_variance <= predicted_variance).all()


def test_poses_that_are_not_finite_stay_and_do_not_disturb_others():
    cloud, predicted = box(TILTED, np.random.default_rng(7)), TILTED @ exp_so3(np.radians([5.0, -4.0, 3.0]))
    failed = PoseEstimate("camera", np.full((4, 4), np.nan), np.full(3, np.nan), np.nan, (np.nan, np.nan))
    clouds = np.stack([np.full_like(cloud, np.nan), cloud])
    first, second = correct_rotations([failed, pose_of("camera", predicted)], clouds, NOCS_CATEGORIES)
    assert first is failed and angle_deg(second.T_camera_object[:3, :3], TILTED) < 2.0
    assert correct_rotations([failed], clouds[:1], NOCS_CATEGORIES) == [failed]


def test_axis_of_a_round_object_is_corrected_and_its_free_turn_stays_unknown():
    cloud, predicted = cylinder(TILTED, np.random.default_rng(9)), TILTED @ exp_so3(np.radians([5.0, 0.0, 3.0]))
    (after,) = correct_rotations([pose_of("can", predicted)], cloud[None], NOCS_CATEGORIES)
    axis = after.T_camera_object[:3, 1] @ TILTED[:, 1]
    assert np.degrees(np.arccos(axis)) < 2.0
    assert after.rotation_variance is not None and after.rotation_variance[1] > 1e3


def test_tracker_takes_the_variance_of_corrected_rotations():
    mask = InstanceMask("camera", 1.0, (0, 0, 1, 1), np.ones((1, 1), np.bool_))
    cloud = ObjectCloud(mask, box(TILTED, np.random.default_rng(7)))
    covariances = []
    for variance in (None, np.full(3, 1e-3), np.full(3, 4e-3)):
        pose = replace(pose_of("camera", TILTED), rotation_variance=variance)
        frame = FrameResult((pose,), (cloud,), (), StageTimes(0.0, 0.0, 0.0))
        tracker = Tracker(TrackingConfig(min_hits=1, smoothing=0.0), NOCS_CATEGORIES)
        covariances.append(tracker.update(frame, 0, np.eye(4))[0].covariance[3:, 3:])
    np.testing.assert_allclose(np.linalg.eigvalsh(covariances[1]), 1e-3)
    np.testing.assert_allclose(np.linalg.eigvalsh(covariances[2]), 4e-3)
    assert np.linalg.eigvalsh(covariances[0]).max() > 4e-3
