"""Predictions and score of a network in training on validation clouds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.samples import CloudSamples
from clipose_ros.evaluation.metrics.pose_accuracy import Accuracy
from clipose_ros.inference.engines.pytorch import PytorchEngine
from clipose_ros.inference.predictor import Predictor
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.validation import create_predict_fn, evaluate_predictions, score
from clipose_ros.types import PoseEstimate


def test_predict_fn_predicts_rows_as_the_predictor_does(
    seen_samples: CloudSamples, tiny_architecture: Architecture
) -> None:
    torch.manual_seed(0)
    network = CLIPoseNet(tiny_architecture, NOCS_CATEGORIES).eval()
    poses = create_predict_fn(TrainConfig(), network, None, seen_samples, "cpu")(slice(2, 5))
    names = [seen_samples.categories.names[i] for i in seen_samples.category_index[2:5]]
    expected = Predictor(PytorchEngine(network, "cpu")).predict(seen_samples.points[2:5], names)
    assert [pose.category for pose in poses] == names
    for pose, other in zip(poses, expected, strict=True):
        np.testing.assert_allclose(pose.T_camera_object, other.T_camera_object, atol=1e-6)
        np.testing.assert_allclose(pose.size, other.size, atol=1e-6)


def perfect_poses(samples: CloudSamples, rows: slice) -> list[PoseEstimate]:
    index = range(*rows.indices(len(samples)))
    return [
        PoseEstimate(
            samples.categories.names[samples.category_index[row]],
            samples.T_camera_object[row].astype(np.float64),
            samples.size[row].astype(np.float64),
            1.0,
            (1.0, 1.0),
        )
        for row in index
    ]


def test_true_poses_have_full_accuracy(seen_samples: CloudSamples) -> None:
    table = evaluate_predictions(lambda rows: perfect_poses(seen_samples, rows), seen_samples, NOCS_CATEGORIES)
    assert set(NOCS_CATEGORIES.names) < set(table)
    assert score(table) == 100.0
    assert table["mean"].rotation_deg_median == pytest.approx(0.0, abs=0.1)
    assert table["mean"].size_percent_median == pytest.approx(0.0, abs=1e-4)


def test_score_is_mean_10deg5cm_accuracy() -> None:
    within = {"5deg2cm": 10.0, "10deg5cm": 42.0}
    assert (
        score({"mug": Accuracy(1, 1.0, 1.0, 1.0, {"10deg5cm": 9.0}), "mean": Accuracy(1, 1.0, 1.0, 1.0, within)}) == 42
    )
    assert score({}) == -1.0
