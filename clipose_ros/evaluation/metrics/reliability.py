"""Reliability of scores: the share of correct poses among poses of about equal score."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from clipose_ros.types import BoolArray, FloatArray

BINS = 10
"""Number of bins of equal width between 0 and 1."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Poses whose scores lie in one bin.

    Attributes:
        low: Lower limit of the scores.
        high: Upper limit of the scores.
        count: Number of poses.
        score: Mean score.
        correct: Share of correct poses, in [0, 1].
    """

    low: float
    high: float
    count: int
    score: float
    correct: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Reliability diagram and its summary.

    Attributes:
        bins: Bins with at least one pose, by ascending score.
        expected_calibration_error: In [0, 1]: mean distance of score and share of correct poses over the bins,
            weighted by their counts.

    References:
        C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, Eq. (3) and (5).
    """

    bins: tuple[ReliabilityBin, ...]
    expected_calibration_error: float

    def as_record(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "expected_calibration_error": self.expected_calibration_error,
            "bins": [asdict(each) for each in self.bins],
        }


def measure_reliability(scores: Sequence[float] | FloatArray, correct: BoolArray) -> Reliability:
    """Compute the reliability of scores.

    Args:
        scores: B scores in [0, 1]; a score of NaN counts as 0.
        correct: ``(B,)`` whether each pose is correct.
    """
    values = np.nan_to_num(np.asarray(scores, dtype=np.float64), nan=0.0)
    place = np.clip((values * BINS).astype(int), 0, BINS - 1)
    bins = []
    for k, (low, high) in enumerate(itertools.pairwise(np.linspace(0.0, 1.0, BINS + 1).round(6).tolist())):
        chosen = place == k
        if count := int(chosen.sum()):
            bins.append(ReliabilityBin(low, high, count, float(values[chosen].mean()), float(correct[chosen].mean())))
    distance = sum(each.count * abs(each.score - each.correct) for each in bins)
    return Reliability(tuple(bins), distance / max(len(values), 1))
