"""How sure a tracked pose is, as ROS wants it: one 6x6 matrix."""

from __future__ import annotations

import math

import numpy as np

from clipose_ros.categories import Symmetry
from clipose_ros.types import FloatArray

_AXIS_DECAY = 13.7  # the network is trained to say exp(-13.7 d^2) of an axis that is d away from the truth
_FREE = math.pi**2 / 3.0  # variance of an angle of which nothing is known: uniform over a full turn
_ROTATION_FLOOR = math.radians(1.0) ** 2
_POSITION = 0.05  # standard deviation of the position as a fraction of the box's diagonal, at score one


def pose_covariance(
    R_frame_object: FloatArray,
    size: FloatArray,
    score: float,
    axis_confidences: tuple[float, float],
    symmetry: Symmetry,
    drift_m: float = 0.0,
) -> FloatArray:
    """Covariance of a pose about the fixed axes of its frame.

    Rotation: a confidence c says that the axis is d = sqrt(-ln c / 13.7) away from the truth. The error of the y axis
        is a turn about x
    or z, half of its variance each; that of the x axis is a turn about y or z, so what z does not explain is a turn
    about y. Where the shape is axially symmetric the turn about y is free: the variance of a uniform angle. Position:
    the network gives no confidence of its own, so one twentieth of the diagonal, grown by one over the root of the
    score.

    Args:
        R_frame_object: ``(3, 3)``.
        size: ``(3,)`` metres.
        score: In [0, 1].
        axis_confidences: Of the y and of the x axis, in [0, 1].
        symmetry: Of the category.
        drift_m: How far the object may have moved since it was seen, metres.

    Returns:
        ``(6, 6)`` float64 of (x, y, z, turn about X, Y, Z), m^2 and rad^2; symmetric and positive definite.
    """
    error_y, error_x = (-math.log(max(c, 1e-9)) / _AXIS_DECAY for c in axis_confidences)
    about_x = about_z = max(error_y / 2.0, _ROTATION_FLOOR)
    about_y = _FREE if symmetry.axial_y else max(error_x - about_z, _ROTATION_FLOOR)
    position = (_POSITION * float(np.linalg.norm(size))) ** 2 / max(score, 0.01) + drift_m**2
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = position * np.eye(3)
    turns = R_frame_object @ np.diag([about_x, about_y, about_z]) @ R_frame_object.T
    covariance[3:, 3:] = (turns + turns.T) / 2.0
    return covariance
