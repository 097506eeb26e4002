"""Calibrated scores: the probability that a pose is correct, as a logistic function of features of its prediction.

The confidences of the network rank poses, but are no probabilities. The calibration adds two features of the cloud,
weighted by category: the share of points outside the predicted box, and the share of the box that they cover.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clipose_ros.errors import ConfigError, quoted
from clipose_ros.types import FloatArray, PoseEstimate

CORRECT_DEG, CORRECT_CM = 10.0, 5.0
"""Largest errors of rotation and position of a correct pose."""
FEATURES = ("constant", "confidence", "outside", "covered")
"""Names of the features: 1, log-odds of the pose confidence, root of the share of points outside the box, and the mean
extent of the points along the sides of the box, relative to it."""
_TOLERANCE = 1.15
"""Points are outside the box if they are outside a box larger by this factor; noise at its faces does not count."""
_SURE = 0.99
"""Confidences are cut to 1 - ``_SURE`` to ``_SURE``: their log-odds stay finite."""
_EDGES = (2.0, 98.0)
"""Percentiles of the points between which their extent is measured."""


@dataclass(frozen=True)
class ScoreCalibration:
    """Weights of the features for each category.

    Attributes:
        weights: Four weights in the order of ``FEATURES`` by name of the category.
    """

    weights: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        for category, values in self.weights.items():
            if len(values) != len(FEATURES) or not all(math.isfinite(value) for value in values):
                raise ConfigError(
                    f"the score calibration of {quoted(category)} has the weights {values!r:.80}, expected "
                    f"{len(FEATURES)} numbers: {', '.join(FEATURES)}"
                )

    @classmethod
    def from_mapping(cls, mapping: object) -> ScoreCalibration:
        """Read the mapping that ``to_mapping`` returns.

        Raises:
            ConfigError: It has another form.
        """
        if not isinstance(mapping, dict):
            raise ConfigError(f"the score calibration must be a mapping of categories, got {mapping!r:.80}")
        weights: dict[str, tuple[float, ...]] = {}
        for category, values in mapping.items():
            if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
                raise ConfigError(f"the score calibration of {quoted(category)} must be a list of numbers")
            try:
                weights[str(category)] = tuple(map(float, values))
            except OverflowError as error:  # an integer of more than 308 digits
                raise ConfigError(
                    f"the score calibration of {quoted(category)} has a number that is too large"
                ) from error
        return cls(weights)

    def to_mapping(self) -> dict[str, list[float]]:
        """Return plain values for a file."""
        return {category: list(values) for category, values in self.weights.items()}

    def probability(self, category: str, features: FloatArray) -> FloatArray:
        """Compute the probability ``(...)`` that poses are correct from their features ``(..., 4)``."""
        with np.errstate(over="ignore", invalid="ignore"):
            logits = np.nan_to_num(features @ np.array(self.weights[category]))
        probability: FloatArray = 0.5 * (np.tanh(0.5 * logits) + 1.0)
        return probability


def measure_features(pose: PoseEstimate, cloud: FloatArray) -> FloatArray:
    """Measure the features ``(4,)`` of a finite pose, in the order of ``FEATURES``.

    Args:
        pose: Pose, size and confidence.
        cloud: ``(N, 3)`` metres, camera frame.
    """
    T, half = pose.T_camera_object, np.maximum(pose.size, 1e-3) / 2.0
    inside = (cloud - T[:3, 3]) @ T[:3, :3] / half
    outside = float(np.mean(np.abs(inside).max(axis=1) > _TOLERANCE))
    low, high = np.percentile(inside, _EDGES, axis=0)
    sure = min(max(pose.score, 1.0 - _SURE), _SURE)
    # A box of a millimetre would have a share in the thousands.
    covered = min(float(np.mean(high - low)) / 2.0, 2.0)
    return np.array([1.0, math.log(sure / (1.0 - sure)), math.sqrt(outside), covered])
