"""What symmetry leaves undetermined: the free yaw, and which rotation errors count."""

from __future__ import annotations

import math

import numpy as np

from clipose_ros.categories import Symmetry
from clipose_ros.geometry.se3 import exp_so3, rotation_angle_deg
from clipose_ros.types import FloatArray

# sine of the angle between y and the frame's x: above the first the convention holds, below the second continuity does
_STEADY, _LOST = 0.5, 0.2
_RETURN_RAD = math.radians(4.0)  # most that one call turns the axes back to the convention


def canonicalize_yaw(
    T_frame_object: FloatArray, symmetry: Symmetry, reference_R: FloatArray | None = None
) -> FloatArray:
    """Fix the free turn about y of an axially symmetric object by a convention.

    The object's x axis becomes the frame's x axis as seen along y (its projection onto the plane across y), so equal y
    axes give equal rotations. Where y nearly lies along the frame's x axis that projection means nothing: there the
    previous rotation is continued, and the frame's z axis takes over where there is none. From the previous rotation
    the axes return to the convention by a few degrees per call at most, so they never spin.

    Args:
        T_frame_object: ``(4, 4)``.
        symmetry: Of the category; anything not axially symmetric is returned as it is.
        reference_R: ``(3, 3)`` rotation of the same object in the same frame a moment before.

    Returns:
        ``(4, 4)`` float64 with the same position and y axis.
    """
    T = np.array(T_frame_object, dtype=np.float64)
    if not symmetry.axial_y:
        return T
    y = T[:3, 1]
    convention, sine = _across(np.eye(3)[0], y)
    weight = float(np.clip((sine - _LOST) / (_STEADY - _LOST), 0.0, 1.0))
    start, strength = _across(np.eye(3)[2] if reference_R is None else reference_R[:, 0], y)
    limit = math.pi if reference_R is None else _RETURN_RAD
    x = convention
    if strength > 1e-6:
        away = math.atan2(float(np.cross(start, convention) @ y), float(start @ convention))
        x = exp_so3(np.clip(weight * away, -limit, limit) * y) @ start
    T[:3, 0], T[:3, 2] = x, np.cross(x, y)
    return T


def align_yaw(T_frame_object: FloatArray, symmetry: Symmetry, reference_R: FloatArray) -> FloatArray:
    """Turn an axially symmetric object about y as near as possible to another rotation; others stay as they are.

    Args:
        T_frame_object: ``(4, 4)``.
        symmetry: Of the category.
        reference_R: ``(3, 3)`` in the same frame.

    Returns:
        ``(4, 4)`` float64 with the same position and y axis.
    """
    T = np.array(T_frame_object, dtype=np.float64)
    if not symmetry.axial_y:
        return T
    # of R Ry(a), the trace with the reference is largest at this a
    M = reference_R.T @ T[:3, :3]
    angle = math.atan2(M[2, 0] - M[0, 2], M[0, 0] + M[2, 2])
    T[:3, :3] = T[:3, :3] @ exp_so3(np.array([0.0, angle, 0.0]))
    return T


def rotation_error_deg(R_estimate: FloatArray, R_true: FloatArray, symmetry: Symmetry) -> float:
    """Angle between an estimated and a true rotation, as far as the shape determines it.

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


def _across(v: FloatArray, y: FloatArray) -> tuple[FloatArray, float]:
    """Unit part of v at right angles to the unit vector y, and the sine of the angle between them."""
    across = v - (v @ y) * y
    sine = float(np.linalg.norm(across))
    return across / max(sine, 1e-12), sine
