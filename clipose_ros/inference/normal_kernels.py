"""Compiled loop that fits normals to the neighbourhoods of points.

The normal of a neighbourhood is the axis of the least variance of its points. The eigenvectors of the covariance
``(3, 3)`` are found by Jacobi's method: rotations in the planes of two axes remove one covariance after the other.
numba compiles the function at its first use and keeps it on disk. It releases the interpreter's lock.

References:
    Golub, Van Loan, "Matrix Computations", 2013, section 8.5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from clipose_ros.model.numba_cache import ensure_writable_cache
from clipose_ros.types import BoolArray, FloatArray

ensure_writable_cache(Path(__file__).parent)

_SWEEPS = 12
"""Most rotations of each pair of axes; covariances vanish quadratically, in four to six."""


@njit(nogil=True, cache=True, error_model="numpy")
def _diagonalize(matrix: FloatArray, axes: FloatArray) -> None:
    """Make a symmetric matrix ``(3, 3)`` diagonal, in place; the columns of ``axes`` get its eigenvectors."""
    axes[:] = np.eye(3)
    for _ in range(_SWEEPS):
        off = matrix[0, 1] ** 2 + matrix[0, 2] ** 2 + matrix[1, 2] ** 2
        if not off > 1e-32 * (matrix[0, 0] + matrix[1, 1] + matrix[2, 2]) ** 2:
            return
        for p, q in ((0, 1), (0, 2), (1, 2)):
            if matrix[p, q] == 0.0:
                continue
            theta = (matrix[q, q] - matrix[p, p]) / (2.0 * matrix[p, q])
            tangent = np.copysign(1.0, theta) / (abs(theta) + np.sqrt(theta * theta + 1.0))
            cosine = 1.0 / np.sqrt(tangent * tangent + 1.0)
            sine = tangent * cosine
            for k in range(3):
                a, b = matrix[k, p], matrix[k, q]
                matrix[k, p], matrix[k, q] = cosine * a - sine * b, sine * a + cosine * b
            for k in range(3):
                a, b = matrix[p, k], matrix[q, k]
                matrix[p, k], matrix[q, k] = cosine * a - sine * b, sine * a + cosine * b
                a, b = axes[k, p], axes[k, q]
                axes[k, p], axes[k, q] = cosine * a - sine * b, sine * a + cosine * b


@njit(nogil=True, cache=True, error_model="numpy")
def fit_normals(points: FloatArray, neighbours: Any, flatness: float, normals: FloatArray, flat: BoolArray) -> None:
    """Fit a normal to each of the first M points and its neighbours.

    Args:
        points: ``(N, 3)`` float64.
        neighbours: ``(M, K)`` int32, indices of other points.
        flatness: Largest ratio of the least to the middle variance of a flat neighbourhood.
        normals: ``(M, 3)`` float64, result: unit vectors.
        flat: ``(M,)`` bool, result: True for flat neighbourhoods.
    """
    matrix, axes, mean = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    count = neighbours.shape[1] + 1
    for i in range(neighbours.shape[0]):
        mean[:] = points[i]
        for j in neighbours[i]:
            mean += points[j]
        mean /= count
        for p in range(3):
            for q in range(p, 3):
                total = (points[i, p] - mean[p]) * (points[i, q] - mean[q])
                for j in neighbours[i]:
                    total += (points[j, p] - mean[p]) * (points[j, q] - mean[q])
                matrix[p, q] = matrix[q, p] = total
        _diagonalize(matrix, axes)
        variances = np.array([matrix[0, 0], matrix[1, 1], matrix[2, 2]])
        order = np.argsort(variances)
        normals[i] = axes[:, order[0]]
        flat[i] = variances[order[0]] < flatness * variances[order[1]]
