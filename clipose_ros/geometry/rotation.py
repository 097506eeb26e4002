"""A rotation from two axes that a network predicted, each with its confidence."""

from __future__ import annotations

import math

import numpy as np

from clipose_ros.errors import DegenerateInputError
from clipose_ros.types import FloatArray

_PARALLEL = 1e-9  # sine of the angle between the axes below which their plane is lost in rounding


def rotation_from_axes(axis_y: FloatArray, axis_x: FloatArray, confidence_y: float, confidence_x: float) -> FloatArray:
    """Make two predicted axes orthogonal and complete them to a rotation.

    The axes are turned in their common plane until they stand at right angles; of the angle that they are off, each
    takes a share in inverse proportion to its confidence. For an axially symmetric object pass ``confidence_x = 0``: y
    stays as it is.

    Args:
        axis_y: ``(3,)`` predicted y axis of the object in the camera frame, any length.
        axis_x: ``(3,)`` predicted x axis, likewise.
        confidence_y: Of the y axis, in [0, 1].
        confidence_x: Of the x axis, in [0, 1]. With 0 and x parallel to y any right angle is taken, always the same.

    Returns:
        ``(3, 3)`` float64, R_camera_object: columns are the object's axes x, y, z = x cross y in the camera frame.

    Raises:
        DegenerateInputError: An axis or confidence is null, negative or not finite, or the axes are parallel while x
            counts.

    References:
        CLIPose, Eq. (7) and Eq. (8); GPV-Pose, section on confidence-aware rotation.
    """
    y, x = _unit("axis_y", axis_y), _unit("axis_x", axis_x)
    if not (0.0 <= confidence_y < math.inf and 0.0 <= confidence_x < math.inf):
        raise DegenerateInputError(
            f"axis confidences must be finite and not negative, got y={confidence_y} x={confidence_x}"
        )
    across = x - (x @ y) * y
    sine = float(np.linalg.norm(across))
    if sine < _PARALLEL:
        if confidence_x > 0.0:
            raise DegenerateInputError(
                f"axis_x {x.tolist()} is parallel to axis_y {y.tolist()}: the rotation about y is not determined; "
                "pass confidence_x = 0 for an axially symmetric object"
            )
        return _any_rotation_with_y(y)
    across /= sine
    across -= (across @ y) * y  # once more: nearly parallel axes leave rounding along y
    across /= np.linalg.norm(across)
    excess = math.atan2(sine, float(x @ y)) - math.pi / 2.0
    total = confidence_x + confidence_y
    turn_y = excess * (confidence_x / total if total > 0.0 else 0.5)
    cosine, sine = math.cos(turn_y), math.sin(turn_y)
    new_y, new_x = cosine * y + sine * across, cosine * across - sine * y
    return np.stack([new_x, new_y, np.cross(new_x, new_y)], axis=1)


def _any_rotation_with_y(y: FloatArray) -> FloatArray:
    """Return the rotation with this y axis whose x axis leans on the coordinate axis farthest from y."""
    x = np.eye(3)[np.argmin(np.abs(y))]
    x = x - (x @ y) * y
    x /= np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _unit(name: str, axis: FloatArray) -> FloatArray:
    """Normalize an axis to a float64 unit vector."""
    axis = np.asarray(axis, dtype=np.float64)
    length = float(np.linalg.norm(axis)) if axis.shape == (3,) else 0.0
    if not (math.isfinite(length) and length > 1e-12):
        raise DegenerateInputError(f"{name} must be a finite vector (3,) that is not null, got {axis.tolist()}")
    return axis / length
