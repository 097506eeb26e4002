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
        return float(np.square(self.rate / self.deviation).sum())


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
    t = time_s - time_s.mean() if len(time_s) else time_s
    spread = float(np.square(t).sum())
    if len(t) < 3 or spread <= 0.0:
        return None
    rate = t @ values / spread
    scatter = np.square(values - values.mean(axis=0) - t[:, None] * rate).sum(axis=0) / (len(t) - 2)
    expected = variance.mean(axis=0)
    return Slope(rate, np.sqrt(expected * max(float((scatter / expected).mean()), 1.0) / spread))
