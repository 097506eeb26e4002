"""Score calibrations: their features, their text form, and their place in the file of a model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import CheckpointError, ConfigError
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.inference.predictor import Predictor, calibrate_scores
from clipose_ros.model import checkpoint as checkpoint_module
from clipose_ros.model.checkpoint import load_checkpoint, read_notes, save_checkpoint, weights_hash
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.model.score_calibration import FEATURES, ScoreCalibration, measure_features
from clipose_ros.types import FloatArray, PoseEstimate

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))
EQUAL = ScoreCalibration(dict.fromkeys(NOCS_CATEGORIES.names, (0.0, 1.0, 0.0, 0.0)))


def pose(size: tuple[float, float, float] = (0.1, 0.1, 0.1), score: float = 0.8) -> PoseEstimate:
    return PoseEstimate("mug", make_transform(np.eye(3), np.array([0.0, 0.0, 1.0])), np.array(size), score, (0.8, 0.8))


def box_cloud(size: float = 0.1) -> FloatArray:
    rng = np.random.default_rng(3)
    return np.array([0.0, 0.0, 1.0]) + rng.uniform(-size / 2, size / 2, (1024, 3))


def test_signs_of_a_filled_box() -> None:
    constant, confidence, outside, covered = measure_features(pose(), box_cloud())
    assert (constant, outside) == (1.0, 0.0)
    assert confidence == pytest.approx(np.log(0.8 / 0.2))
    assert covered == pytest.approx(0.96, abs=0.02)


def test_points_outside_the_box_and_empty_sides_show() -> None:
    assert measure_features(pose((0.05, 0.1, 0.1)), box_cloud())[2] > 0.5
    assert measure_features(pose((0.2, 0.2, 0.2)), box_cloud())[3] < 0.55


@given(st.floats(0.0, 1.0), st.floats(0.0, 5.0), st.floats(0.0, 5.0))
def test_signs_are_finite(score: float, side: float, cloud_side: float) -> None:
    assert np.isfinite(measure_features(pose((side, side, side), score), box_cloud(cloud_side))).all()


def test_weight_one_on_the_confidence_changes_no_score() -> None:
    (scored,) = calibrate_scores([pose(score=0.3)], box_cloud()[None], EQUAL)
    assert scored.score == pytest.approx(0.3)


def test_poses_that_are_not_finite_stay() -> None:
    broken = PoseEstimate("mug", np.full((4, 4), np.nan), np.full(3, np.nan), float("nan"), (0.5, 0.5))
    assert calibrate_scores([broken], box_cloud()[None], EQUAL) == [broken]


def test_file_keeps_the_calibration_and_the_predictor_applies_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = CLIPoseNet(TINY, NOCS_CATEGORIES)
    bare = weights_hash(network)
    save_checkpoint(tmp_path / "bare.safetensors", network, {"step": 3})
    network.score_calibration = ScoreCalibration(dict.fromkeys(NOCS_CATEGORIES.names, (-2.0, 0.5, -1.0, 1.0)))
    path = tmp_path / "calibrated.safetensors"
    save_checkpoint(path, network, read_notes(tmp_path / "bare.safetensors"))
    assert read_notes(path) == {"step": 3}
    loaded = load_checkpoint(path)
    assert loaded.score_calibration == network.score_calibration
    assert weights_hash(loaded) == weights_hash(network) != bare
    clouds = np.stack([box_cloud()] * 2).astype(np.float32)
    plain = Predictor.load(tmp_path / "bare.safetensors", "cpu").predict(clouds, ["mug", "can"])
    scored = Predictor.load(path, "cpu").predict(clouds, ["mug", "can"])
    assert network.score_calibration is not None
    for before, after, cloud in zip(plain, scored, clouds, strict=True):
        np.testing.assert_array_equal(before.T_camera_object, after.T_camera_object)
        features = measure_features(before, cloud.astype(np.float64))
        assert after.score == pytest.approx(network.score_calibration.probability(before.category, features))
        assert before.score != after.score


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ([1], "must be a mapping"),
        ({"mug": "x"}, "'mug' must be a list of numbers"),
        ({"mug": [1.0, True, 0.0, 0.0]}, "'mug' must be a list of numbers"),
        ({"mug": [1.0]}, f"expected {len(FEATURES)} numbers"),
        ({"mug": [10**350, 0, 0, 0]}, "a number that is too large"),
        ({"mug": [1.0, 2.0, 3.0, float("inf")]}, f"expected {len(FEATURES)} numbers"),
        ({"mug": [1.0, 2.0, 3.0, 4.0]}, "its categories are 'bottle'"),
    ],
)
def test_wrong_calibrations_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calibration: object, message: str
) -> None:
    torch.manual_seed(0)
    network = CLIPoseNet(TINY, NOCS_CATEGORIES)
    network.score_calibration = EQUAL
    path = tmp_path / "wrong.safetensors"
    monkeypatch.setattr(ScoreCalibration, "to_mapping", lambda _: calibration)
    save_checkpoint(path, network)
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()[checkpoint_module.CALIBRATION]) == calibration
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load_checkpoint(path)


def test_weights_are_checked() -> None:
    with pytest.raises(ConfigError, match="'mug' has the weights"):
        ScoreCalibration({"mug": (1.0, 2.0)})
