"""Similarity transforms (rotation, translation, uniform scale) from point pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.errors import DegenerateInputError, ShapeError
from clipose_ros.types import BoolArray, FloatArray

_SAMPLE = 4  # pairs per RANSAC hypothesis: one more than determines it, so that a flat triple is rare


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """``points_camera = scale * R @ points_object + t``.

    Attributes:
        R: ``(3, 3)`` rotation.
        t: ``(3,)`` translation, metres.
        scale: Metres per unit of the object's coordinates.
    """

    R: FloatArray
    t: FloatArray
    scale: float

    def apply(self, points_object: FloatArray) -> FloatArray:
        """Transform points ``(N, 3)`` of the object into the camera frame, metres."""
        return self.scale * np.asarray(points_object, dtype=np.float64) @ self.R.T + self.t

    @property
    def T_camera_object(self) -> FloatArray:
        """Return the rigid part ``(4, 4)``, for metric object coordinates."""
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = self.R, self.t
        return T


def fit_similarity(points_object: FloatArray, points_camera: FloatArray) -> Similarity:
    """Fit the similarity that maps object points onto camera points, least squares.

    Args:
        points_object: ``(N, 3)``, unitless NOCS coordinates, N >= 3.
        points_camera: ``(N, 3)``, metres, camera optical frame.

    Returns:
        Camera-from-object similarity; scale in metres per NOCS unit.

    Raises:
        ShapeError: The arrays differ in shape or hold fewer than three points.
        DegenerateInputError: The points are collinear or not finite.

    References:
        Umeyama, TPAMI 1991, equations 40 to 43.
    """
    source, target = _pairs(points_object, points_camera)
    mean_source, mean_target = source.mean(axis=0), target.mean(axis=0)
    source, target = source - mean_source, target - mean_target
    variance = float(np.square(source).sum()) / len(source)
    for name, points in (("points_object", source), ("points_camera", target)):
        spread = np.linalg.svd(points, compute_uv=False)
        if not spread[1] > 1e-6 * spread[0]:
            raise DegenerateInputError(
                f"a similarity needs {name} that span a plane at least, got singular values {spread.tolist()}: "
                "the points are collinear"
            )
    U, D, Vt = np.linalg.svd(target.T @ source / len(source))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])
    R = (U * signs) @ Vt
    scale = float(D @ signs) / variance
    if not scale > 0.0:
        raise DegenerateInputError(f"the points of both sides do not correspond: the best scale is {scale}")
    return Similarity(R, mean_target - scale * R @ mean_source, scale)


def fit_similarity_ransac(
    points_object: FloatArray,
    points_camera: FloatArray,
    rng: np.random.Generator,
    *,
    inlier_m: float = 0.01,
    iterations: int = 128,
) -> tuple[Similarity, BoolArray]:
    """Fit a similarity to pairs of which some are wrong.

    Args:
        points_object: ``(N, 3)``, unitless NOCS coordinates, N >= 4.
        points_camera: ``(N, 3)``, metres, camera optical frame.
        rng: Draws the hypotheses; the same state gives the same answer.
        inlier_m: Pairs that the fit brings within this distance count as right, metres.
        iterations: Hypotheses tried.

    Returns:
        The similarity fitted to all inliers of the best hypothesis, and the ``(N,)`` bool mask of those inliers.

    Raises:
        ShapeError: The arrays differ in shape or hold fewer than four points.
        DegenerateInputError: No hypothesis finds four inliers that determine a similarity.

    References:
        Fischler, Bolles, "Random sample consensus", 1981.
    """
    source, target = _pairs(points_object, points_camera, least=_SAMPLE)
    best = np.zeros(len(source), dtype=np.bool_)
    for _ in range(iterations):
        sample = rng.choice(len(source), _SAMPLE, replace=False)
        try:
            hypothesis = fit_similarity(source[sample], target[sample])
        except DegenerateInputError:
            continue
        inliers = np.linalg.norm(hypothesis.apply(source) - target, axis=1) <= inlier_m
        if inliers.sum() > best.sum():
            best = inliers
    if best.sum() < _SAMPLE:
        raise DegenerateInputError(
            f"no similarity brings {_SAMPLE} of {len(source)} pairs within {inlier_m} m: the best brings {best.sum()}"
        )
    return fit_similarity(source[best], target[best]), best


def _pairs(points_object: FloatArray, points_camera: FloatArray, least: int = 3) -> tuple[FloatArray, FloatArray]:
    """Validate both point sets and convert them to float64."""
    source, target = np.asarray(points_object, dtype=np.float64), np.asarray(points_camera, dtype=np.float64)
    if source.ndim != 2 or source.shape[1] != 3 or source.shape != target.shape or len(source) < least:
        raise ShapeError(
            f"points_object and points_camera must both be (N, 3) with N >= {least}, "
            f"got {source.shape} and {target.shape}"
        )
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise DegenerateInputError("points_object and points_camera must be finite: leave out invalid pixels")
    return source, target
