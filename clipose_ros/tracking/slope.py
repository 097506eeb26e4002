"""Straight lines through the measurements of an object over time, which show its motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Slope:
    """Slopes of C quantities over time.

    Attributes:
        rate: ``(C,)`` units per second.
        deviation: ``(C,)`` standard deviations of the rates.
    """

    rate: FloatArray
    deviation: FloatArray

    @property
    def significance(self) -> float:
        """Return the squared Mahalanobis length of the rates, which does not depend on the axes of equal deviations."""
        ratio = self.rate / self.deviation
        return float(ratio @ ratio)


def fit_slope(time_s: FloatArray, values: FloatArray, variance: FloatArray) -> Slope | None:
    """Fit straight lines by least squares.

    Args:
        time_s: ``(N,)`` seconds.
        values: ``(N, C)``.
        variance: ``(N, C)`` expected variances of the values. If the scatter about the lines is larger, as a mean over
            all quantities, they are scaled to it: a scale by axis would depend on the choice of axes.

    Returns:
        The slopes; None for fewer than three values or equal times.
    """
    count, quantities = values.shape
    if count < 3:
        return None
    # Sums instead of means: so few numbers take less time than NumPy's choice of how to average them.
    t = time_s - time_s.sum() / count
    spread = float(t @ t)
    if spread <= 0.0:
        return None
    rate = t @ values / spread
    residual = values - values.sum(axis=0) / count - t[:, None] * rate
    scatter = np.square(residual).sum(axis=0) / (count - 2)
    expected = variance.sum(axis=0) / count
    excess = float((scatter / expected).sum()) / quantities
    return Slope(rate, np.sqrt(expected * (max(excess, 1.0) / spread)))
