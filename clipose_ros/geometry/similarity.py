"""Least-squares and RANSAC fits of similarity transforms (rotation, translation, uniform scale) to point pairs.

Umeyama's solution for N pairs (x_i, y_i) with the means mx and my uses the variance v = mean norm(x_i - mx)^2 and the
singular value decomposition U D V^T of the covariance mean (y_i - my)(x_i - mx)^T::

    S = diag(1, 1, det(U) det(V))        excludes reflections
    R = U S V^T
    s = trace(D S) / v
    t = my - s R mx
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.errors import DegenerateInputError, ShapeError
from clipose_ros.types import BoolArray, FloatArray

_LAST_ROW_TOLERANCE = 1e-6
_PAIRS_PER_HYPOTHESIS = 4
"""Number of pairs of a RANSAC hypothesis. Three determine a similarity; a fourth makes collinear samples rare."""

SIMILARITY_TOLERANCE = 1e-2
"""Largest deviation of the axes of a similarity from orthogonal ones of one length, relative to their square."""


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """Similarity transform ``points_camera = scale * R @ points_object + t``.

    Attributes:
        R: ``(3, 3)`` rotation.
        t: ``(3,)`` translation, metres.
        scale: Metres per unit of the object coordinates.
    """

    R: FloatArray
    t: FloatArray
    scale: float

    def apply(self, points_object: FloatArray) -> FloatArray:
        """Transform object points ``(N, 3)`` to the camera frame, metres."""
        return self.scale * np.asarray(points_object, dtype=np.float64) @ self.R.T + self.t

    @property
    def T_camera_object(self) -> FloatArray:
        """Return rotation and translation as ``(4, 4)``, the pose for object coordinates in metres."""
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = self.R, self.t
        return T


def fit_similarity(points_object: FloatArray, points_camera: FloatArray) -> Similarity:
    """Fit the similarity from object points to camera points by least squares.

    Args:
        points_object: ``(N, 3)`` NOCS coordinates without unit, N >= 3.
        points_camera: ``(N, 3)`` corresponding points, metres, camera optical frame.

    Returns:
        The similarity; its scale is in metres per NOCS unit.

    Raises:
        ShapeError: The arrays differ in shape or hold fewer than three points.
        DegenerateInputError: The points are collinear or not finite, or the best scale is not positive.

    References:
        Umeyama, TPAMI 1991, equations 40 to 43.
    """
    source, target = _validate_pairs(points_object, points_camera)
    mean_source, mean_target = source.mean(axis=0), target.mean(axis=0)
    source, target = source - mean_source, target - mean_target
    # Collinear points leave the rotation about their line undetermined: their second singular value vanishes.
    variance = float(np.square(source).sum()) / len(source)
    for name, points in (("points_object", source), ("points_camera", target)):
        spread = np.linalg.svd(points, compute_uv=False)
        if not spread[1] > 1e-6 * spread[0]:
            raise DegenerateInputError(
                f"{name} are collinear: a similarity needs points that span at least a plane, got singular values "
                f"{spread.tolist()}"
            )
    U, D, Vt = np.linalg.svd(target.T @ source / len(source))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])
    R = (U * signs) @ Vt
    scale = float(D @ signs) / variance
    if not scale > 0.0:
        raise DegenerateInputError(
            f"points_object and points_camera do not correspond: the best scale must be positive, got {scale}"
        )
    return Similarity(R, mean_target - scale * R @ mean_source, scale)


def fit_similarity_ransac(
    points_object: FloatArray,
    points_camera: FloatArray,
    rng: np.random.Generator,
    *,
    inlier_m: float = 0.01,
    iterations: int = 128,
) -> tuple[Similarity, BoolArray]:
    """Fit a similarity to point pairs that contain outliers.

    Each hypothesis is fitted to four random pairs. The hypothesis with the most inliers is refined on all its inliers.

    Args:
        points_object: ``(N, 3)`` NOCS coordinates without unit, N >= 4.
        points_camera: ``(N, 3)`` corresponding points, metres, camera optical frame.
        rng: Random generator of the samples; equal states give equal results.
        inlier_m: Largest residual of an inlier, metres.
        iterations: Number of hypotheses.

    Returns:
        The refined similarity, and a mask ``(N,)`` bool of its inliers.

    Raises:
        ShapeError: The arrays differ in shape or hold fewer than four points.
        DegenerateInputError: The points are not finite, or no hypothesis has four inliers that determine a similarity.

    References:
        Fischler, Bolles, "Random sample consensus", 1981.
    """
    source, target = _validate_pairs(points_object, points_camera, minimum=_PAIRS_PER_HYPOTHESIS)
    best = np.zeros(len(source), dtype=np.bool_)
    for _ in range(iterations):
        sample = rng.choice(len(source), _PAIRS_PER_HYPOTHESIS, replace=False)
        try:
            hypothesis = fit_similarity(source[sample], target[sample])
        except DegenerateInputError:
            continue
        inliers = np.linalg.norm(hypothesis.apply(source) - target, axis=1) <= inlier_m
        if inliers.sum() > best.sum():
            best = inliers
    if best.sum() < _PAIRS_PER_HYPOTHESIS:
        raise DegenerateInputError(
            f"no similarity fits {_PAIRS_PER_HYPOTHESIS} of {len(source)} pairs within {inlier_m} m: the best one fits "
            f"{best.sum()}"
        )
    return fit_similarity(source[best], target[best]), best


def describe_similarity_faults(matrices: FloatArray) -> list[str]:
    """Say of each matrix why it is no similarity, such as ``is mirrored``; an empty text for a similarity.

    Args:
        matrices: ``(N, 4, 4)`` matrices.
    """
    block = np.asarray(matrices, dtype=np.float64)[:, :3, :3]
    with np.errstate(all="ignore"):
        determinants = np.linalg.det(block)
        # Columns of a rotation times s have the scalar products s^2 and 0.
        products = block.swapaxes(1, 2) @ block / np.square(np.cbrt(determinants))[:, None, None]
        deviations = np.abs(products - np.eye(3)).max(axis=(1, 2))
        last_rows = np.abs(matrices[:, 3] - [0.0, 0.0, 0.0, 1.0]).max(axis=1)
    faults = []
    for matrix, determinant, deviation, last_row in zip(matrices, determinants, deviations, last_rows, strict=True):
        if not np.isfinite(matrix).all():
            faults.append("is not finite")
        elif not np.isfinite(deviation):
            faults.append("has the scale 0")
        elif determinant < 0.0:
            faults.append(f"is mirrored: its determinant is {determinant:.3g}")
        elif deviation > SIMILARITY_TOLERANCE:
            faults.append(f"is no rotation times a scale: its axes deviate by {deviation:.2g}")
        else:
            faults.append("" if last_row <= _LAST_ROW_TOLERANCE else f"has the last row {matrix[3].tolist()}")
    return faults


def _validate_pairs(
    points_object: FloatArray, points_camera: FloatArray, minimum: int = 3
) -> tuple[FloatArray, FloatArray]:
    """Check shape, number and values of point pairs and convert them to float64."""
    source, target = np.asarray(points_object, dtype=np.float64), np.asarray(points_camera, dtype=np.float64)
    if source.ndim != 2 or source.shape[1] != 3 or source.shape != target.shape or len(source) < minimum:
        raise ShapeError(
            f"points_object and points_camera must both be (N, 3) with N >= {minimum}, "
            f"got {source.shape} and {target.shape}"
        )
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise DegenerateInputError("points_object and points_camera must be finite: remove invalid pixels")
    return source, target
