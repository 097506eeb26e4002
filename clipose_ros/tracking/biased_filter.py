"""Kalman filters of scalars whose measurements share a slowly wandering bias.

Errors of poses from nearly the same view are correlated: the same points are hidden, the same part of the mask is
wrong. A filter that takes them as independent becomes certain of a wrong value. Each filter therefore estimates three
quantities: the value, its rate, and the bias of the present view::

    z = value + bias + noise                noise ~ N(0, white)
    value' = value + rate dt
    rate' = exp(-dt / RATE_DECAY_S) rate    stationary standard deviation ``rate_std`` in motion; 0 at rest
    bias' = correlation * bias              stationary variance ``bias``; correlation 1 while the view stays the same

While the view stays, value and bias cannot be told apart, and the variance of the value stays near that of the bias.
As the view changes, the bias is drawn anew and averages out.

All filters of a frame are one batch: means ``(..., 3)`` and covariances ``(..., 3, 3)``.

References:
    Bar-Shalom, Li, Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001 (coloured measurement
    noise by state augmentation; Singer's model of a decaying rate).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clipose_ros.types import FloatArray

VALUE, RATE, BIAS = 0, 1, 2
"""Indices of the estimated quantities."""
RATE_DECAY_S = 0.5
"""Time in which the rate of a moving object loses all but 1/e of itself, seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class NoiseVariance:
    """Variances of a measurement, of equal shapes ``(...)``.

    Attributes:
        white: Part that is independent from frame to frame.
        bias: Part that the view determines.
    """

    white: FloatArray
    bias: FloatArray

    @property
    def total(self) -> FloatArray:
        """Return the variance of a single measurement."""
        return np.asarray(self.white + self.bias)

    def row(self, index: int) -> NoiseVariance:
        """Return the variances of one row."""
        return NoiseVariance(self.white[index], self.bias[index])


@dataclass(frozen=True, slots=True, eq=False)
class ProcessNoise:
    """Change of the values between two measurements.

    Attributes:
        rate_std: Standard deviation of the rate of a moving object, units per second; 0 at rest.
        drift: Growth of the variance of a resting value, squared units per second.
    """

    rate_std: float
    drift: float


@dataclass(frozen=True, slots=True, eq=False)
class ViewChange:
    """Change of the view between two measurements.

    Attributes:
        correlation: Correlation of the biases of both views, in [0, 1].
        bias: ``(...)`` variance of the bias of the new view.
    """

    correlation: float
    bias: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Batch of estimates.

    Attributes:
        mean: ``(..., 3)`` of value, rate and bias.
        covariance: ``(..., 3, 3)``.
    """

    mean: FloatArray
    covariance: FloatArray

    @classmethod
    def from_measurement(cls, value: FloatArray, noise: NoiseVariance) -> Estimate:
        """Return the estimates after one measurement of an unknown value ``(...)``."""
        mean = np.zeros((*value.shape, 3))
        mean[..., VALUE] = value
        covariance = np.zeros((*value.shape, 3, 3))
        covariance[..., VALUE, VALUE] = noise.total
        covariance[..., BIAS, BIAS] = noise.bias
        covariance[..., VALUE, BIAS] = covariance[..., BIAS, VALUE] = -noise.bias
        return cls(mean, covariance)

    @property
    def value(self) -> FloatArray:
        """Return the values ``(...)``."""
        return self.mean[..., VALUE]

    @property
    def variance(self) -> FloatArray:
        """Return the variances ``(...)`` of the values."""
        return self.covariance[..., VALUE, VALUE]

    def predict(self, dt_s: float, process: ProcessNoise) -> Estimate:
        """Return the estimates ``dt_s`` seconds later."""
        moving = process.rate_std > 0.0
        decay = math.exp(-dt_s / RATE_DECAY_S) if moving else 0.0
        transition = np.diag([1.0, decay, 1.0])
        transition[VALUE, RATE] = RATE_DECAY_S * (1.0 - decay) if moving else 0.0
        covariance = transition @ self.covariance @ transition.T
        gained = process.rate_std**2 * (1.0 - decay**2)
        covariance[..., RATE, RATE] += gained
        covariance[..., VALUE, VALUE] += gained * dt_s**2 / 3.0 + process.drift * dt_s
        covariance[..., VALUE, RATE] += gained * dt_s / 2.0
        covariance[..., RATE, VALUE] += gained * dt_s / 2.0
        return Estimate(self.mean @ transition.T, covariance)

    def change_view(self, view: ViewChange) -> Estimate:
        """Return the estimates for another view: the bias forgets a part of itself."""
        factor = np.array([1.0, 1.0, view.correlation])
        covariance = self.covariance * (factor[:, None] * factor)
        covariance[..., BIAS, BIAS] += (1.0 - view.correlation**2) * view.bias
        return Estimate(self.mean * factor, covariance)

    def update(self, measured: FloatArray, white: FloatArray) -> Estimate:
        """Return the estimates after measurements ``(...)`` with white noise of variance ``white`` ``(...)``."""
        seen = self.covariance[..., VALUE] + self.covariance[..., BIAS]  # (..., 3) covariance with value + bias
        innovation = measured - self.mean[..., VALUE] - self.mean[..., BIAS]
        variance = seen[..., VALUE] + seen[..., BIAS] + white
        gain = seen / variance[..., None]
        covariance = self.covariance - gain[..., :, None] * seen[..., None, :]
        return Estimate(self.mean + gain * innovation[..., None], covariance)

    def at_rest(self) -> Estimate:
        """Return the estimates with rates that are known to be zero."""
        factor = np.array([1.0, 0.0, 1.0])
        return Estimate(self.mean * factor, self.covariance * (factor[:, None] * factor))

    def with_rate(self, rate: FloatArray, variance: float) -> Estimate:
        """Return the estimates with other rates ``(...)``, independent of the values."""
        resting = self.at_rest()
        resting.mean[..., RATE] = rate
        resting.covariance[..., RATE, RATE] = variance
        return resting

    def with_value(self, value: float) -> Estimate:
        """Return the estimates with all values replaced, their covariances kept."""
        mean = self.mean.copy()
        mean[..., VALUE] = value
        return Estimate(mean, self.covariance)
