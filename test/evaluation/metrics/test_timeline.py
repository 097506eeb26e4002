"""Accuracy against time of tracked poses with known noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import CheckConfig, NetworkConfig, TrackingConfig
from clipose_ros.errors import DataError
from clipose_ros.evaluation.metrics.timeline import TimelineReport, rotation_changes_deg, summarize_timelines
from clipose_ros.evaluation.runs.network_poses import NetworkPoses
from clipose_ros.evaluation.runs.recorded_sequence import FPS, CloudTruths, RecordedSequence
from clipose_ros.evaluation.runs.timeline import (
    NO_TRACK,
    TimelineSettings,
    pose_single_frames,
    run_timeline,
    track_poses,
)
from clipose_ros.geometry.se3 import exp_so3, invert_transform, make_transform, transform_points
from clipose_ros.inference.pass_plan import PassPlan
from clipose_ros.types import FloatArray, PoseEstimate

SETTINGS = TimelineSettings(NetworkConfig(), CheckConfig(), TrackingConfig())
CAN = ("can", make_transform(exp_so3([0.2, 0.0, 0.1]), [-0.25, 0.0, 0.0]))
MUG = ("mug", make_transform(exp_so3([0.1, 1.0, 0.0]), [0.25, 0.0, 0.0]))

SIZE = np.array([0.1, 0.12, 0.08])
MARKS = np.concatenate([np.zeros((1, 3)), 0.03 * np.eye(3)])
"""Points that state a pose: the origin of the object and one on each axis."""


def make_sequence(
    objects: Sequence[tuple[str, FloatArray]], frames: int = 45, degrees_per_second: float = 40.0
) -> RecordedSequence:
    """Return a sequence of objects given by category and ``T_world_object`` before a camera on an arc."""
    rng = np.random.default_rng(0)
    box = np.concatenate([MARKS, rng.uniform(-0.5, 0.5, (252, 3)) * SIZE])
    rows, cameras = [], []
    for number in range(frames):
        turn = np.radians(degrees_per_second * number / FPS)
        R = exp_so3(np.array([0.0, turn, 0.0]))
        T_world_camera = make_transform(R, R @ [0.0, 0.0, -1.0])  # looks at the origin of the world from one metre
        cameras.append(T_world_camera)
        for instance, (category, T_world_object) in enumerate(objects, start=1):
            rows.append((number, category, instance, invert_transform(T_world_camera) @ T_world_object))
    frame, category, instance, T = zip(*rows, strict=True)
    return RecordedSequence(
        np.stack([transform_points(each, box) for each in T]).astype(np.float32),
        np.array(frame),
        np.array(category),
        np.array(instance, dtype=np.int64),
        np.stack(cameras),
        CloudTruths(np.stack(T), np.tile(SIZE, (len(T), 1)), np.ones(len(T), dtype=bool)),
    )


class MarkPredictor:
    """Predictor that reads poses off the marks and adds normal noise; it counts the clouds by their passes.

    Args:
        mm: Standard deviation of the position along each axis, millimetres.
        deg: Standard deviation of the turn about each axis, degrees.
        seed: Seed of the noise.
    """

    categories = NOCS_CATEGORIES
    device = "cpu"
    has_refiner = False

    def __init__(self, mm: float = 0.0, deg: float = 0.0, seed: int = 0) -> None:
        self._mm, self._deg, self._rng = mm, deg, np.random.default_rng(seed)
        self.passes: list[int] = []
        self.coarse_only: list[bool] = []

    def predict(self, points_camera: FloatArray, categories: Sequence[str]) -> list[PoseEstimate]:
        return self.predict_passes(points_camera, categories, PassPlan.all_passes(len(categories)))

    def predict_passes(
        self, points_camera: FloatArray, categories: Sequence[str], plan: PassPlan
    ) -> list[PoseEstimate]:
        self.passes += plan.only_pass.tolist()
        self.coarse_only += plan.coarse_only.tolist()
        poses = []
        for points, category in zip(points_camera.astype(np.float64), categories, strict=True):
            R = np.linalg.qr((points[1:4] - points[0]).T)[0]
            R = R * np.sign(np.sum(R * (points[1:4] - points[0]).T, axis=0))
            R = exp_so3(np.radians(self._deg) * self._rng.normal(size=3)) @ R
            t = points[0] + 1e-3 * self._mm * self._rng.normal(size=3)
            poses.append(PoseEstimate(category, make_transform(R, t), SIZE, 0.9, (0.9, 0.9)))
        return poses


def report_of(sequence: RecordedSequence, predictor: MarkPredictor) -> TimelineReport:
    return summarize_timelines([run_timeline(NetworkPoses(sequence, predictor), SETTINGS)], NOCS_CATEGORIES)


@pytest.fixture(scope="module")
def noisy() -> TimelineReport:
    """Return the figures of eight tables with noise of 6 mm and 3 degrees along each axis."""
    timelines = [
        run_timeline(NetworkPoses(make_sequence([CAN, MUG]), MarkPredictor(6.0, 3.0, seed)), SETTINGS)
        for seed in range(8)
    ]
    return summarize_timelines(timelines, NOCS_CATEGORIES)


def test_errors_of_exact_poses_are_zero_from_the_second_frame_on() -> None:
    report = report_of(make_sequence([CAN, MUG]), MarkPredictor())
    assert report.tables == 1 and report.objects == 2
    curve = report.tracker["mean"]
    assert curve.within_5deg_2cm[0] is None and curve.within_5deg_2cm[1:] == [100.0] * 44
    assert curve.published[:2] == [0.0, 100.0], "the first pose of an object is not confirmed"
    assert report.single_frame["mean"].within_5deg_2cm == [100.0] * 45
    assert max(curve.position_mm[1:]) < 0.1 and max(curve.rotation_deg[1:]) < 0.1 and max(curve.size_percent[1:]) < 0.1
    assert report.flips == report.identity_switches == report.single_frame_flips == 0
    assert set(report.tracker) == {"can", "mug", "mean"}
    assert set(report.nees) == {"position", "rotation", "axis"}
    assert report.nees["axis"].objects == report.nees["rotation"].objects == 1


def test_tracked_poses_grow_more_accurate_and_single_frames_do_not(noisy: TimelineReport) -> None:
    tracked, single = noisy.tracker["mean"], noisy.single_frame["mean"]
    assert tracked.objects == [16] * 45
    assert tracked.position_mm[-1] < 0.75 * tracked.position_mm[1]
    assert np.median(single.position_mm) == pytest.approx(6.0 * 1.538, rel=0.15), "median of a chi with 3 dimensions"
    assert np.median(noisy.single_frame["can"].rotation_deg) == pytest.approx(3.0 * 1.177, rel=0.2), "2 dimensions"
    ours, theirs = noisy.tracker_after_1s, noisy.single_frame_after_1s
    assert ours.within_5deg_2cm > theirs.within_5deg_2cm + 10.0
    assert ours.jitter.position_step_mm < 0.3 * theirs.jitter.position_step_mm
    assert theirs.jitter.position_mm == pytest.approx(6.0 * np.sqrt(3), rel=0.15)


def test_steps_are_followed(noisy: TimelineReport) -> None:
    step = noisy.steps["10cm"]
    assert step.objects >= 14 and step.lost == 0 and step.within_3_frames > 90.0 and step.frames_median <= 3
    assert noisy.steps["30deg"].objects >= 14


def test_settled_objects_get_one_pass() -> None:
    predictor = MarkPredictor()
    network = NetworkPoses(make_sequence([CAN, MUG], degrees_per_second=0.0), predictor)
    poses = track_poses(network, SETTINGS)
    assert poses.all_passes[:10].all() and not poses.all_passes[-2:].any()
    assert predictor.passes[:2] == [-1, -1] and set(predictor.passes[-8:]) == {0, 1, 2, 3}
    calls = len(predictor.passes)
    pose_single_frames(network, CheckConfig())
    assert len(predictor.passes) - calls == int((~poses.all_passes).sum()), "poses of the network are computed once"
    assert not any(predictor.coarse_only), "a network without refiner leaves nothing out"


class RefiningPredictor(MarkPredictor):
    has_refiner = True


def test_the_refiner_leaves_out_the_single_passes_of_settled_objects() -> None:
    predictor = RefiningPredictor()
    poses = track_poses(NetworkPoses(make_sequence([CAN, MUG], degrees_per_second=0.0), predictor), SETTINGS)
    assert predictor.coarse_only == poses.coarse_only.tolist()
    np.testing.assert_array_equal(poses.coarse_only, ~poses.all_passes)
    assert not poses.coarse_only[:4].any() and poses.coarse_only[-2:].all()
    report = report_of(make_sequence([CAN, MUG], degrees_per_second=0.0), RefiningPredictor())
    assert report.coarse_only == pytest.approx(100.0 * poses.coarse_only.mean()) and 0.0 < report.coarse_only < 100.0


def test_refined_and_coarse_poses_of_a_pass_are_kept_apart() -> None:
    predictor = RefiningPredictor()
    network = NetworkPoses(make_sequence([CAN], frames=3), predictor)
    rows, number = np.array([0, 2]), np.array([1, 1])
    for coarse_only in ([False, False], [True, False], [True, True]):
        network.predict(rows, PassPlan(number, np.array(coarse_only)))
    assert predictor.coarse_only == [False, False, True, True]


def test_hidden_handles_count_by_their_axis() -> None:
    sequence = make_sequence([MUG], frames=4)
    hidden = replace(sequence, truths=replace(sequence.truths, handle_visible=np.zeros(4, dtype=bool)))
    for each, expected in ((sequence, np.degrees(2.0)), (hidden, 0.0)):
        report = report_of(each, TurnedByPasses())
        assert report.single_frame["mug"].rotation_deg[-1] == pytest.approx(expected, abs=0.1)
        assert report.steps == {} and report.tracker_after_1s is None


class TurnedByPasses(MarkPredictor):
    """Predictor whose poses are turned about the y axis."""

    def predict_passes(self, points_camera: FloatArray, categories, plan):
        turn = make_transform(exp_so3([0.0, 2.0, 0.0]), np.zeros(3))
        poses = super().predict_passes(points_camera, categories, plan)
        return [replace(pose, T_camera_object=pose.T_camera_object @ turn) for pose in poses]


class FlippingPredictor(MarkPredictor):
    """Predictor that turns every cloud of frame 10 upside down."""

    def predict_passes(self, points_camera: FloatArray, categories, plan):
        poses = super().predict_passes(points_camera, categories, plan)
        if len(self.passes) != 11:
            return poses
        flip = make_transform(exp_so3([np.pi, 0.0, 0.0]), np.zeros(3))
        return [replace(pose, T_camera_object=pose.T_camera_object @ flip) for pose in poses]


def test_a_flip_of_single_frames_counts_twice_and_is_not_published() -> None:
    sequence = make_sequence([MUG], frames=20)
    network = NetworkPoses(sequence, FlippingPredictor())
    for row in range(20):
        network.predict_all(np.array([row]))
    report = summarize_timelines([run_timeline(network, SETTINGS)], NOCS_CATEGORIES)
    assert report.single_frame_flips == 2 and report.flips == 0


def test_poses_rejected_by_the_checks_are_not_published() -> None:
    strict = TimelineSettings(check=CheckConfig(score_threshold=0.95))
    network = NetworkPoses(make_sequence([CAN], frames=3), MarkPredictor())
    timeline = run_timeline(network, strict)
    assert (timeline.tracker.track_id == NO_TRACK).all() and np.isnan(timeline.single_frame.size).all()
    report = summarize_timelines([timeline], NOCS_CATEGORIES)
    assert report.tracker["can"].published == [0.0] * 3 and report.tracker["can"].within_5deg_2cm == [None] * 3
    assert report.nees == {}


def test_timeline_needs_truths() -> None:
    sequence = replace(make_sequence([CAN], frames=3), truths=None)
    with pytest.raises(DataError, match="earlier version and has no true poses"):
        run_timeline(NetworkPoses(sequence, MarkPredictor()), SETTINGS)


def test_record_can_be_written_as_json(noisy: TimelineReport) -> None:
    record = json.loads(json.dumps(noisy.as_record()))
    assert len(record["tracker"]["mug"]["rotation_deg"]) == 45
    assert record["steps"]["10cm"]["within_3_frames"] == noisy.steps["10cm"].within_3_frames


def test_figures_are_deterministic() -> None:
    one, other = (report_of(make_sequence([CAN, MUG]), MarkPredictor(3.0, 2.0)).as_record() for _ in range(2))
    assert one == other


def test_rotation_changes_equal_scipy() -> None:
    R, other = Rotation.random(20, random_state=0), Rotation.random(20, random_state=1)
    expected = np.degrees((R.inv() * other).magnitude())
    axial = np.zeros(20, dtype=bool)
    np.testing.assert_allclose(rotation_changes_deg(R.as_matrix(), other.as_matrix(), axial), expected, atol=1e-4)
    turned = (R * Rotation.from_rotvec([0.0, 1.0, 0.0])).as_matrix()
    np.testing.assert_allclose(rotation_changes_deg(R.as_matrix(), turned, ~axial), 0.0, atol=1e-5)
