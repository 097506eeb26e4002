"""Covariance of tracked poses in the convention of ROS: a 6x6 matrix."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from clipose_ros.types import AXIS_CONFIDENCE_DECAY, FloatArray

_FREE = math.pi**2 / 3.0  # variance of an angle that is uniform over a full turn
_ROTATION_FLOOR = math.radians(1.0) ** 2
_POSITION = 0.05  # standard deviation of the position as a fraction of the box's diagonal, at score one


def pose_covariance(
    R_frame_object: ArrayLike,
    size: ArrayLike,
    score: ArrayLike,
    axis_confidences: ArrayLike,
    axial_y: ArrayLike,
    drift_m: ArrayLike = 0.0,
) -> FloatArray:
    """Covariance of poses about the fixed axes of their frame.

    Rotation: a confidence c = exp(-13.7 d^2) corresponds to an axis error d = sqrt(-ln c / 13.7). The error of the y
    axis is a rotation about x or z, each with half of its variance. The error of the x axis is a rotation about y or z;
    the part that z does not explain is the variance about y. For axially symmetric shapes the variance about y is that
    of a uniform angle. Position: the standard deviation is 0.05 of the box diagonal, divided by the root of the score,
    because the network predicts no confidence of the position.

    Args:
        R_frame_object: ``(..., 3, 3)``.
        size: ``(..., 3)`` metres.
        score: ``(...)`` pose scores in [0, 1].
        axis_confidences: ``(..., 2)`` of the y and of the x axis, in [0, 1].
        axial_y: ``(...)`` bool, true for axially symmetric shapes.
        drift_m: ``(...)``, largest motion of the object since its last observation, metres.

    Returns:
        ``(..., 6, 6)`` float64 of (x, y, z, turn about X, Y, Z), m^2 and rad^2; symmetric and positive definite.
    """
    R = np.asarray(R_frame_object, dtype=np.float64)
    error = -np.log(np.maximum(axis_confidences, 1e-9)) / AXIS_CONFIDENCE_DECAY
    about = np.empty((*R.shape[:-2], 3))
    about_z = np.maximum(error[..., 0] / 2.0, _ROTATION_FLOOR)
    about[..., 0] = about[..., 2] = about_z
    about[..., 1] = np.where(axial_y, _FREE, np.maximum(error[..., 1] - about_z, _ROTATION_FLOOR))
    diagonal_squared = np.square(size).sum(axis=-1)
    position = _POSITION**2 * diagonal_squared / np.maximum(score, 0.01) + np.square(drift_m)
    covariance = np.zeros((*R.shape[:-2], 6, 6))
    covariance[..., [0, 1, 2], [0, 1, 2]] = position[..., None]
    turns = (R * about[..., None, :]) @ np.swapaxes(R, -1, -2)
    covariance[..., 3:, 3:] = (turns + np.swapaxes(turns, -1, -2)) / 2.0
    return covariance
