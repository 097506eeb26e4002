"""Consistency of covariances: the normalized estimation error squared (NEES).

For an error e of dimension d with the covariance P, and n independent objects::

    NEES = e^T P^-1 e,    E[NEES] = d,    n * mean(NEES) ~ chi^2 with n * d degrees of freedom
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from clipose_ros.types import FloatArray

_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Nees:
    """Normalized estimation error squared, averaged over objects.

    Attributes:
        degrees_of_freedom: Dimension of the error, the expected mean.
        objects: Number of objects.
        mean: Mean over the objects; a single flip can dominate it.
        band: Interval of the mean with a probability of 95 per cent for a consistent covariance.
        median: Median over the objects.
        within_95: Percentage of objects below the 95 per cent quantile of the distribution of one object.
    """

    degrees_of_freedom: int
    objects: int
    mean: float
    band: tuple[float, float]
    median: float
    within_95: float


def compute_nees(values: FloatArray, dimensions: int) -> Nees:
    """Summarize normalized squared errors.

    Args:
        values: ``(N,)`` normalized squared errors of independent objects.
        dimensions: Dimension of the error.
    """
    tail, count = (1.0 - _CONFIDENCE) / 2.0, len(values)
    low, high = chi2.ppf([tail, 1.0 - tail], count * dimensions) / count
    within = values <= chi2.ppf(_CONFIDENCE, dimensions)
    median = float(np.median(values))
    return Nees(
        dimensions, count, float(values.mean()), (float(low), float(high)), median, 100.0 * float(within.mean())
    )


def squared_error(error: FloatArray, covariance: FloatArray) -> float:
    """Return e^T P^-1 e of an error ``(d,)`` with a covariance ``(d, d)``."""
    return float(error @ np.linalg.solve(covariance, error))


def squared_axis_error(R: FloatArray, R_true: FloatArray, covariance: FloatArray) -> float:
    """Return the normalized squared error of the y axis, a turn about the object's x and z axes.

    Args:
        R: ``(3, 3)`` estimated rotation.
        R_true: ``(3, 3)`` true rotation.
        covariance: ``(3, 3)`` of the turn about the axes of the frame.
    """
    across = np.cross(R_true[:, 1], R[:, 1])
    sine = float(np.linalg.norm(across))
    turn = across * (np.arctan2(sine, float(R_true[:, 1] @ R[:, 1])) / max(sine, 1e-12))
    basis = R[:, [0, 2]]
    return squared_error(basis.T @ turn, basis.T @ covariance @ basis)
