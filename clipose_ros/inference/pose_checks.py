"""Checks of poses against the points that they were estimated from, and against the sizes of their categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import CheckConfig
from clipose_ros.types import FloatArray, ObjectCloud, PoseEstimate, Rejection, RejectionReason

_TRIMMED = 0.05  # fraction of the points at either end that is left out of the extent, so that strays do not count


def check_poses(
    poses: Sequence[PoseEstimate], clouds: Sequence[ObjectCloud], config: CheckConfig, categories: CategorySet
) -> list[Rejection | None]:
    """Reject poses that are not finite, too uncertain, contradicted by their points, or too large for their category.

    A pose is rejected for its size if the points extend along an axis of the box farther than ``size_tolerance`` times
    that side, or if the diagonal of the box exceeds that of the points by more than the factor ``max_occlusion_ratio``.
    It is rejected for its centre if the centre lies outside the points' box along the camera's axes by more than
    ``centre_tolerance`` times the object's diagonal. It is rejected for its category if the diagonal exceeds that of
    the category's mean size by more than the factor ``category_tolerance``.

    Args:
        poses: Poses with their final scores.
        clouds: Points that each pose was estimated from; all clouds have equally many.
        config: Thresholds.
        categories: Categories of the poses, for their mean sizes.

    Returns:
        For each pose None if it may be published, else a rejection with the reason and its figures.
    """
    if not poses:
        return []
    T, size = np.array([pose.T_camera_object for pose in poses]), np.array([pose.size for pose in poses])
    finite = np.isfinite(T).all(axis=(1, 2)) & np.isfinite(size).all(axis=1)
    T[~finite] = np.eye(4)  # these are rejected below; NaN would spread through the products of the batch
    points_camera = np.ascontiguousarray(  # (B, 3, N): all reductions below are along an axis
        np.stack([cloud.points_camera for cloud in clouds]).transpose(0, 2, 1), dtype=np.float64
    )
    R, t = T[:, :3, :3], T[:, :3, 3:]
    extents = _inner_extent(np.swapaxes(R, 1, 2) @ (points_camera - t))
    low, high = points_camera.min(axis=2), points_camera.max(axis=2)
    # Distance from a box: per axis how far the centre is below the lower or above the upper side, 0 between them.
    outside = np.linalg.norm(np.maximum(np.maximum(low - t[..., 0], t[..., 0] - high), 0.0), axis=1)
    verdicts: list[Rejection | None] = []
    for k, (pose, cloud) in enumerate(zip(poses, clouds, strict=True)):
        measured = _Measurements(
            finite=bool(finite[k]),
            extent=extents[k],
            centre_distance=float(outside[k]),
            category_diagonal=float(np.linalg.norm(categories[pose.category].mean_size)),
        )
        contradiction = _find_contradiction(pose, measured, config)
        verdicts.append(None if contradiction is None else Rejection(pose.category, *contradiction, cloud.instance))
    return verdicts


@dataclass(frozen=True)
class _Measurements:
    """Values by which a pose is checked.

    Attributes:
        finite: Whether all values of pose and size are finite.
        extent: ``(3,)`` extent of the points along the object's axes, metres.
        centre_distance: Distance of the centre from the points' box, metres; 0 inside.
        category_diagonal: Diagonal of the category's mean size, metres.
    """

    finite: bool
    extent: FloatArray
    centre_distance: float
    category_diagonal: float


def _find_contradiction(
    pose: PoseEstimate, measured: _Measurements, config: CheckConfig
) -> tuple[RejectionReason, str] | None:
    """Return the first reason to reject a pose, with its figures, or None."""
    if not (measured.finite and np.isfinite(pose.score)):
        return RejectionReason.NOT_FINITE, f"size {_format(pose.size)} m, score {pose.score}"
    if pose.score < config.score_threshold:
        return RejectionReason.LOW_SCORE, f"{pose.score:.3f} is below {config.score_threshold:g}"
    if not (pose.size > 0.0).all():
        return RejectionReason.SIZE_CONTRADICTS_POINTS, f"size {_format(pose.size)} m is not positive"
    size_problem = _find_size_problem(pose.size, measured.extent, config)
    if size_problem:
        return RejectionReason.SIZE_CONTRADICTS_POINTS, size_problem
    diagonal = float(np.linalg.norm(pose.size))
    if diagonal > config.category_tolerance * measured.category_diagonal:
        return (
            RejectionReason.TOO_LARGE_FOR_CATEGORY,
            f"size {_format(pose.size)} m, diagonal {diagonal:.3f} m: more than {config.category_tolerance:g} times "
            f"the mean diagonal of the category {pose.category}, {measured.category_diagonal:.3f} m",
        )
    limit = config.centre_tolerance * diagonal
    if measured.centre_distance > limit:
        detail = f"{measured.centre_distance:.3f} m outside the points' box, at most {limit:.3f} m is allowed"
        return RejectionReason.CENTRE_OUTSIDE_POINTS, detail
    return None


def _find_size_problem(size: FloatArray, extent: FloatArray, config: CheckConfig) -> str:
    """Describe the contradiction between a size and the extent of its points, both ``(3,)`` metres; '' if none."""
    if (extent > config.size_tolerance * size).any():
        problem = f"more than {config.size_tolerance:g} times"
    elif np.linalg.norm(size) > config.max_occlusion_ratio * np.linalg.norm(extent):
        problem = f"less than 1/{config.max_occlusion_ratio:g} of it is visible"
    else:
        return ""
    figures = f"the points extend over {_format(extent)} m along the object's axes, the size is {_format(size)} m"
    return f"{figures}: {problem}"


def _inner_extent(values: FloatArray) -> FloatArray:
    """Return the extent ``(...)`` of values ``(..., N)`` without the fraction ``_TRIMMED`` at either end.

    It interpolates linearly like ``numpy.percentile``, which takes ten times as long.
    """
    last = values.shape[-1] - 1
    k = int(_TRIMMED * last)
    share = _TRIMMED * last - k
    ordered = np.partition(values, [k, k + 1, last - k - 1, last - k], axis=-1)
    low = ordered[..., k] + share * (ordered[..., k + 1] - ordered[..., k])
    high = ordered[..., last - k] - share * (ordered[..., last - k] - ordered[..., last - k - 1])
    return np.asarray(high - low)


def _format(vector: FloatArray) -> str:
    """Return a vector as ``x x y x z`` with three decimals."""
    return " x ".join(f"{value:.3f}" for value in vector)
