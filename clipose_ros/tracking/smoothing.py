"""A constant-gain filter on positions, rotations and plain values, the same at any frame rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clipose_ros.geometry.se3 import exp_so3, log_so3, make_transform
from clipose_ros.types import FloatArray

_PERIOD_S = 0.1  # `smoothing` is the share of the old estimate that is left after this long
_JUMP_RAD = np.radians(40.0)  # a turn by more than this is a new pose, not noise


def gain(smoothing: float, dt_s: float) -> float:
    """Share of a new measurement in the estimate.

    The old estimate's share falls exponentially with time, so that two frames of half the interval weigh as one: what
    the estimate was a tenth of a second ago keeps the share ``smoothing``.

    Args:
        smoothing: Strength in [0, 1); 0 is off.
        dt_s: Seconds since the estimate was made, >= 0.

    Returns:
        In [0, 1]; 1 takes the measurement as it is.
    """
    if smoothing <= 0.0:
        return 1.0
    return 1.0 - float(smoothing ** (dt_s / _PERIOD_S))


def smooth_pose(T_old: FloatArray, T_new: FloatArray, share: ArrayLike, jump_m: float) -> FloatArray:
    """Move poses towards measured ones: positions along the line, rotations along the geodesic.

    Small deviations are noise and get the constant gain. The nearer a deviation comes to a jump, the nearer its gain
    comes to one, and beyond it the measurement is taken at once: a moved object is followed instead of dragged after,
    and lag stays below the jump.

    Args:
        T_old: ``(..., 4, 4)`` estimates.
        T_new: ``(..., 4, 4)`` measurements in the same frame.
        share: ``(...)``, gain of small deviations, in [0, 1].
        jump_m: Deviation in metres from which the measured position is taken as it is.

    Returns:
        ``(..., 4, 4)`` float64.
    """
    R_old, t_old = T_old[..., :3, :3], T_old[..., :3, 3]
    move = T_new[..., :3, 3] - t_old
    turn = log_so3(np.swapaxes(R_old, -1, -2) @ T_new[..., :3, :3])
    share = np.asarray(share, dtype=np.float64)[..., None]
    t = t_old + _raised(share, _length(move) / jump_m) * move
    R = R_old @ exp_so3(_raised(share, _length(turn) / _JUMP_RAD) * turn)
    return make_transform(R, t)


def _raised(share: FloatArray, deviation: FloatArray) -> FloatArray:
    """The gain of a deviation given as a fraction of a jump."""
    return share + (1.0 - share) * np.square(np.minimum(1.0, deviation))


def _length(v: FloatArray) -> FloatArray:
    """Lengths ``(..., 1)`` of vectors ``(..., 3)``."""
    return np.asarray(np.sqrt(np.square(v).sum(axis=-1, keepdims=True)))
