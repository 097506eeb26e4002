"""The estimator on measurements of known statistics: convergence, consistency, flips, steps, motion and occlusion."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import TrackingConfig
from clipose_ros.geometry.se3 import exp_so3, invert_transform, make_transform, rotation_angle_deg
from clipose_ros.geometry.symmetry import rotation_error_deg
from clipose_ros.tracking.measurement_noise import USUAL_COVERAGE, bias_correlation, estimate_noise, silhouette_coverage
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import FrameResult, InstanceMask, ObjectCloud, PoseEstimate, StageTimes

FRAME_S = 1 / 30
CONFIDENCES = (0.93, 0.93)
SIZE = np.array([0.12, 0.2, 0.1])
UPRIGHT = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
HALF_TURN = np.diag([-1.0, 1.0, -1.0])


def orbit(angle):
    """Return the pose of a camera that faces the origin from one metre away and 30 degrees above."""
    eye = np.array([math.cos(angle) * 0.87, math.sin(angle) * 0.87, 0.5])
    forward = -eye / np.linalg.norm(eye)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    return make_transform(np.stack([right, np.cross(forward, right), forward], axis=1), eye)


def cloud_of(category, T_camera_object, size):
    """Return points on the silhouette of a box with the usual coverage."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (256, 3)) * size * 0.72 @ T_camera_object[:3, :3].T + T_camera_object[:3, 3]
    instance = InstanceMask(category, 1.0, (0, 0, 1, 1), np.ones((1, 1), np.bool_))
    return ObjectCloud(instance, points.astype(np.float32))


class Sensor:
    """Measurements of one object with the noise that the estimator assumes: white noise and a bias of the view."""

    def __init__(self, seed, category="mug"):
        self.rng, self.category = np.random.default_rng(seed), category
        self.axial = NOCS_CATEGORIES[category].symmetry.axial_y
        self.bias = None
        self.angle = 0.0

    def noise(self, coverage):
        """Return white and bias variances of position, rotation and size, ``(3, 3)`` each."""
        confidences = np.array([CONFIDENCES])
        one = estimate_noise(SIZE[None], confidences, np.array([self.axial]), np.array([coverage])).row(0)
        parts = (one.position, one.rotation, one.size)
        white, bias = np.stack([part.white for part in parts]), np.stack([part.bias for part in parts])
        if self.axial:
            white[1, 1] = bias[1, 1] = 0.0
        return white, bias

    def measure(self, T_world_object, T_world_camera, angle=0.0, flip=None):
        cloud = cloud_of(self.category, invert_transform(T_world_camera) @ T_world_object, SIZE)
        T_true = invert_transform(T_world_camera) @ T_world_object
        white, variance = self.noise(silhouette_coverage(cloud.points_camera, T_true, SIZE))
        if self.bias is None:
            self.bias = self.rng.normal(0.0, np.sqrt(variance))
        else:
            c = bias_correlation(abs(angle - self.angle), FRAME_S) ** np.array([[1.0], [1.0], [0.5]])
            self.bias = c * self.bias + self.rng.normal(0.0, np.sqrt((1 - c**2) * variance))
        self.angle = angle
        p, r, s = self.bias + self.rng.normal(0.0, np.sqrt(white))
        R = T_world_object[:3, :3] @ exp_so3(r) @ (np.eye(3) if flip is None else flip)
        T = invert_transform(T_world_camera) @ make_transform(R, T_world_object[:3, 3] + p)
        return PoseEstimate(self.category, T, SIZE + s, 0.9, CONFIDENCES), cloud


def frame(*measured):
    return FrameResult(tuple(m[0] for m in measured), tuple(m[1] for m in measured), (), StageTimes(0.0, 0.0, 0.0))


def run(sensor, frames, arc_per_frame=0.0, true_pose=None, flips=None, gaps=(), config=None):
    """Track one object; return the tracked pose in the world, the true pose and the track of each frame."""
    tracker = Tracker(config or TrackingConfig(min_hits=1, frame="world"), NOCS_CATEGORIES)
    rows = []
    for k in range(frames):
        T_true = make_transform(UPRIGHT, np.zeros(3)) if true_pose is None else true_pose(k)
        T_camera = orbit(arc_per_frame * k)
        flip = flips[k] if flips is not None else None
        measured = sensor.measure(T_true, T_camera, arc_per_frame * k, flip)
        result = frame() if k in gaps else frame(measured)
        (track,) = tracker.update(result, round(k * FRAME_S * 1e9), T_camera)
        rows.append((T_camera @ track.T_frame_object, T_true, track, tracker))
    return rows


@pytest.mark.parametrize("category", ["mug", "can"])
def test_error_falls_while_the_camera_moves(category):
    error = {0: [], 45: []}
    for seed in range(24):
        rows = run(Sensor(seed, category), 46, arc_per_frame=math.radians(2.0))
        for k, errors in error.items():
            T, T_true, *_ = rows[k]
            axis_deg = rotation_error_deg(T[:3, :3], T_true[:3, :3], NOCS_CATEGORIES[category].symmetry)
            errors.append((np.linalg.norm(T[:3, 3]), axis_deg))
    early, late = (np.median(error[k], axis=0) for k in (0, 45))
    assert (late < 0.75 * early).all()


@pytest.mark.parametrize("arc_deg", [0.0, 2.0])
def test_published_covariance_is_consistent(arc_deg):
    """The mean normalised estimation error squared lies in its 95 % band, moving camera and resting camera."""
    runs, nees = 60, []
    for seed in range(runs):
        *_, (T, T_true, track, _) = run(Sensor(seed), 30, arc_per_frame=math.radians(arc_deg))
        R_camera = orbit(math.radians(arc_deg) * 29)[:3, :3]
        position = R_camera @ track.covariance[:3, :3] @ R_camera.T
        error = T[:3, 3] - T_true[:3, 3]
        nees.append(error @ np.linalg.solve(position, error))
    # chi-squared with 3 degrees of freedom: mean 3, variance 6
    assert np.mean(nees) == pytest.approx(3.0, abs=2.5 * math.sqrt(6.0 / runs))


def test_resting_camera_does_not_make_the_filter_certain():
    *_, (_, _, resting, _) = run(Sensor(1), 300)
    *_, (_, _, moving, _) = run(Sensor(1), 300, arc_per_frame=math.radians(1.0))
    _, bias = Sensor(1).noise(USUAL_COVERAGE)
    assert np.trace(resting.covariance[:3, :3]) > 0.5 * bias[0].sum()
    assert np.trace(moving.covariance[:3, :3]) < 0.5 * np.trace(resting.covariance[:3, :3])


def test_single_flips_are_never_published():
    rng = np.random.default_rng(0)
    flips = [HALF_TURN if k > 2 and rng.random() < 0.3 else None for k in range(120)]
    rows = run(Sensor(2, "laptop"), 120, flips=flips)
    assert max(rotation_angle_deg(T[:3, :3], T_true[:3, :3]) for T, T_true, *_ in rows) < 25.0


def test_lasting_contrary_evidence_turns_the_published_rotation_once():
    flips = [None] * 30 + [HALF_TURN] * 60
    rows = run(Sensor(3, "laptop"), 90, flips=flips)
    wrong = [rotation_angle_deg(T[:3, :3], T_true[:3, :3]) > 90.0 for T, T_true, *_ in rows]
    assert not any(wrong[:35]) and all(wrong[-10:])
    assert sum(a != b for a, b in itertools.pairwise(wrong)) == 1


def test_rival_rotations_lower_score_and_widen_the_covariance():
    flips = [HALF_TURN if k % 2 else None for k in range(20)]
    sure, torn = run(Sensor(4, "laptop"), 20)[-1][2], run(Sensor(4, "laptop"), 20, flips=flips)[-1][2]
    assert torn.score < 0.8 * sure.score
    assert np.trace(torn.covariance[3:, 3:]) > 10 * np.trace(sure.covariance[3:, 3:])


def test_first_measurement_states_the_chance_of_another_rotation():
    (_, _, first, _), *_, (_, _, late, _) = run(Sensor(16), 30)
    white, bias = Sensor(16).noise(USUAL_COVERAGE)
    single, early, settled = (
        (white + bias)[1].sum(),
        np.trace(first.covariance[3:, 3:]),
        np.trace(late.covariance[3:, 3:]),
    )
    assert early > 1.5 * single and settled < single


@pytest.mark.parametrize(
    ("step_m", "turn_deg"), [(0.1, 0.0), (0.0, 30.0), (0.1, 30.0)], ids=["position", "rotation", "both"]
)
def test_step_is_followed_within_three_frames(step_m, turn_deg):
    def true_pose(k):
        moved = k >= 40
        R = exp_so3([0.0, 0.0, math.radians(turn_deg) * moved]) @ UPRIGHT
        return make_transform(R, [step_m * moved, 0.0, 0.0])

    for seed in range(8):
        for T, T_true, *_ in run(Sensor(seed), 60, true_pose=true_pose)[42:]:
            assert np.linalg.norm(T[:3, 3] - T_true[:3, 3]) < 0.035
            assert rotation_angle_deg(T[:3, :3], T_true[:3, :3]) < 15.0


def test_one_outlier_moves_nothing():
    def true_pose(k):
        return make_transform(UPRIGHT, [0.1 if k == 40 else 0.0, 0.0, 0.0])

    rows = run(Sensor(5), 60, true_pose=true_pose)
    assert max(np.linalg.norm(T[:3, 3]) for T, *_ in rows[20:]) < 0.02


def test_slow_motion_is_followed_and_ends_at_rest():
    speed = 0.15

    def true_pose(k):
        return make_transform(UPRIGHT, [speed * FRAME_S * min(max(k - 30, 0), 60), 0.0, 0.0])

    for seed in range(5):
        rows = run(Sensor(seed), 150, true_pose=true_pose)
        errors = [np.linalg.norm(T[:3, 3] - T_true[:3, 3]) for T, T_true, *_ in rows]
        assert max(errors[50:]) < 0.04
        steps = [np.linalg.norm(b[0][:3, 3] - a[0][:3, 3]) for a, b in itertools.pairwise(rows[125:])]
        assert max(steps) < 0.003


def test_resting_object_steps_by_a_small_part_of_the_measurements_noise():
    def rms_step(smoothing):
        config = TrackingConfig(min_hits=1, frame="world", smoothing=smoothing)
        positions = np.array([T[:3, 3] for T, *_ in run(Sensor(6), 90, config=config)[30:]])
        return np.sqrt(np.square(np.diff(positions, axis=0)).sum(axis=1).mean())

    assert rms_step(0.6) < 0.08 * rms_step(0.0)


def test_occlusion_of_a_second_keeps_the_identity_and_widens_the_covariance():
    rows = run(Sensor(7), 80, gaps=range(30, 60))
    assert {track.track_id for *_, track, _ in rows} == {1}
    variances = [np.trace(track.covariance[:3, :3]) for *_, track, _ in rows]
    assert (np.diff(variances[30:60]) > 0).all() and variances[60] < variances[59]
    assert not any(rows[k][2].seen for k in range(30, 60))
    assert rows[40][3].track_counts.lost == 0


def test_object_of_another_size_at_the_same_place_becomes_a_new_track():
    tracker = Tracker(TrackingConfig(min_hits=1, frame="world"), NOCS_CATEGORIES)
    sensor, T_true, camera = Sensor(8), make_transform(UPRIGHT, np.zeros(3)), orbit(0.0)
    names = []
    for k in range(50):
        pose, cloud = sensor.measure(T_true, camera)
        if k >= 20:
            pose = dataclasses.replace(pose, size=pose.size * 2.0)
        tracks = tracker.update(frame((pose, cloud)), round(k * FRAME_S * 1e9), camera)
        names.append([track.name for track in tracks if track.seen])
    # errors of a mask last for many frames: half a second of a contrary size is not another object
    assert names[35] == ["mug_1"] and names[-1] == ["mug_2"]


def test_two_crossing_objects_of_one_category_keep_their_identities():
    tracker = Tracker(TrackingConfig(min_hits=1, frame="world"), NOCS_CATEGORIES)
    left, right, camera = Sensor(9), Sensor(10), orbit(0.0)
    for k in range(90):
        y = 0.25 - 0.5 * k / 89
        poses = (make_transform(UPRIGHT, [0.08, y, 0.0]), make_transform(UPRIGHT, [-0.08, -y, 0.0]))
        measured = [s.measure(T, camera) for s, T in zip((left, right), poses, strict=True)]
        tracks = tracker.update(frame(*measured), round(k * FRAME_S * 1e9), camera)
    x = {track.track_id: (camera @ track.T_frame_object)[0, 3] for track in tracks}
    assert len(x) == 2 and x[1] > 0.0 > x[2]


def test_another_tracking_frame_changes_nothing():
    T_other_world = make_transform(exp_so3([0.3, -1.2, 0.7]), [3.0, -2.0, 0.5])
    results = []
    for T_frame_world in (np.eye(4), T_other_world):
        tracker, sensor = Tracker(TrackingConfig(min_hits=1), NOCS_CATEGORIES), Sensor(11)
        tracks = []
        for k in range(60):
            x = 0.0 if k < 30 else 0.005 * (k - 30)
            camera = orbit(0.01 * k)
            measured = sensor.measure(
                make_transform(UPRIGHT, [x, 0, 0]), camera, 0.01 * k, HALF_TURN if k % 7 == 3 else None
            )
            tracks += tracker.update(frame(measured), round(k * FRAME_S * 1e9), T_frame_world @ camera)
        results.append(tracks)
    for a, b in zip(*results, strict=True):
        assert np.allclose(a.T_frame_object, b.T_frame_object, atol=1e-8)
        assert np.allclose(a.covariance, b.covariance, atol=1e-8) and np.isclose(a.score, b.score)


def test_equal_input_gives_equal_tracks():
    first, second = (run(Sensor(12), 40, arc_per_frame=0.02) for _ in range(2))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, second, strict=True))


def test_requested_frame_is_reported_by_itself():
    tracker, sensor, camera = Tracker(TrackingConfig(frame="world"), NOCS_CATEGORIES), Sensor(13), orbit(0.0)
    for k in range(30):
        measured = sensor.measure(make_transform(UPRIGHT, np.zeros(3)), camera)
        (track,) = tracker.update(frame(measured), round(k * FRAME_S * 1e9), camera, confirm=True)
        assert np.allclose(track.T_frame_object, measured[0].T_camera_object)


def test_doubt_is_zero_for_settled_objects_and_largest_for_unknown_ones():
    rows = run(Sensor(14), 30)
    tracker, camera = rows[-1][3], orbit(0.0)
    known = Sensor(14).measure(make_transform(UPRIGHT, np.zeros(3)), camera)[1]
    unknown = Sensor(14).measure(make_transform(UPRIGHT, [0.6, 0.0, 0.0]), camera)[1]
    assert tracker.compute_doubt([unknown, known], camera) == pytest.approx([1.0, 0.0], abs=1e-3)
    assert tracker.compute_doubt([], camera).shape == (0,)


def test_moving_and_contradicted_objects_are_doubtful():
    def true_pose(k):
        return make_transform(UPRIGHT, [0.1 if k >= 29 else 0.0, 0.0, 0.0])

    tracker, camera = run(Sensor(15), 30, true_pose=true_pose)[-1][3], orbit(0.0)
    there = Sensor(15).measure(true_pose(29), camera)[1]
    assert 0.0 < tracker.compute_doubt([there], camera)[0] < 1.0
