"""Yaw and rotation error of axially symmetric objects; yaw is the rotation about the object's y axis."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from clipose_ros.categories import Symmetry
from clipose_ros.geometry.se3 import cross, rotation_angle_deg
from clipose_ros.types import FloatArray

_UNSTABLE_SINE, _STABLE_SINE = 0.2, 0.5
"""Sines of the angle between the object's y and the frame's x: the canonical yaw has weight 0 below the first, weight 1
above the second, and a linear weight between them."""
_MAX_CORRECTION_RAD = math.radians(4.0)
"""Largest rotation towards the canonical yaw in one call, radians."""
_X, _Z = np.eye(3)[0], np.eye(3)[2]


def canonicalize_yaw(
    T_frame_object: FloatArray, axial_y: ArrayLike, reference_R: FloatArray | None = None
) -> FloatArray:
    """Choose the yaw of axially symmetric objects, which their shape does not determine.

    The canonical x axis of an object is the projection of the frame's x axis onto the plane orthogonal to y. Equal y
    axes therefore give equal rotations. The projection is unstable if y is nearly parallel to the frame's x axis, so
    the result is blended with a second direction:

    1. start = projection of the previous x axis; without a previous rotation, of the frame's z axis.
    2. turn = w a, with the angle a about y from start to the canonical x axis and the weight w in [0, 1] of
       ``_UNSTABLE_SINE`` and ``_STABLE_SINE``.
    3. With a previous rotation, limit turn to ``_MAX_CORRECTION_RAD``, so that the axes do not jump between frames.
    4. x = start rotated about y by turn; z = x cross y.

    Args:
        T_frame_object: ``(..., 4, 4)`` poses.
        axial_y: ``(...)`` bool, True for axially symmetric objects; the poses of others are returned unchanged.
        reference_R: ``(..., 3, 3)`` rotations of the same objects in the previous frame, or None.

    Returns:
        ``(..., 4, 4)`` float64 poses with the same positions and y axes.
    """
    T = np.array(T_frame_object, dtype=np.float64)
    y = T[..., :3, 1]
    canonical, sine = _project_orthogonal(_X, y)
    weight = np.clip((sine - _UNSTABLE_SINE) / (_STABLE_SINE - _UNSTABLE_SINE), 0.0, 1.0)
    start, start_sine = _project_orthogonal(_Z if reference_R is None else reference_R[..., :, 0], y)
    limit = math.pi if reference_R is None else _MAX_CORRECTION_RAD
    across = cross(y, start)  # start rotated about y by 90 degrees
    angle = np.arctan2((across * canonical).sum(-1, keepdims=True), (start * canonical).sum(-1, keepdims=True))
    turn = np.clip(weight * angle, -limit, limit)
    x = np.where(start_sine > 1e-6, np.cos(turn) * start + np.sin(turn) * across, canonical)
    return _replace_x_and_z(T, x, cross(x, y), axial_y)


def align_yaw(T_frame_object: FloatArray, axial_y: ArrayLike, reference_R: FloatArray) -> FloatArray:
    """Rotate axially symmetric objects about y as close as possible to reference rotations.

    Args:
        T_frame_object: ``(..., 4, 4)`` poses.
        axial_y: ``(...)`` bool, True for axially symmetric objects; the poses of others are returned unchanged.
        reference_R: ``(..., 3, 3)`` reference rotations in the same frame.

    Returns:
        ``(..., 4, 4)`` float64 poses with the same positions and y axes.
    """
    T = np.array(T_frame_object, dtype=np.float64)
    x, z = T[..., :3, 0], T[..., :3, 2]
    reference_x, reference_z = reference_R[..., :, 0], reference_R[..., :, 2]
    # The angle between R Ry(a) and the reference is smallest where trace(reference^T R Ry(a)) is largest: at this a.
    angle = np.arctan2(
        (reference_z * x - reference_x * z).sum(-1, keepdims=True),
        (reference_x * x + reference_z * z).sum(-1, keepdims=True),
    )
    cosine, sine = np.cos(angle), np.sin(angle)
    return _replace_x_and_z(T, cosine * x - sine * z, sine * x + cosine * z, axial_y)


def rotation_error_deg(R_estimate: FloatArray, R_true: FloatArray, symmetry: Symmetry) -> float:
    """Compute the angle between an estimated and a true rotation, up to axial symmetry.

    Args:
        R_estimate: ``(3, 3)`` estimated rotation.
        R_true: ``(3, 3)`` true rotation in the same frame.
        symmetry: Symmetry of the object. A mug with a hidden handle counts as axially symmetric.

    Returns:
        Degrees in [0, 180]: the angle between the y axes of an axially symmetric object, otherwise the angle between
        the rotations.
    """
    if not symmetry.axial_y:
        return float(rotation_angle_deg(R_estimate, R_true))
    a, b = np.asarray(R_estimate, dtype=np.float64)[:, 1], np.asarray(R_true, dtype=np.float64)[:, 1]
    return math.degrees(math.atan2(float(np.linalg.norm(np.cross(a, b))), float(a @ b)))


def _replace_x_and_z(T: FloatArray, x: FloatArray, z: FloatArray, axial_y: ArrayLike) -> FloatArray:
    """Replace the x and z axes ``(..., 3)`` of axially symmetric objects in place and return the poses."""
    free = np.asarray(axial_y, dtype=np.bool_)[..., None]
    T[..., :3, 0] = np.where(free, x, T[..., :3, 0])
    T[..., :3, 2] = np.where(free, z, T[..., :3, 2])
    return T


def _project_orthogonal(v: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Project unit vectors v onto the planes orthogonal to unit vectors y ``(..., 3)``.

    Returns:
        The normalized projections ``(..., 3)``, and the sines ``(..., 1)`` of the angles between v and y.
    """
    across = v - (v * y).sum(-1, keepdims=True) * y
    sine = np.sqrt(np.square(across).sum(-1, keepdims=True))
    return across / np.maximum(sine, 1e-12), sine
