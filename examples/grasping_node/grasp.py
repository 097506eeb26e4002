"""Grasp poses for upright and lying objects, from a pose, a size and the covariance of the pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FREE_TURN_RAD = 0.4
"""Standard deviation of the turn about the object's y axis above which that turn counts as unknown, radians."""


@dataclass(frozen=True, slots=True, eq=False)
class Grasp:
    """A grasp with a parallel gripper.

    Attributes:
        T_robot_gripper: ``(4, 4)``; z is the approach direction, x the direction in which the gripper closes.
        opening_m: Extent of the object between the fingers, metres.
    """

    T_robot_gripper: NDArray[np.float64]
    opening_m: float


def turn_deviation(covariance: NDArray[np.float64], axis: NDArray[np.float64]) -> float:
    """Return the standard deviation of the turn about a unit axis, radians.

    Args:
        covariance: ``(6, 6)`` of (x, y, z, turn about X, Y, Z) about the fixed axes of a frame.
        axis: ``(3,)`` in the same frame.
    """
    return float(np.sqrt(axis @ covariance[3:, 3:] @ axis))


def compute_grasp(
    T_robot_object: NDArray[np.float64], size: NDArray[np.float64], covariance: NDArray[np.float64]
) -> Grasp:
    """Compute a grasp across the object's y axis.

    The turn about y of bottles, bowls and cans is free, and that of a mug whose handle is hidden is unknown: the
    covariance about y is large for both. The gripper then approaches from the robot's side. Otherwise it moves along
    the object's +x axis and closes along z: a mug, whose handle is at +x, is approached from the side without it.

    Args:
        T_robot_object: ``(4, 4)`` in the robot's frame, whose origin is the robot's base.
        size: ``(3,)`` full extent along the object's axes, metres.
        covariance: ``(6, 6)`` of the pose about the fixed axes of the robot's frame.
    """
    centre, x, y = T_robot_object[:3, 3], T_robot_object[:3, 0], T_robot_object[:3, 1]
    is_free = turn_deviation(covariance, y) > FREE_TURN_RAD
    approach = centre - (centre @ y) * y if is_free else x  # both are normal to y
    if np.linalg.norm(approach) < 1e-3:  # the object's axis passes through the robot's base
        approach = x
    approach = approach / np.linalg.norm(approach)
    close = np.cross(y, approach)
    T_robot_gripper = np.eye(4)
    T_robot_gripper[:3, :3] = np.stack([close, np.cross(approach, close), approach], axis=1)
    T_robot_gripper[:3, 3] = centre
    return Grasp(T_robot_gripper, float(max(size[0], size[2]) if is_free else size[2]))
