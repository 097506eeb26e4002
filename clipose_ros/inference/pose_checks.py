"""Whether poses agree with the very points that they were made from, and with what their categories are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import CheckConfig
from clipose_ros.types import FloatArray, ObjectCloud, PoseEstimate, Rejection, RejectionReason

_OUTER = 0.05  # of the points at either end do not count for the extent: a few stray ones do not condemn a pose


def check_poses(
    poses: Sequence[PoseEstimate], clouds: Sequence[ObjectCloud], config: CheckConfig, categories: CategorySet
) -> list[Rejection | None]:
    """Reject poses that are not finite, too uncertain, contradicted by their points, or too large for their category.

    The size is contradicted where the points extend farther along an axis of the box than ``size_tolerance`` times that
    side, or where the box's diagonal exceeds theirs by more than the factor ``max_occlusion_ratio``. The centre is
    contradicted where it lies outside the points' box (along the camera's axes) by more than ``centre_tolerance`` times
    the object's diagonal. The category is contradicted where the box's diagonal exceeds that of its mean size by more
    than the factor ``category_tolerance``.

    Args:
        poses: With their final scores.
        clouds: The points that each was made from, equally many.
        config: Thresholds.
        categories: Those of the poses, for their mean sizes.

    Returns:
        For each pose None where it may be published, else the reason with its figures.
    """
    if not poses:
        return []
    T, size = np.array([pose.T_camera_object for pose in poses]), np.array([pose.size for pose in poses])
    finite = np.isfinite(T).all(axis=(1, 2)) & np.isfinite(size).all(axis=1)
    T[~finite] = np.eye(4)
    points_camera = np.ascontiguousarray(  # (B, 3, N): all that follows is by axis
        np.stack([cloud.points_camera for cloud in clouds]).transpose(0, 2, 1), dtype=np.float64
    )
    R, t = T[:, :3, :3], T[:, :3, 3:]
    extents = _inner_extent(np.swapaxes(R, 1, 2) @ (points_camera - t))
    low, high = points_camera.min(axis=2), points_camera.max(axis=2)
    outside = np.linalg.norm(np.maximum(np.maximum(low - t[..., 0], t[..., 0] - high), 0.0), axis=1)
    verdicts: list[Rejection | None] = []
    for k, (pose, cloud) in enumerate(zip(poses, clouds, strict=True)):
        usual = float(np.linalg.norm(categories[pose.category].mean_size))
        found = _contradiction(pose, bool(finite[k]), extents[k], float(outside[k]), usual, config)
        verdicts.append(None if found is None else Rejection(pose.category, *found, cloud.instance))
    return verdicts


def _contradiction(
    pose: PoseEstimate, finite: bool, extent: FloatArray, outside: float, usual: float, config: CheckConfig
) -> tuple[RejectionReason, str] | None:
    """What speaks against a pose.

    Args:
        pose: The pose.
        finite: Whether pose and size are.
        extent: ``(3,)``, how far its points extend along the object's axes, metres.
        outside: How far its centre lies outside the points' box, metres.
        usual: Diagonal of its category's mean size, metres.
        config: Thresholds.
    """
    if not (finite and np.isfinite(pose.score)):
        return RejectionReason.NOT_FINITE, f"size {_words(pose.size)} m, score {pose.score}"
    if pose.score < config.score_threshold:
        return RejectionReason.LOW_SCORE, f"{pose.score:.3f} is below {config.score_threshold:g}"
    if not (pose.size > 0.0).all():
        return RejectionReason.SIZE_CONTRADICTS_POINTS, f"size {_words(pose.size)} m is not positive"
    diagonal, contradiction = float(np.linalg.norm(pose.size)), ""
    if (extent > config.size_tolerance * pose.size).any():
        contradiction = f"more than {config.size_tolerance:g} times"
    elif diagonal > config.max_occlusion_ratio * np.linalg.norm(extent):
        contradiction = f"less than 1/{config.max_occlusion_ratio:g} of it is visible"
    if contradiction:
        figures = (
            f"the points extend over {_words(extent)} m along the object's axes, the size is {_words(pose.size)} m"
        )
        return RejectionReason.SIZE_CONTRADICTS_POINTS, f"{figures}: {contradiction}"
    if diagonal > config.category_tolerance * usual:
        return (
            RejectionReason.TOO_LARGE_FOR_CATEGORY,
            f"size {_words(pose.size)} m, more than {config.category_tolerance:g} times what a {pose.category} has on "
            f"average: {usual:.3f} m from corner to corner",
        )
    limit = config.centre_tolerance * diagonal
    if outside > limit:
        detail = f"{outside:.3f} m outside their box, at most {limit:.3f} m is allowed"
        return RejectionReason.CENTRE_OUTSIDE_POINTS, detail
    return None


def _inner_extent(values: FloatArray) -> FloatArray:
    """Extent ``(...)`` of values ``(..., N)``, less the outermost ``_OUTER`` at either end.

    Between two values it goes linearly, as NumPy's percentiles do, which take ten times as long.
    """
    last = values.shape[-1] - 1
    k = int(_OUTER * last)
    share = _OUTER * last - k
    ordered = np.partition(values, [k, k + 1, last - k - 1, last - k], axis=-1)
    low = ordered[..., k] + share * (ordered[..., k + 1] - ordered[..., k])
    high = ordered[..., last - k] - share * (ordered[..., last - k] - ordered[..., last - k - 1])
    return np.asarray(high - low)


def _words(vector: FloatArray) -> str:
    return " x ".join(f"{value:.3f}" for value in vector)
