"""Fit of a score calibration to clouds with known poses."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from clipose_ros.categories import CategorySet
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import DataError
from clipose_ros.evaluation.report.breakdown import find_correct
from clipose_ros.evaluation.runs.stored_clouds import PosedClouds
from clipose_ros.model.score_calibration import FEATURES, ScoreCalibration, measure_features
from clipose_ros.types import BoolArray, FloatArray

MIN_CLOUDS = 20
"""Fewest clouds of a category from which its weights are fitted."""
_RIDGE = 2.0
"""Weight of the squared weights of features of unit variance, against the sum of the log losses of the clouds."""


def fit_calibration(posed: PosedClouds, categories: CategorySet) -> ScoreCalibration:
    """Fit the weights of each category by logistic regression.

    Args:
        posed: Clouds with poses whose scores are confidences: of a model without calibration.
        categories: Categories of the model.

    Raises:
        DataError: A category has fewer than ``MIN_CLOUDS`` clouds with a finite pose.
    """
    samples, correct = posed.samples, find_correct(posed.errors)
    names = [samples.categories.names[i] for i in samples.category_index]
    weights: dict[str, tuple[float, ...]] = {}
    for category in categories.names:
        rows = [
            row
            for row, (name, pose) in enumerate(zip(names, posed.estimates, strict=True))
            if name == category and np.isfinite(pose.T_camera_object).all()
        ]
        _require(len(rows), category)
        features = np.stack(
            [measure_features(posed.estimates[row], samples.points[row].astype(np.float64)) for row in rows]
        )
        weights[category] = fit_weights(features, correct[rows])
    return ScoreCalibration(weights)


def require_enough_clouds(samples: CloudSamples, categories: CategorySet) -> None:
    """Check the number of clouds of each category before they are posed.

    Raises:
        DataError: A category has fewer than ``MIN_CLOUDS`` clouds.
    """
    names = [samples.categories.names[i] for i in samples.category_index]
    for category in categories.names:
        _require(names.count(category), category)


def _require(count: int, category: str) -> None:
    """Check the number of clouds of a category."""
    if count < MIN_CLOUDS:
        raise DataError(
            f"{count} clouds of '{category}' are too few to calibrate its scores: give at least {MIN_CLOUDS} clouds of "
            "each category"
        )


def fit_weights(features: FloatArray, correct: BoolArray) -> tuple[float, ...]:
    """Fit the weights of ``(B, 4)`` features to ``(B,)`` outcomes by logistic regression with a ridge penalty."""
    mean, std = features[:, 1:].mean(axis=0), features[:, 1:].std(axis=0)
    std = np.where(std > 1e-9, std, 1.0)
    scaled = np.column_stack([features[:, 0], (features[:, 1:] - mean) / std])

    def loss_and_gradient(weights: FloatArray) -> tuple[float, FloatArray]:
        logits, penalized = scaled @ weights, np.concatenate([[0.0], weights[1:]])
        # A faint pull on the constant as well: without it, outcomes that are all alike would drive it to infinity.
        penalized[0] = weights[0] / 100.0
        loss = np.sum(np.logaddexp(0.0, logits) - correct * logits) + _RIDGE * float(penalized @ weights)
        return float(loss), scaled.T @ (expit(logits) - correct) + 2.0 * _RIDGE * penalized

    fitted = minimize(loss_and_gradient, np.zeros(len(FEATURES)), jac=True, method="BFGS").x
    slopes = fitted[1:] / std
    return (float(fitted[0] - slopes @ mean), *map(float, slopes))
