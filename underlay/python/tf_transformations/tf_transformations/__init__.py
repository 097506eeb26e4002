"""Stand-in for the distribution's ``tf_transformations``: rotations and rigid transforms as plain arrays.

Same names and conventions as documented there: quaternions are ``(x, y, z, w)``, matrices ``(4, 4)``, angles radians;
Euler axes are named by four letters, ``s`` (fixed) or ``r`` (turning) and the three axes in order. Only what transforms
and rotations need is here.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation, Slerp

Array = NDArray[np.float64]


def _order(axes: str) -> str:
    """SciPy's name for an order of Euler axes: small letters are fixed axes, capitals turning ones."""
    if len(axes) != 4 or axes[0] not in "sr" or not set(axes[1:]) <= set("xyz"):
        raise ValueError(f"expected axes such as 'sxyz' or 'rzyx', got '{axes}'")
    return axes[1:] if axes[0] == "s" else axes[1:].upper()


def _homogeneous(rotation: Rotation) -> Array:
    matrix = np.identity(4)
    matrix[:3, :3] = rotation.as_matrix()
    return matrix


def _rotation_of(matrix: ArrayLike) -> Rotation:
    return Rotation.from_matrix(np.asarray(matrix, dtype=np.float64)[:3, :3])


def _canonical(quaternion: ArrayLike) -> Array:
    """Of the two equal quaternions the one with w >= 0."""
    result = np.asarray(quaternion, dtype=np.float64)
    return -result if result[3] < 0.0 else result


def quaternion_matrix(quaternion: ArrayLike) -> Array:
    """``(4, 4)`` rotation of ``quaternion`` (x, y, z, w)."""
    return _homogeneous(Rotation.from_quat(np.asarray(quaternion, dtype=np.float64)))


def quaternion_from_matrix(matrix: ArrayLike) -> Array:
    """Quaternion (x, y, z, w) with w >= 0 of the rotation in ``matrix``."""
    return _canonical(_rotation_of(matrix).as_quat())


def quaternion_from_euler(ai: float, aj: float, ak: float, axes: str = "sxyz") -> Array:
    """Quaternion of three angles about ``axes`` in order."""
    return np.asarray(Rotation.from_euler(_order(axes), (ai, aj, ak)).as_quat())


def euler_from_quaternion(quaternion: ArrayLike, axes: str = "sxyz") -> tuple[float, float, float]:
    """Three angles about ``axes`` in order."""
    return euler_from_matrix(quaternion_matrix(quaternion), axes)


def euler_matrix(ai: float, aj: float, ak: float, axes: str = "sxyz") -> Array:
    """``(4, 4)`` rotation of three angles about ``axes`` in order."""
    return _homogeneous(Rotation.from_euler(_order(axes), (ai, aj, ak)))


def euler_from_matrix(matrix: ArrayLike, axes: str = "sxyz") -> tuple[float, float, float]:
    """Three angles about ``axes`` in order of the rotation in ``matrix``."""
    ai, aj, ak = _rotation_of(matrix).as_euler(_order(axes))
    return float(ai), float(aj), float(ak)


def quaternion_about_axis(angle: float, axis: ArrayLike) -> Array:
    """Quaternion of a turn by ``angle`` about ``axis``."""
    return np.asarray(Rotation.from_rotvec(angle * unit_vector(axis)).as_quat())


def rotation_matrix(angle: float, direction: ArrayLike, point: ArrayLike | None = None) -> Array:
    """``(4, 4)`` turn by ``angle`` about ``direction``, through ``point`` if given."""
    matrix = quaternion_matrix(quaternion_about_axis(angle, direction))
    if point is not None:
        fixed = np.asarray(point, dtype=np.float64)[:3]
        matrix[:3, 3] = fixed - matrix[:3, :3] @ fixed
    return matrix


def quaternion_multiply(quaternion1: ArrayLike, quaternion0: ArrayLike) -> Array:
    """Return the rotation ``quaternion0`` followed by ``quaternion1``."""
    x1, y1, z1, w1 = np.asarray(quaternion1, dtype=np.float64)
    x0, y0, z0, w0 = np.asarray(quaternion0, dtype=np.float64)
    return np.array(
        [
            w1 * x0 + x1 * w0 + y1 * z0 - z1 * y0,
            w1 * y0 - x1 * z0 + y1 * w0 + z1 * x0,
            w1 * z0 + x1 * y0 - y1 * x0 + z1 * w0,
            w1 * w0 - x1 * x0 - y1 * y0 - z1 * z0,
        ]
    )


def quaternion_conjugate(quaternion: ArrayLike) -> Array:
    """Quaternion with the vector part negated."""
    return np.asarray(quaternion, dtype=np.float64) * (-1.0, -1.0, -1.0, 1.0)


def quaternion_inverse(quaternion: ArrayLike) -> Array:
    """Quaternion that undoes ``quaternion``."""
    value = np.asarray(quaternion, dtype=np.float64)
    return quaternion_conjugate(value) / np.dot(value, value)


def quaternion_slerp(quat0: ArrayLike, quat1: ArrayLike, fraction: float) -> Array:
    """Quaternion ``fraction`` of the shortest way from ``quat0`` to ``quat1``."""
    between = Slerp([0.0, 1.0], Rotation.from_quat([np.asarray(quat0), np.asarray(quat1)]))
    return np.asarray(between(fraction).as_quat())


def identity_matrix() -> Array:
    """``(4, 4)`` identity."""
    return np.identity(4)


def translation_matrix(direction: ArrayLike) -> Array:
    """``(4, 4)`` translation by ``direction``."""
    matrix = np.identity(4)
    matrix[:3, 3] = np.asarray(direction, dtype=np.float64)[:3]
    return matrix


def translation_from_matrix(matrix: ArrayLike) -> Array:
    """Return the translation of ``matrix``."""
    return np.array(matrix, dtype=np.float64)[:3, 3]


def concatenate_matrices(*matrices: ArrayLike) -> Array:
    """Product of ``matrices`` from left to right."""
    return functools.reduce(np.matmul, (np.asarray(matrix, dtype=np.float64) for matrix in matrices), np.identity(4))


def inverse_matrix(matrix: ArrayLike) -> Array:
    """Inverse of a square matrix."""
    return np.asarray(np.linalg.inv(np.asarray(matrix, dtype=np.float64)))


def vector_norm(data: ArrayLike) -> float:
    """Euclidean length."""
    return float(np.linalg.norm(data))


def unit_vector(data: ArrayLike) -> Array:
    """Return ``data`` scaled to length one."""
    value = np.asarray(data, dtype=np.float64)
    return np.asarray(value / np.linalg.norm(value))
