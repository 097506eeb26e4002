"""Exponential filter for positions, rotations and scalars, independent of the frame rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clipose_ros.geometry.se3 import exp_so3, log_so3, make_transform
from clipose_ros.types import FloatArray

_PERIOD_S = 0.1  # after this time the old estimate has the weight `smoothing`
_JUMP_RAD = np.radians(40.0)  # a larger rotation is a new pose, not noise


def compute_gain(smoothing: float, dt_s: float) -> float:
    """Compute the weight of a new measurement.

    The weight of the old estimate decays exponentially with time: it is ``smoothing`` after a tenth of a second, and
    two updates have the same effect as one after twice the interval.

    Args:
        smoothing: Strength in [0, 1); 0 is off.
        dt_s: Seconds since the estimate was made, >= 0.

    Returns:
        Weight in [0, 1]; 1 replaces the estimate by the measurement.
    """
    if smoothing <= 0.0:
        return 1.0
    return 1.0 - float(smoothing ** (dt_s / _PERIOD_S))


def smooth_pose(T_old: FloatArray, T_new: FloatArray, gain: ArrayLike, jump_m: float) -> FloatArray:
    """Interpolate poses towards measured ones: positions linearly, rotations along the geodesic.

    Small deviations are noise and get the constant gain. The gain rises to 1 as the deviation approaches the jump
    threshold, and larger deviations are applied at once, so that the lag of a moving object stays below the threshold.

    Args:
        T_old: ``(..., 4, 4)`` estimates.
        T_new: ``(..., 4, 4)`` measurements in the same frame.
        gain: ``(...)``, gain of small deviations, in [0, 1].
        jump_m: Deviation in metres from which the measured position is taken as it is.

    Returns:
        ``(..., 4, 4)`` float64.
    """
    R_old, t_old = T_old[..., :3, :3], T_old[..., :3, 3]
    move = T_new[..., :3, 3] - t_old
    turn = log_so3(np.swapaxes(R_old, -1, -2) @ T_new[..., :3, :3])
    gain = np.asarray(gain, dtype=np.float64)[..., None]
    t = t_old + _adapt_gain(gain, _length(move) / jump_m) * move
    R = R_old @ exp_so3(_adapt_gain(gain, _length(turn) / _JUMP_RAD) * turn)
    return make_transform(R, t)


def _adapt_gain(gain: FloatArray, deviation: FloatArray) -> FloatArray:
    """Raise the gain with the deviation, given as a fraction of the jump threshold."""
    return gain + (1.0 - gain) * np.square(np.minimum(1.0, deviation))


def _length(v: FloatArray) -> FloatArray:
    """Compute the lengths ``(..., 1)`` of vectors ``(..., 3)``."""
    return np.asarray(np.sqrt(np.square(v).sum(axis=-1, keepdims=True)))
