"""Predictions and accuracy of a network in training on the validation clouds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.data.samples import CloudSamples
from clipose_ros.evaluation.metrics.pose_accuracy import Accuracy
from clipose_ros.evaluation.runs.stored_clouds import evaluate_poses
from clipose_ros.inference.engines.base import Engine
from clipose_ros.inference.engines.pytorch import PytorchEngine
from clipose_ros.inference.engines.refining_engine import RefiningEngine
from clipose_ros.inference.predictor import Predictor
from clipose_ros.model.fusion import FusionNet
from clipose_ros.model.network import CLIPoseNet
from clipose_ros.training.clip_features import ClipFeatureProvider
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.fusion_predictor import FusionPredictor
from clipose_ros.types import PoseEstimate

SCORE = "10deg5cm"
"""Accuracy whose mean over the categories selects the best model."""

PredictFn = Callable[[slice], Sequence[PoseEstimate]]
"""Function that predicts the poses of the stored clouds of a slice."""


def create_predict_fn(
    config: TrainConfig,
    network: CLIPoseNet,
    clip_features: ClipFeatureProvider | None,
    samples: CloudSamples,
    device: str,
) -> PredictFn:
    """Create the function that predicts the poses of the samples of a slice; ``network`` is in evaluation mode."""
    if isinstance(network, FusionNet) and clip_features is not None:
        images = samples.images if config.fusion.modality == "image" else None
        return FusionPredictor(network, clip_features, samples, images, device)
    engine: Engine = PytorchEngine(network, device)
    if network.refiner is not None:
        engine = RefiningEngine(engine, PytorchEngine(network.refiner, device))
    predictor = Predictor(engine)

    def predict(rows: slice) -> list[PoseEstimate]:
        names = [samples.categories.names[i] for i in samples.category_index[rows]]
        return predictor.predict(samples.points[rows].astype(np.float32), names)

    return predict


def evaluate_predictions(predict_fn: PredictFn, samples: CloudSamples, categories: CategorySet) -> dict[str, Accuracy]:
    """Measure the accuracy by category, and its mean under ``mean``."""
    return evaluate_poses(predict_fn, samples, categories)


def score(table: dict[str, Accuracy]) -> float:
    """Return the accuracy that selects the best model, percent; -1 without a validation."""
    return table["mean"].within[SCORE] if table else -1.0
