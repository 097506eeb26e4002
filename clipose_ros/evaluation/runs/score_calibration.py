"""Fit of a score calibration to clouds with known poses."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from clipose_ros.categories import CategorySet
from clipose_ros.errors import DataError
from clipose_ros.evaluation.report.breakdown import find_right
from clipose_ros.evaluation.runs.stored_clouds import PosedClouds
from clipose_ros.model.score_calibration import SIGNS, ScoreCalibration, measure_signs
from clipose_ros.types import BoolArray, FloatArray

MIN_CLOUDS = 20
"""Fewest clouds of a category from which its weights are fitted."""
_RIDGE = 2.0
"""Weight of the squared weights of signs of unit variance, against the sum of the log losses of the clouds."""


def fit_calibration(posed: PosedClouds, categories: CategorySet) -> ScoreCalibration:
    """Fit the weights of each category by logistic regression.

    Args:
        posed: Clouds with poses whose scores are confidences: of a model without calibration.
        categories: Categories of the model.

    Raises:
        DataError: A category has fewer than ``MIN_CLOUDS`` clouds with a finite pose.
    """
    samples, right = posed.samples, find_right(posed.errors)
    names = [samples.categories.names[i] for i in samples.category_index]
    weights: dict[str, tuple[float, ...]] = {}
    for category in categories.names:
        rows = [
            row
            for row, (name, pose) in enumerate(zip(names, posed.estimates, strict=True))
            if name == category and np.isfinite(pose.T_camera_object).all()
        ]
        if len(rows) < MIN_CLOUDS:
            raise DataError(
                f"{len(rows)} clouds of '{category}' with a finite pose are too few to calibrate its scores: give at "
                f"least {MIN_CLOUDS} clouds of each category"
            )
        signs = np.stack([measure_signs(posed.estimates[row], samples.points[row].astype(np.float64)) for row in rows])
        weights[category] = fit_weights(signs, right[rows])
    return ScoreCalibration(weights)


def fit_weights(signs: FloatArray, right: BoolArray) -> tuple[float, ...]:
    """Fit the weights of ``(B, 4)`` signs to ``(B,)`` outcomes by logistic regression with a ridge penalty."""
    mean, std = signs[:, 1:].mean(axis=0), signs[:, 1:].std(axis=0)
    std = np.where(std > 1e-9, std, 1.0)
    scaled = np.column_stack([signs[:, 0], (signs[:, 1:] - mean) / std])

    def loss_and_gradient(weights: FloatArray) -> tuple[float, FloatArray]:
        logits, penalized = scaled @ weights, np.concatenate([[0.0], weights[1:]])
        # A faint pull on the constant as well: without it, outcomes that are all alike would drive it to infinity.
        penalized[0] = weights[0] / 100.0
        loss = np.sum(np.logaddexp(0.0, logits) - right * logits) + _RIDGE * float(penalized @ weights)
        return float(loss), scaled.T @ (expit(logits) - right) + 2.0 * _RIDGE * penalized

    fitted = minimize(loss_and_gradient, np.zeros(len(SIGNS)), jac=True, method="BFGS").x
    slopes = fitted[1:] / std
    return (float(fitted[0] - slopes @ mean), *map(float, slopes))
