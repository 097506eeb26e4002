"""Rotations and rigid motions: matrices, quaternions, exponential and logarithm.

All functions accept any number of leading batch dimensions and return float64. A twist is (translation, rotation), the
order of ROS pose covariances. For a rotation vector phi of length a and the matrix W with W v = phi cross v::

    exp_so3(phi)      = I + A W + B W^2           A = sin(a) / a,  B = (1 - cos(a)) / a^2
    exp_se3(rho, phi) = (exp_so3(phi), V rho)     V = I + B W + C W^2,  C = (a - sin(a)) / a^3
    log_se3(R, t)     = (V^-1 t, log_so3(R))      V^-1 = I - W / 2 + D W^2,  D = (1 - A / (2 B)) / a^2

Closed forms of C and D lose digits at small angles and are replaced by Taylor series there.

References:
    Sola, Deray, Atchuthan, "A micro Lie theory for state estimation in robotics", 2018 (exponentials and logarithms of
    SO(3), SE(3)).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from clipose_ros.errors import DegenerateInputError, ShapeError
from clipose_ros.types import FloatArray

_SMALL_ANGLE = 1e-2
"""Angle, radians, below which Taylor series to the fourth order are used; both branches are accurate to 1e-13."""
_YZX, _ZXY = np.array([1, 2, 0]), np.array([2, 0, 1])


def _make_quaternion_weights() -> FloatArray:
    """Return the matrix ``(9, 16)`` that maps the elements of a rotation to those of 4 q q^T - I, q = (x, y, z, w).

    Each element of 4 q q^T is linear in R: 4 x^2 = 1 + R00 - R11 - R22, 4 x y = R10 + R01, 4 x w = R21 - R12, and
    cyclically.
    """
    weights = np.zeros((3, 3, 4, 4))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        weights[i, i, [0, 1, 2, 3], [0, 1, 2, 3]] = -1.0
        weights[i, i, [i, 3], [i, 3]] = 1.0
        weights[j, i, [i, j], [j, i]] = weights[i, j, [i, j], [j, i]] = 1.0
        weights[k, j, [i, 3], [3, i]], weights[j, k, [i, 3], [3, i]] = 1.0, -1.0
    return weights.reshape(9, 16)


_QUATERNION_WEIGHTS, _IDENTITY = _make_quaternion_weights(), np.eye(4).reshape(16)


def make_transform(R: ArrayLike, t: ArrayLike) -> FloatArray:
    """Combine rotations ``(..., 3, 3)`` and translations ``(..., 3)`` to transforms ``(..., 4, 4)``."""
    R, t = _as_float64("R", R, (3, 3)), _as_float64("t", t, (3,))
    T = np.zeros((*np.broadcast_shapes(R.shape[:-2], t.shape[:-1]), 4, 4))
    T[..., :3, :3] = R
    T[..., :3, 3] = t
    T[..., 3, 3] = 1.0
    return T


def invert_transform(T: ArrayLike) -> FloatArray:
    """Invert rigid transforms ``(..., 4, 4)``: ``T_a_b`` becomes ``T_b_a``."""
    T = _as_float64("T", T, (4, 4))
    R_inverse = np.swapaxes(T[..., :3, :3], -1, -2)
    return make_transform(R_inverse, -_multiply_vectors(R_inverse, T[..., :3, 3]))


def transform_points(T: ArrayLike, points: ArrayLike) -> FloatArray:
    """Transform points ``(..., N, 3)`` from frame b into frame a.

    Args:
        T: ``T_a_b`` ``(..., 4, 4)``.
        points: ``(..., N, 3)`` points in frame b.

    Returns:
        ``(..., N, 3)`` float64 points in frame a.

    Raises:
        ShapeError: The last dimensions of an array differ from those above.
    """
    T, points = _as_float64("T", T, (4, 4)), _as_float64("points", points, (3,))
    return points @ np.swapaxes(T[..., :3, :3], -1, -2) + T[..., None, :3, 3]


def exp_so3(rotation_vector: ArrayLike) -> FloatArray:
    """Compute the rotations ``(..., 3, 3)`` of rotation vectors ``(..., 3)``, radians (Rodrigues' formula)."""
    phi = _as_float64("rotation_vector", rotation_vector, (3,))
    if phi.ndim == 1:
        return _exp_one(phi)
    a, b = _coefficients(np.linalg.norm(phi, axis=-1))
    W = _hat(phi)
    return np.eye(3) + a * W + b * (W @ W)


def log_so3(R: ArrayLike) -> FloatArray:
    """Compute the rotation vectors ``(..., 3)`` of rotations ``(..., 3, 3)``, radians, of length at most pi.

    The result is computed from the quaternion, which keeps full precision near 180 degrees.
    """
    R = _as_float64("R", R, (3, 3))
    if R.ndim == 2:
        return _log_one(R)
    quat_xyzw = quat_xyzw_from_rotation(R)
    v, w = quat_xyzw[..., :3], quat_xyzw[..., 3]
    sine = np.linalg.norm(v, axis=-1)
    small = sine < 1e-8
    factor = np.where(small, 2.0, 2.0 * np.arctan2(sine, w) / np.where(small, 1.0, sine))
    return np.asarray(factor[..., None] * v)


def exp_se3(twist: ArrayLike) -> FloatArray:
    """Compute the rigid transforms ``(..., 4, 4)`` of twists ``(..., 6)``: translation, metres; rotation, radians."""
    twist = _as_float64("twist", twist, (6,))
    rho, phi = twist[..., :3], twist[..., 3:]
    angle = np.linalg.norm(phi, axis=-1)
    _, b = _coefficients(angle)
    c = _third_coefficient(angle)
    W = _hat(phi)
    V = np.eye(3) + b * W + c * (W @ W)
    return make_transform(exp_so3(phi), _multiply_vectors(V, rho))


def log_se3(T: ArrayLike) -> FloatArray:
    """Compute the twists ``(..., 6)`` of rigid transforms ``(..., 4, 4)``; the rotation has length at most pi."""
    T = _as_float64("T", T, (4, 4))
    phi = log_so3(T[..., :3, :3])
    angle = np.linalg.norm(phi, axis=-1)
    a, b = _coefficients(angle)
    small = (angle < _SMALL_ANGLE)[..., None, None]
    squared = np.square(angle)[..., None, None]
    d = np.where(small, 1.0 / 12.0 + squared / 720.0, (1.0 - a / (2.0 * b)) / np.where(small, 1.0, squared))
    W = _hat(phi)
    V_inverse = np.eye(3) - 0.5 * W + d * (W @ W)
    return np.concatenate([_multiply_vectors(V_inverse, T[..., :3, 3]), phi], axis=-1)


def quat_xyzw_from_rotation(R: ArrayLike) -> FloatArray:
    """Convert rotations ``(..., 3, 3)`` to unit quaternions ``(..., 4)``, order x, y, z, w, with w >= 0.

    References:
        Shepperd, "Quaternion from rotation matrix", 1978.
    """
    R = _as_float64("R", R, (3, 3))
    # Row k of 4 q q^T is 4 q_k q, the quaternion up to scale. The row with the largest q_k is the least affected by
    # rounding.
    rows = R.reshape(-1, 9) @ _QUATERNION_WEIGHTS + _IDENTITY
    longest = rows[:, ::5].argmax(axis=1)
    quat_xyzw = rows.reshape(-1, 4, 4)[np.arange(len(rows)), longest]
    length = np.sqrt(np.square(quat_xyzw).sum(axis=1))
    quat_xyzw /= np.where(quat_xyzw[:, 3] < 0.0, -length, length)[:, None]
    return np.asarray(quat_xyzw.reshape(*R.shape[:-2], 4))


def rotation_from_quat_xyzw(quat_xyzw: ArrayLike) -> FloatArray:
    """Convert quaternions ``(..., 4)``, order x, y, z, w, of any length to rotations ``(..., 3, 3)``.

    Raises:
        ShapeError: The last dimension is not 4.
        DegenerateInputError: A quaternion is zero or not finite.
    """
    q = _as_float64("quat_xyzw", quat_xyzw, (4,))
    length = np.linalg.norm(q, axis=-1, keepdims=True)
    if not (np.isfinite(length) & (length > 0.0)).all():
        raise DegenerateInputError(f"quat_xyzw must be finite and not zero, got {q.tolist()}")
    q = q / length
    W = _hat(q[..., :3])
    return np.asarray(np.eye(3) + 2.0 * q[..., 3, None, None] * W + 2.0 * (W @ W))


def rotate_covariance(covariance: ArrayLike, R: ArrayLike) -> FloatArray:
    """Transform the covariance of a pose to the axes of another frame.

    Args:
        covariance: ``(..., 6, 6)`` covariance of (x, y, z, rotation about X, Y, Z), m^2 and rad^2, about the fixed axes
            of frame b.
        R: ``R_a_b`` ``(..., 3, 3)``.

    Returns:
        ``(..., 6, 6)`` float64 covariance about the fixed axes of frame a.
    """
    covariance, R = _as_float64("covariance", covariance, (6, 6)), _as_float64("R", R, (3, 3))
    block_diagonal = np.zeros((*R.shape[:-2], 6, 6))
    block_diagonal[..., :3, :3] = block_diagonal[..., 3:, 3:] = R
    return block_diagonal @ covariance @ np.swapaxes(block_diagonal, -1, -2)


def rotation_angle_deg(R_a: ArrayLike, R_b: ArrayLike) -> Any:
    """Compute the angles between rotations ``(..., 3, 3)``, degrees in [0, 180]; a float for two single rotations."""
    R_a, R_b = _as_float64("R_a", R_a, (3, 3)), _as_float64("R_b", R_b, (3, 3))
    angle_deg = np.degrees(np.linalg.norm(log_so3(np.swapaxes(R_a, -1, -2) @ R_b), axis=-1))
    return float(angle_deg) if np.ndim(angle_deg) == 0 else angle_deg


def _exp_one(phi: FloatArray) -> FloatArray:
    """Compute ``exp_so3`` of one vector ``(3,)``, without arrays: their overhead is ten times the arithmetic."""
    x, y, z = phi.tolist()
    angle = math.sqrt(x * x + y * y + z * z)
    a = math.sin(angle) / angle if angle > 0.0 else 1.0
    b = 0.5 * (2.0 * math.sin(0.5 * angle) / angle) ** 2 if angle > 0.0 else 0.5
    return np.array(
        [
            [1.0 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y],
            [b * x * y + a * z, 1.0 - b * (x * x + z * z), b * y * z - a * x],
            [b * x * z - a * y, b * y * z + a * x, 1.0 - b * (x * x + y * y)],
        ]
    )


def _log_one(R: FloatArray) -> FloatArray:
    """Compute ``log_so3`` of one rotation ``(3, 3)``; without arrays, as ``_exp_one``."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = R.tolist()
    # rows of 4 q q^T as in quat_xyzw_from_rotation
    diagonal = (1.0 + xx - yy - zz, 1.0 - xx + yy - zz, 1.0 - xx - yy + zz, 1.0 + xx + yy + zz)
    longest = max(range(4), key=diagonal.__getitem__)
    rows = (
        (diagonal[0], xy + yx, xz + zx, zy - yz),
        (xy + yx, diagonal[1], yz + zy, xz - zx),
        (xz + zx, yz + zy, diagonal[2], yx - xy),
        (zy - yz, xz - zx, yx - xy, diagonal[3]),
    )
    x, y, z, w = rows[longest]
    length = math.sqrt(x * x + y * y + z * z + w * w) * (-1.0 if w < 0.0 else 1.0)
    sine = math.sqrt(x * x + y * y + z * z) / abs(length)
    factor = (2.0 if sine < 1e-8 else 2.0 * math.atan2(sine, w / length) / sine) / length
    return np.array([factor * x, factor * y, factor * z])


def _coefficients(angle: Any) -> tuple[FloatArray, FloatArray]:
    """Compute A = sin(a) / a and B = (1 - cos(a)) / a^2 of angles ``(...)``, each ``(..., 1, 1)``, exact near 0."""
    angle = np.asarray(angle)[..., None, None]
    return np.sinc(angle / np.pi), 0.5 * np.square(np.sinc(angle / (2.0 * np.pi)))


def _third_coefficient(angle: Any) -> FloatArray:
    """Compute C = (a - sin(a)) / a^3 of angles ``(...)``, ``(..., 1, 1)``, exact near 0."""
    angle = np.asarray(angle)[..., None, None]
    small = angle < _SMALL_ANGLE
    safe = np.where(small, 1.0, angle)
    series = 1.0 / 6.0 - np.square(angle) / 120.0 + np.square(np.square(angle)) / 5040.0
    return np.asarray(np.where(small, series, (safe - np.sin(safe)) / safe**3))


def cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Compute cross products of vectors ``(..., 3)``; for small batches much faster than ``numpy.cross``."""
    return np.asarray(a.take(_YZX, -1) * b.take(_ZXY, -1) - a.take(_ZXY, -1) * b.take(_YZX, -1))


def _hat(v: FloatArray) -> FloatArray:
    """Return the matrices W ``(..., 3, 3)`` of vectors v ``(..., 3)``, with W u = v cross u."""
    W = np.zeros((*v.shape[:-1], 3, 3))
    W[..., 2, 1], W[..., 0, 2], W[..., 1, 0] = v[..., 0], v[..., 1], v[..., 2]
    return W - np.swapaxes(W, -1, -2)


def _multiply_vectors(M: FloatArray, v: FloatArray) -> FloatArray:
    """Multiply matrices ``(..., 3, 3)`` by vectors ``(..., 3)``."""
    return np.asarray((M @ v[..., None])[..., 0])


def _as_float64(name: str, value: ArrayLike, tail: tuple[int, ...]) -> FloatArray:
    """Convert a value to float64, or raise ShapeError if its last dimensions are not ``tail``."""
    array = np.asarray(value, dtype=np.float64)
    if array.shape[-len(tail) :] != tail:
        raise ShapeError(f"{name} must have shape (..., {', '.join(map(str, tail))}), got {array.shape}")
    return array
