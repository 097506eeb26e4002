"""Variance of predicted rotations, and their correction by the normals of the measured surface."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.inference.surface_normals import align_rotations
from clipose_ros.types import AXIS_CONFIDENCE_DECAY, BoolArray, FloatArray, PoseEstimate

FREE_TURN = math.pi**2 / 3.0
"""Variance of an angle that is uniform over a full turn, rad^2; no variance of a turn is larger."""
TILT_FLOOR = math.radians(1.8) ** 2
"""Least variance of the tilt of a predicted y axis about x and about z, rad^2."""
_UNRELATED = 1e4
"""Variance of the predicted turn about y of axially symmetric objects, rad^2: the prediction tells nothing of it."""


def rotation_variance(axis_confidences: FloatArray, axial_y: BoolArray) -> FloatArray:
    """Compute the variances of predicted rotations from the confidences of their axes.

    A confidence c = exp(-k d^2) stands for an axis error d, as the loss defines it.

    Args:
        axis_confidences: ``(B, 2)`` of the y and of the x axis, in [0, 1].
        axial_y: ``(B,)`` true for axially symmetric shapes.

    Returns:
        ``(B, 3)`` of the turns about the object's x, y and z axes, rad^2; huge about y for axially symmetric shapes.
    """
    log_y, log_x = -np.log(np.clip(axis_confidences, 1e-4, 1.0)).T
    tilt = np.maximum(log_y / (2.0 * AXIS_CONFIDENCE_DECAY), TILT_FLOOR)
    yaw = 2.0 * np.maximum(log_x / AXIS_CONFIDENCE_DECAY - tilt, TILT_FLOOR)
    return np.stack([tilt, np.where(axial_y, _UNRELATED, np.minimum(yaw, FREE_TURN)), tilt], axis=1)


def correct_rotations(poses: Sequence[PoseEstimate], clouds: FloatArray, categories: CategorySet) -> list[PoseEstimate]:
    """Correct the rotations of poses by the normals of their clouds, and state the variance that remains.

    Position, size and score stay as predicted. Poses that are not finite stay as they are.

    Args:
        poses: B poses.
        clouds: ``(B, N, 3)`` metres, camera frame, in random order.
        categories: Categories of the poses.
    """
    corrected = list(poses)
    rows = [i for i, pose in enumerate(poses) if np.isfinite(pose.T_camera_object).all()]
    if not rows:
        return corrected
    axial = np.array([categories[poses[i].category].symmetry.axial_y for i in rows])
    confidences = np.array([poses[i].axis_confidences for i in rows])
    aligned = align_rotations(
        [clouds[i] for i in rows],
        np.stack([poses[i].T_camera_object[:3, :3] for i in rows]),
        rotation_variance(confidences, axial),
        axial,
    )
    for i, R, variance in zip(rows, aligned.R_camera_object, aligned.variance, strict=True):
        T = poses[i].T_camera_object.copy()
        T[:3, :3] = R
        corrected[i] = dataclasses.replace(poses[i], T_camera_object=T, rotation_variance=variance)
    return corrected
