"""Posed objects as the input of grasps and collision shapes, and what their covariances mean for them."""

from __future__ import annotations

import math

import numpy as np

from clipose_ros.geometry.se3 import cross
from clipose_ros.types import FloatArray, PosedObject

PADDING_STDS = 2.0
"""Standard deviations of the position by which a box is padded."""
MAX_PADDING_M = 0.05
"""Largest padding of a box, metres. An object that is less certain than this has no useful box."""


MAX_SIZE_M = 10.0
"""Largest extent of an object, metres."""
MAX_DISTANCE_M, MAX_VARIANCE = 1e4, 1e4
"""Largest coordinate of an object, metres, and largest entry of its covariance, m^2 and rad^2."""

_ROUNDING = 1e-6


def find_fault(item: PosedObject) -> str | None:
    """Return why an object cannot be used, with the value; None if it can."""
    if not (np.isfinite(item.T_frame_object).all() and np.isfinite(item.covariance).all()):
        return "its pose or covariance is not finite"
    if np.abs(item.T_frame_object[:3, 3]).max() > MAX_DISTANCE_M or np.abs(item.covariance).max() > MAX_VARIANCE:
        return f"its position or covariance is larger than {MAX_DISTANCE_M:g} m or {MAX_VARIANCE:g}"
    # From other programs: a covariance of unknown entries is often -1, and a missing size 0.
    if not (np.diag(item.covariance) >= 0.0).all():
        return f"its covariance has a negative variance, {float(np.diag(item.covariance).min()):.3g}"
    values = np.linalg.eigvalsh(0.5 * (item.covariance + item.covariance.T))
    if values[0] < -_ROUNDING * max(values[-1], 1e-12):
        return f"its covariance is not positive semidefinite: the eigenvalues are {values[0]:.3g} to {values[-1]:.3g}"
    if not ((item.size > 0.0) & (item.size < MAX_SIZE_M)).all():
        return f"its size {np.round(item.size, 4).tolist()} must lie between 0 and {MAX_SIZE_M:g} m"
    return None


def yaw_std_rad(item: PosedObject) -> float:
    """Return the standard deviation of the turn about the object's y axis, radians."""
    y = item.T_frame_object[:3, 1]
    return math.sqrt(max(float(y @ item.covariance[3:, 3:] @ y), 0.0))


def point_covariance(item: PosedObject, points: FloatArray, free_yaw: bool) -> FloatArray:
    """Compute the covariances of points that are fixed to an object.

    A point p of an object at c moves by dp = dc + dtheta x (p - c).

    Args:
        item: The object.
        points: ``(N, 3)`` in the frame of the scene, metres.
        free_yaw: The turn about the object's y axis does not matter, because the object is axially symmetric.

    Returns:
        ``(N, 3, 3)`` m^2.
    """
    arm = points - item.T_frame_object[:3, 3]
    J = np.zeros((len(points), 3, 6))
    J[:, [0, 1, 2], [0, 1, 2]] = 1.0
    # dtheta x r as a matrix that multiplies dtheta
    J[:, 0, 4], J[:, 0, 5] = arm[:, 2], -arm[:, 1]
    J[:, 1, 3], J[:, 1, 5] = -arm[:, 2], arm[:, 0]
    J[:, 2, 3], J[:, 2, 4] = arm[:, 1], -arm[:, 0]
    if free_yaw:
        y = item.T_frame_object[:3, 1]
        J[:, :, 3:] = J[:, :, 3:] @ (np.eye(3) - np.outer(y, y))
    return np.asarray(J @ item.covariance @ np.swapaxes(J, -1, -2))


def padding(item: PosedObject) -> float:
    """Return the distance by which the box of an object is padded on each side, metres: two standard deviations."""
    variance = float(np.linalg.eigvalsh(0.5 * (item.covariance[:3, :3] + item.covariance[:3, :3].T))[-1])
    return min(PADDING_STDS * math.sqrt(max(variance, 0.0)), MAX_PADDING_M)


def anchored_pose(item: PosedObject, T_frame_robot: FloatArray) -> FloatArray:
    """Return the pose of an object with its x axis turned about y towards the robot's side.

    The result does not depend on the yaw of the object. Its x axis points away from the robot, or, if the object stands
    at the robot's origin, along the robot's axis that is farthest from y.

    Args:
        item: The object.
        T_frame_robot: ``(4, 4)`` pose of the robot's base in the frame of the scene.
    """
    T = np.array(item.T_frame_object, dtype=np.float64)
    y = T[:3, 1]
    away = T[:3, 3] - T_frame_robot[:3, 3]
    across = away - (away @ y) * y
    if np.linalg.norm(across) < _MIN_OFFSET_M:
        axis = T_frame_robot[:3, int(np.argmin(np.abs(T_frame_robot[:3, :3].T @ y)))]
        across = axis - (axis @ y) * y
    T[:3, 0] = across / np.linalg.norm(across)
    T[:3, 2] = cross(T[:3, 0], y)
    return T


_MIN_OFFSET_M = 1e-3
