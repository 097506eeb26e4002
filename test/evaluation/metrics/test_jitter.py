"""Jitter, lag and identity switches of tracked objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import TrackingConfig
from clipose_ros.errors import DataError
from clipose_ros.evaluation.metrics.jitter import evaluate_tracking, trajectory_jitter, trajectory_lags_ms
from clipose_ros.evaluation.runs.network_poses import NetworkPoses
from clipose_ros.evaluation.runs.recorded_sequence import RecordedSequence, record_sequence
from clipose_ros.evaluation.runs.trajectories import (
    ObjectTrajectory,
    SequenceFramePoses,
    pose_sequence,
    single_frame_trajectories,
    swing_motion,
    track_sequence,
)
from clipose_ros.geometry.se3 import exp_so3, make_transform
from clipose_ros.types import FloatArray, PoseEstimate


class NoisyPredictor:
    """Predictor that returns the poses of ``recorded_sequence`` with noise."""

    categories = NOCS_CATEGORIES
    device = "cpu"

    def __init__(self, mm: float, deg: float) -> None:
        self._mm, self._deg, self._rng = mm, deg, np.random.default_rng(0)

    def predict(self, points_camera: FloatArray, categories: Sequence[str]) -> list[PoseEstimate]:
        poses = []
        for points, category in zip(points_camera, categories, strict=True):
            R = exp_so3(np.radians(self._deg) * self._rng.normal(size=3))
            t = points.mean(axis=0) + 1e-3 * self._mm * self._rng.normal(size=3)
            poses.append(PoseEstimate(category, make_transform(R, t), np.full(3, 0.1), 0.9, (0.9, 0.9)))
        return poses


def recorded_sequence(seconds: float) -> RecordedSequence:
    """Return a sequence of a can and a mug half a metre apart; the camera frame is the world frame."""
    frames = round(30 * seconds)
    box = 0.05 * np.random.default_rng(1).uniform(-1, 1, (256, 3))
    box -= box.mean(axis=0)
    both = (box + np.array([[[0.0, 0.0, 1.0]], [[0.5, 0.0, 1.0]]])).astype(np.float32)
    return RecordedSequence(
        points=np.tile(both, (frames, 1, 1)),
        frame=np.repeat(np.arange(frames), 2),
        category=np.tile(["can", "mug"], frames),
        instance=np.tile([7, 9], frames),
        T_world_camera=np.tile(np.eye(4), (frames, 1, 1)),
    )


@pytest.fixture(scope="module")
def frames() -> list[SequenceFramePoses]:
    return pose_sequence(NetworkPoses(recorded_sequence(8.0), NoisyPredictor(mm=2.0, deg=1.5)))


def test_trajectory_jitter_equals_the_added_noise(frames: list[SequenceFramePoses]) -> None:
    trajectories = single_frame_trajectories(frames)
    assert trajectories.keys() == {7, 9} and len(trajectories[7].times_s) == 240
    of_can, of_mug = (
        trajectory_jitter(trajectories[7], NOCS_CATEGORIES),
        trajectory_jitter(trajectories[9], NOCS_CATEGORIES),
    )
    for each in (of_can, of_mug):
        assert each.position_mm == pytest.approx(2.0 * np.sqrt(3), rel=0.1)
        assert each.position_step_mm == pytest.approx(2.0 * np.sqrt(6), rel=0.1)
    assert of_can.angle_deg == pytest.approx(1.5 * np.sqrt(2), rel=0.1), (
        "a rotation about the symmetry axis is no error"
    )
    assert of_mug.angle_deg == pytest.approx(1.5 * np.sqrt(3), rel=0.1)


def test_trajectory_lags_equal_a_known_delay() -> None:
    times = np.arange(0.0, 5.0, 1 / 30)
    poses = [[swing_motion(time - late, np.zeros(3)) for time in times] for late in (0.0, 0.12)]
    raw, late = (ObjectTrajectory("mug", times.tolist(), list(trajectory)) for trajectory in poses)
    np.testing.assert_allclose(trajectory_lags_ms(raw, late, NOCS_CATEGORIES), 120.0, atol=3.0)
    np.testing.assert_allclose(trajectory_lags_ms(raw, raw, NOCS_CATEGORIES), 0.0)


def test_evaluate_tracking_shows_less_jitter_with_smoothing_and_little_lag(frames: list[SequenceFramePoses]) -> None:
    off, some, much = (evaluate_tracking(frames, TrackingConfig(smoothing=s), NOCS_CATEGORIES) for s in (0.0, 0.6, 0.9))
    assert off.lag_ms == off.turn_lag_ms == 0.0 and off.objects == 2
    assert off.jitter.position_mm == pytest.approx(2.0 * np.sqrt(3), rel=0.1)
    assert much.jitter.position_mm <= some.jitter.position_mm < 0.5 * off.jitter.position_mm
    assert much.jitter.angle_deg <= some.jitter.angle_deg < 0.5 * off.jitter.angle_deg
    assert max(some.lag_ms, some.turn_lag_ms, much.lag_ms, much.turn_lag_ms) < 50.0
    assert off.identity_switches == 0
    assert off.reported == pytest.approx(239 / 240)  # the first pose of each object is not yet confirmed
    assert off.worst.position_mm >= off.jitter.position_mm


def test_track_sequence_switches_identity_after_a_jump(frames: list[SequenceFramePoses]) -> None:
    there, beyond = make_transform(np.eye(3), [0.0, 0.0, 0.0]), make_transform(np.eye(3), [0.0, 1.0, 0.0])
    moved = [
        SequenceFramePoses(f.result, f.instances, there if number < 100 else beyond, f.time_s)
        for number, f in enumerate(frames)
    ]
    trajectories = track_sequence(moved, TrackingConfig(), NOCS_CATEGORIES)
    assert [np.count_nonzero(np.diff(trajectory.ids)) for trajectory in trajectories.values()] == [1, 1]
    in_camera = track_sequence(moved, TrackingConfig(), NOCS_CATEGORIES, in_world=False)
    assert [np.count_nonzero(np.diff(trajectory.ids)) for trajectory in in_camera.values()] == [0, 0]


def test_recorded_sequence_is_static_in_the_world_and_can_be_stored(tmp_path: Path) -> None:
    made = record_sequence(0.1, seed=3, workers=1)
    assert made.frames == 3 and made.points.shape[1:] == (1024, 3)
    made.save(tmp_path / "sequence.npz")
    read = RecordedSequence.load(tmp_path / "sequence.npz")
    np.testing.assert_array_equal(read.points, made.points)
    np.testing.assert_array_equal(read.category, made.category)
    centres: dict[int, list[FloatArray]] = {}
    for row, (frame, instance) in enumerate(zip(read.frame, read.instance, strict=True)):
        T = read.T_world_camera[frame]
        centres.setdefault(int(instance), []).append(np.median(read.points[row], axis=0) @ T[:3, :3].T + T[:3, 3])
    assert len(centres) >= 6
    for places in centres.values():  # the visible side changes, not the position
        assert np.ptp(places, axis=0).max() < 0.12
    whole = (tmp_path / "sequence.npz").read_bytes()
    for other in (b"no sequence", whole[: len(whole) // 2]):
        (tmp_path / "other.npz").write_bytes(other)
        with pytest.raises(DataError, match="is not a recorded sequence"):
            RecordedSequence.load(tmp_path / "other.npz")


def test_evaluate_tracking_rejects_a_sequence_without_tracks(frames: list[SequenceFramePoses]) -> None:
    with pytest.raises(DataError, match="no object was tracked in 1 frames"):
        evaluate_tracking(frames[:1], TrackingConfig(), NOCS_CATEGORIES)
