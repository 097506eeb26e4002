"""Canonical yaw and rotation errors of symmetric objects."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from clipose_ros.categories import Symmetry
from clipose_ros.geometry.se3 import cross, rotation_angle_deg
from clipose_ros.types import FloatArray

# sine of the angle between y and the frame's x: above the first the convention holds, below the second continuity does
_STEADY, _LOST = 0.5, 0.2
_RETURN_RAD = math.radians(4.0)  # most that one call turns the axes back to the convention
_X, _Z = np.eye(3)[0], np.eye(3)[2]


def canonicalize_yaw(
    T_frame_object: FloatArray, axial_y: ArrayLike, reference_R: FloatArray | None = None
) -> FloatArray:
    """Fix the free turn about y of axially symmetric objects by a convention.

    The object's x axis becomes the frame's x axis as seen along y (its projection onto the plane across y), so equal y
    axes give equal rotations. Where y nearly lies along the frame's x axis that projection means nothing: there the
    previous rotation is continued, and the frame's z axis takes over where there is none. From the previous rotation
    the axes return to the convention by a few degrees per call at most, so they never spin.

    Args:
        T_frame_object: ``(..., 4, 4)``.
        axial_y: ``(...)`` bool, which objects are axially symmetric; the others are returned as they are.
        reference_R: ``(..., 3, 3)`` rotations of the same objects in the same frame a moment before.

    Returns:
        ``(..., 4, 4)`` float64 with the same positions and y axes.
    """
    T = np.array(T_frame_object, dtype=np.float64)
    y = T[..., :3, 1]
    convention, sine = _across(_X, y)
    weight = np.clip((sine - _LOST) / (_STEADY - _LOST), 0.0, 1.0)
    start, strength = _across(_Z if reference_R is None else reference_R[..., :, 0], y)
    limit = math.pi if reference_R is None else _RETURN_RAD
    across = cross(y, start)  # a quarter turn about y on from the start
    away = np.arctan2((across * convention).sum(-1, keepdims=True), (start * convention).sum(-1, keepdims=True))
    turn = np.clip(weight * away, -limit, limit)
    x = np.where(strength > 1e-6, np.cos(turn) * start + np.sin(turn) * across, convention)
    return _with_x_and_z(T, x, cross(x, y), axial_y)


def align_yaw(T_frame_object: FloatArray, axial_y: ArrayLike, reference_R: FloatArray) -> FloatArray:
    """Turn axially symmetric objects about y as near as possible to other rotations; others stay as they are.

    Args:
        T_frame_object: ``(..., 4, 4)``.
        axial_y: ``(...)`` bool, which objects are axially symmetric.
        reference_R: ``(..., 3, 3)`` in the same frame.

    Returns:
        ``(..., 4, 4)`` float64 with the same positions and y axes.
    """
    T = np.array(T_frame_object, dtype=np.float64)
    x, z = T[..., :3, 0], T[..., :3, 2]
    reference_x, reference_z = reference_R[..., :, 0], reference_R[..., :, 2]
    # of R Ry(a), the trace with the reference is largest at this a
    angle = np.arctan2(
        (reference_z * x - reference_x * z).sum(-1, keepdims=True),
        (reference_x * x + reference_z * z).sum(-1, keepdims=True),
    )
    cosine, sine = np.cos(angle), np.sin(angle)
    return _with_x_and_z(T, cosine * x - sine * z, sine * x + cosine * z, axial_y)


def rotation_error_deg(R_estimate: FloatArray, R_true: FloatArray, symmetry: Symmetry) -> float:
    """Compute the angle between an estimated and a true rotation, up to axial symmetry.

    Args:
        R_estimate: ``(3, 3)``.
        R_true: ``(3, 3)`` in the same frame.
        symmetry: Of the category (or of the instance: a mug with its handle hidden is axially symmetric).

    Returns:
        Degrees in [0, 180]: between the y axes where axially symmetric, else of the whole turn.
    """
    if not symmetry.axial_y:
        return float(rotation_angle_deg(R_estimate, R_true))
    a, b = np.asarray(R_estimate, dtype=np.float64)[:, 1], np.asarray(R_true, dtype=np.float64)[:, 1]
    return math.degrees(math.atan2(float(np.linalg.norm(np.cross(a, b))), float(a @ b)))


def _with_x_and_z(T: FloatArray, x: FloatArray, z: FloatArray, axial_y: ArrayLike) -> FloatArray:
    """Return the transforms, with other x and z axes ``(..., 3)`` for axially symmetric objects."""
    free = np.asarray(axial_y, dtype=np.bool_)[..., None]
    T[..., :3, 0] = np.where(free, x, T[..., :3, 0])
    T[..., :3, 2] = np.where(free, z, T[..., :3, 2])
    return T


def _across(v: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return unit parts ``(..., 3)`` of v normal to unit vectors y, and the sines ``(..., 1)`` of the angles."""
    across = v - (v * y).sum(-1, keepdims=True) * y
    sine = np.sqrt(np.square(across).sum(-1, keepdims=True))
    return across / np.maximum(sine, 1e-12), sine
