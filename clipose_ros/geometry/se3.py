"""Rotations and rigid motions: matrices, quaternions, exponential and logarithm.

All functions take any number of leading batch dimensions and give float64. A twist is (translation, rotation): the
order of ROS pose covariances.

References:
    Sola, Deray, Atchuthan, "A micro Lie theory for state estimation in robotics", 2018 (exponentials and logarithms of
    SO(3), SE(3)).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from clipose_ros.errors import DegenerateInputError, ShapeError
from clipose_ros.types import FloatArray

_SMALL_ANGLE = 1e-2  # below, the Taylor series to the fourth order is exact to 1e-13; above, the closed form is
_YZX, _ZXY = np.array([1, 2, 0]), np.array([2, 0, 1])


def _shepperd() -> FloatArray:
    """``(9, 16)``: the elements of a rotation into those of 4 q q^T less the identity, q in the order x, y, z, w."""
    weights = np.zeros((3, 3, 4, 4))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        weights[i, i, [0, 1, 2, 3], [0, 1, 2, 3]] = -1.0
        weights[i, i, [i, 3], [i, 3]] = 1.0
        weights[j, i, [i, j], [j, i]] = weights[i, j, [i, j], [j, i]] = 1.0
        weights[k, j, [i, 3], [3, i]], weights[j, k, [i, 3], [3, i]] = 1.0, -1.0
    return weights.reshape(9, 16)


_SHEPPERD = _shepperd()


def make_transform(R: ArrayLike, t: ArrayLike) -> FloatArray:
    """Put a rotation ``(..., 3, 3)`` and a translation ``(..., 3)`` into a ``(..., 4, 4)`` matrix."""
    R, t = _checked("R", R, (3, 3)), _checked("t", t, (3,))
    T = np.zeros((*np.broadcast_shapes(R.shape[:-2], t.shape[:-1]), 4, 4))
    T[..., :3, :3] = R
    T[..., :3, 3] = t
    T[..., 3, 3] = 1.0
    return T


def invert_transform(T: ArrayLike) -> FloatArray:
    """Invert a rigid motion ``(..., 4, 4)``: ``T_a_b`` becomes ``T_b_a``."""
    T = _checked("T", T, (4, 4))
    R_inverse = np.swapaxes(T[..., :3, :3], -1, -2)
    return make_transform(R_inverse, -_apply(R_inverse, T[..., :3, 3]))


def transform_points(T: ArrayLike, points: ArrayLike) -> FloatArray:
    """Transform points ``(..., N, 3)`` from frame b into frame a.

    Args:
        T: ``(..., 4, 4)``, ``T_a_b``.
        points: ``(..., N, 3)`` in frame b.

    Returns:
        ``(..., N, 3)`` float64 in frame a.

    Raises:
        ShapeError: An array has another shape.
    """
    T, points = _checked("T", T, (4, 4)), _checked("points", points, (3,))
    return points @ np.swapaxes(T[..., :3, :3], -1, -2) + T[..., None, :3, 3]


def exp_so3(rotation_vector: ArrayLike) -> FloatArray:
    """Compute the rotation ``(..., 3, 3)`` of a rotation vector ``(..., 3)`` in radians (Rodrigues' formula)."""
    phi = _checked("rotation_vector", rotation_vector, (3,))
    a, b = _coefficients(np.linalg.norm(phi, axis=-1))
    W = _hat(phi)
    return np.eye(3) + a * W + b * (W @ W)


def log_so3(R: ArrayLike) -> FloatArray:
    """Compute the rotation vector ``(..., 3)`` of a rotation ``(..., 3, 3)``, of length at most pi.

    Exact also near the half turn, because it goes by way of the quaternion.
    """
    quat_xyzw = quat_xyzw_from_rotation(R)
    v, w = quat_xyzw[..., :3], quat_xyzw[..., 3]
    sine = np.linalg.norm(v, axis=-1)
    small = sine < 1e-8
    factor = np.where(small, 2.0, 2.0 * np.arctan2(sine, w) / np.where(small, 1.0, sine))
    return np.asarray(factor[..., None] * v)


def exp_se3(twist: ArrayLike) -> FloatArray:
    """Rigid motion ``(..., 4, 4)`` of a twist ``(..., 6)``: translation part in metres, rotation vector in radians."""
    twist = _checked("twist", twist, (6,))
    rho, phi = twist[..., :3], twist[..., 3:]
    angle = np.linalg.norm(phi, axis=-1)
    _, b = _coefficients(angle)
    c = _third_coefficient(angle)
    W = _hat(phi)
    V = np.eye(3) + b * W + c * (W @ W)
    return make_transform(exp_so3(phi), _apply(V, rho))


def log_se3(T: ArrayLike) -> FloatArray:
    """Twist ``(..., 6)`` of a rigid motion ``(..., 4, 4)``; the rotation part has length at most pi."""
    T = _checked("T", T, (4, 4))
    phi = log_so3(T[..., :3, :3])
    angle = np.linalg.norm(phi, axis=-1)
    a, b = _coefficients(angle)
    small = (angle < _SMALL_ANGLE)[..., None, None]
    squared = np.square(angle)[..., None, None]
    d = np.where(small, 1.0 / 12.0 + squared / 720.0, (1.0 - a / (2.0 * b)) / np.where(small, 1.0, squared))
    W = _hat(phi)
    V_inverse = np.eye(3) - 0.5 * W + d * (W @ W)
    return np.concatenate([_apply(V_inverse, T[..., :3, 3]), phi], axis=-1)


def quat_xyzw_from_rotation(R: ArrayLike) -> FloatArray:
    """Convert rotations ``(..., 3, 3)`` to unit quaternions ``(..., 4)``, order x, y, z, w, with w >= 0.

    References:
        Shepperd, "Quaternion from rotation matrix", 1978: divide by the largest component, which keeps full precision
        everywhere.
    """
    R = _checked("R", R, (3, 3))
    # row k is 4 q_k q: every row is the quaternion up to scale, and the longest one is well conditioned
    rows = (R.reshape(*R.shape[:-2], 9) @ _SHEPPERD).reshape(*R.shape[:-2], 4, 4) + np.eye(4)
    longest = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    quat_xyzw = np.take_along_axis(rows, longest[..., None, None], axis=-2)[..., 0, :]
    quat_xyzw = quat_xyzw / np.linalg.norm(quat_xyzw, axis=-1, keepdims=True)
    return np.asarray(np.where(quat_xyzw[..., 3:] < 0.0, -quat_xyzw, quat_xyzw))


def rotation_from_quat_xyzw(quat_xyzw: ArrayLike) -> FloatArray:
    """Rotation ``(..., 3, 3)`` of a quaternion ``(..., 4)`` in the order x, y, z, w; it is normalised first.

    Raises:
        ShapeError: Another shape.
        DegenerateInputError: A quaternion of length zero, or not finite.
    """
    q = _checked("quat_xyzw", quat_xyzw, (4,))
    length = np.linalg.norm(q, axis=-1, keepdims=True)
    if not (np.isfinite(length) & (length > 0.0)).all():
        raise DegenerateInputError(f"quat_xyzw must be finite and not zero, got {q.tolist()}")
    q = q / length
    W = _hat(q[..., :3])
    return np.asarray(np.eye(3) + 2.0 * q[..., 3, None, None] * W + 2.0 * (W @ W))


def rotate_covariance(covariance: ArrayLike, R: ArrayLike) -> FloatArray:
    """Express the covariance of a pose about the axes of another frame.

    Args:
        covariance: ``(..., 6, 6)`` of (x, y, z, turn about X, Y, Z) about the fixed axes of frame b.
        R: ``(..., 3, 3)``, ``R_a_b``.

    Returns:
        ``(..., 6, 6)`` float64, about the fixed axes of frame a.
    """
    covariance, R = _checked("covariance", covariance, (6, 6)), _checked("R", R, (3, 3))
    both = np.zeros((*R.shape[:-2], 6, 6))
    both[..., :3, :3] = both[..., 3:, 3:] = R
    return both @ covariance @ np.swapaxes(both, -1, -2)


def rotation_angle_deg(R_a: ArrayLike, R_b: ArrayLike) -> Any:
    """Angle of the turn between two rotations ``(..., 3, 3)``, degrees in [0, 180]; a float for single rotations."""
    R_a, R_b = _checked("R_a", R_a, (3, 3)), _checked("R_b", R_b, (3, 3))
    angle_deg = np.degrees(np.linalg.norm(log_so3(np.swapaxes(R_a, -1, -2) @ R_b), axis=-1))
    return float(angle_deg) if np.ndim(angle_deg) == 0 else angle_deg


def _coefficients(angle: Any) -> tuple[FloatArray, FloatArray]:
    """sin(a)/a and (1 - cos a)/a^2, each ``(..., 1, 1)``, without loss of digits near zero."""
    angle = np.asarray(angle)[..., None, None]
    return np.sinc(angle / np.pi), 0.5 * np.square(np.sinc(angle / (2.0 * np.pi)))


def _third_coefficient(angle: Any) -> FloatArray:
    """Compute (a - sin a)/a^3, ``(..., 1, 1)``, without loss of digits near zero."""
    angle = np.asarray(angle)[..., None, None]
    small = angle < _SMALL_ANGLE
    safe = np.where(small, 1.0, angle)
    series = 1.0 / 6.0 - np.square(angle) / 120.0 + np.square(np.square(angle)) / 5040.0
    return np.asarray(np.where(small, series, (safe - np.sin(safe)) / safe**3))


def cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Cross products ``(..., 3)`` of vectors ``(..., 3)``; many times faster than NumPy's for a few of them."""
    return np.asarray(a.take(_YZX, -1) * b.take(_ZXY, -1) - a.take(_ZXY, -1) * b.take(_YZX, -1))


def _hat(v: FloatArray) -> FloatArray:
    """Matrix ``(..., 3, 3)`` of the cross product with v ``(..., 3)``."""
    W = np.zeros((*v.shape[:-1], 3, 3))
    W[..., 2, 1], W[..., 0, 2], W[..., 1, 0] = v[..., 0], v[..., 1], v[..., 2]
    return W - np.swapaxes(W, -1, -2)


def _apply(M: FloatArray, v: FloatArray) -> FloatArray:
    """Multiply matrices by vectors, over batches."""
    return np.asarray((M @ v[..., None])[..., 0])


def _checked(name: str, value: ArrayLike, tail: tuple[int, ...]) -> FloatArray:
    """Convert a value to float64 and check its last dimensions."""
    array = np.asarray(value, dtype=np.float64)
    if array.shape[-len(tail) :] != tail:
        raise ShapeError(f"{name} must have shape (..., {', '.join(map(str, tail))}), got {array.shape}")
    return array
