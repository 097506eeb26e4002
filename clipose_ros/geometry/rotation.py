"""Rotation of an object from its predicted y and x axes and their confidences.

The predicted axes are generally not orthogonal. Both are rotated in their common plane until the angle between them is
90 degrees. With the angle a between them, their confidences c_y and c_x, and the excess e = a - 90 degrees::

    turn of y towards x = e c_x / (c_x + c_y)
    turn of x towards y = e c_y / (c_x + c_y)

The axis with the lower confidence turns more. The columns of the rotation are x, y and z = x cross y.
"""

from __future__ import annotations

import math

import numpy as np

from clipose_ros.errors import DegenerateInputError
from clipose_ros.geometry.se3 import cross
from clipose_ros.types import FloatArray

_MIN_SINE = 1e-9
"""Sine of the angle between the axes below which rounding errors determine their common plane."""


def rotation_from_axes(axis_y: FloatArray, axis_x: FloatArray, confidence_y: float, confidence_x: float) -> FloatArray:
    """Orthogonalize two predicted axes and complete them to a rotation.

    For an axially symmetric object pass ``confidence_x = 0``; the y axis is then not changed.

    Args:
        axis_y: ``(3,)`` predicted y axis of the object, camera frame, of any length.
        axis_x: ``(3,)`` predicted x axis of the object, camera frame, of any length.
        confidence_y: Confidence of the y axis in [0, 1].
        confidence_x: Confidence of the x axis in [0, 1]. If it is 0 and the axes are parallel, x is a fixed direction
            orthogonal to y. If both confidences are 0, both axes turn equally.

    Returns:
        ``R_camera_object`` ``(3, 3)`` float64; its columns are the object's x, y and z axes in the camera frame.

    Raises:
        DegenerateInputError: An axis is zero or not finite, a confidence is negative or not finite, or the axes are
            parallel and ``confidence_x`` is positive.

    References:
        CLIPose, Eq. (7) and Eq. (8); GPV-Pose, section on confidence-aware rotation.
    """
    y, x = _normalize("axis_y", axis_y), _normalize("axis_x", axis_x)
    if not (0.0 <= confidence_y < math.inf and 0.0 <= confidence_x < math.inf):
        raise DegenerateInputError(
            f"axis confidences must be finite and not negative, got y={confidence_y} x={confidence_x}"
        )
    across = x - (x @ y) * y
    sine = float(np.linalg.norm(across))
    if sine < _MIN_SINE:
        if confidence_x > 0.0:
            raise DegenerateInputError(
                f"axis_x {x.tolist()} is parallel to axis_y {y.tolist()}: the rotation about y is not determined; "
                "pass confidence_x = 0 for an axially symmetric object"
            )
        return _complete_y_axis(y)
    # The second projection removes rounding errors along y, which are large for nearly parallel axes.
    across /= sine
    across -= (across @ y) * y
    across /= np.linalg.norm(across)
    excess = math.atan2(sine, float(x @ y)) - math.pi / 2.0
    total = confidence_x + confidence_y
    turn_y = excess * (confidence_x / total if total > 0.0 else 0.5)
    cosine, sine = math.cos(turn_y), math.sin(turn_y)
    new_y, new_x = cosine * y + sine * across, cosine * across - sine * y
    return np.stack([new_x, new_y, cross(new_x, new_y)], axis=1)


def _complete_y_axis(y: FloatArray) -> FloatArray:
    """Return a rotation ``(3, 3)`` with a unit y axis.

    The x axis is the projection of the coordinate axis farthest from y.
    """
    x = np.eye(3)[np.argmin(np.abs(y))]
    x = x - (x @ y) * y
    x /= np.linalg.norm(x)
    return np.stack([x, y, cross(x, y)], axis=1)


def _normalize(name: str, axis: FloatArray) -> FloatArray:
    """Scale an axis ``(3,)`` to a float64 unit vector; ``name`` is its name in error messages."""
    axis = np.asarray(axis, dtype=np.float64)
    length = float(np.linalg.norm(axis)) if axis.shape == (3,) else 0.0
    if not (math.isfinite(length) and length > 1e-12):
        raise DegenerateInputError(f"{name} must be a finite vector (3,) that is not zero, got {axis.tolist()}")
    return axis / length
