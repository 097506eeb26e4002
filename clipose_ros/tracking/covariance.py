"""Covariance of poses in the convention of ROS: a 6x6 matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clipose_ros.inference.rotation_correction import FREE_TURN
from clipose_ros.types import FloatArray


def pose_covariance(R_frame_object: ArrayLike, position: ArrayLike, rotation: ArrayLike) -> FloatArray:
    """Assemble the covariance of poses about the fixed axes of their frame.

    Args:
        R_frame_object: ``(..., 3, 3)``.
        position: ``(..., 3)`` variances of the position along the axes of the frame, m^2.
        rotation: ``(..., 3)`` variances of the turn about the object's x, y and z axes, rad^2; at most that of a free
            turn counts.

    Returns:
        ``(..., 6, 6)`` float64 of (x, y, z, turn about X, Y, Z), m^2 and rad^2; symmetric and positive definite.
    """
    R = np.asarray(R_frame_object, dtype=np.float64)
    covariance = np.zeros((*R.shape[:-2], 6, 6))
    covariance[..., [0, 1, 2], [0, 1, 2]] = position
    turns = (R * np.minimum(rotation, FREE_TURN)[..., None, :]) @ np.swapaxes(R, -1, -2)
    covariance[..., 3:, 3:] = (turns + np.swapaxes(turns, -1, -2)) / 2.0
    return covariance
