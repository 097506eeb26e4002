"""Whether a pose agrees with the very points that it was made from."""

from __future__ import annotations

import numpy as np

from clipose_ros.config import CheckConfig
from clipose_ros.types import FloatArray, ObjectCloud, PoseEstimate, Rejection, RejectionReason

_OUTER = 0.05  # of the points at either end do not count for the extent: a few stray ones do not condemn a pose


def check_pose(pose: PoseEstimate, cloud: ObjectCloud, config: CheckConfig) -> Rejection | None:
    """Reject a pose that is not finite, too uncertain, or contradicted by its points.

    The size is contradicted where the points extend farther along an axis of the box than ``size_tolerance`` times that
    side, or where the box's diagonal exceeds theirs by more than the factor ``hidden_tolerance``. The centre is
    contradicted where it lies outside the points' box (along the camera's axes) by more than ``centre_tolerance`` times
    the object's diagonal.

    Args:
        pose: With its final score.
        cloud: The points that it was made from.
        config: Thresholds.

    Returns:
        None where the pose may be published, else the reason with its figures.
    """

    def rejected(reason: RejectionReason, detail: str) -> Rejection:
        return Rejection(pose.category, reason, detail, cloud.instance)

    if not (np.isfinite(pose.T_camera_object).all() and np.isfinite([*pose.size, pose.score]).all()):
        return rejected(RejectionReason.NOT_FINITE, f"size {_words(pose.size)} m, score {pose.score}")
    if pose.score < config.score_threshold:
        return rejected(RejectionReason.LOW_SCORE, f"{pose.score:.3f} is below {config.score_threshold:g}")
    points_camera = np.ascontiguousarray(cloud.points_camera.T, dtype=np.float64)  # (3, N): all that follows is by axis
    contradiction = _size_contradiction(pose, points_camera, config)
    if contradiction is not None:
        return rejected(RejectionReason.SIZE_CONTRADICTS_POINTS, contradiction)
    low, high = points_camera.min(axis=1), points_camera.max(axis=1)
    centre = pose.T_camera_object[:3, 3]
    outside = float(np.linalg.norm(np.maximum(np.maximum(low - centre, centre - high), 0.0)))
    limit = config.centre_tolerance * float(np.linalg.norm(pose.size))
    if outside > limit:
        detail = f"{outside:.3f} m outside their box, at most {limit:.3f} m is allowed"
        return rejected(RejectionReason.CENTRE_OUTSIDE_POINTS, detail)
    return None


def _size_contradiction(pose: PoseEstimate, points_camera: FloatArray, config: CheckConfig) -> str | None:
    """In words, how the predicted size and the extent of the points ``(3, N)`` contradict each other."""
    if not (pose.size > 0.0).all():
        return f"size {_words(pose.size)} m is not positive"
    R, t = pose.T_camera_object[:3, :3], pose.T_camera_object[:3, 3:]
    extent = _inner_extent(R.T @ (points_camera - t))
    if (extent > config.size_tolerance * pose.size).any():
        verdict = f"more than {config.size_tolerance:g} times"
    elif np.linalg.norm(pose.size) > config.hidden_tolerance * np.linalg.norm(extent):
        verdict = f"less than 1/{config.hidden_tolerance:g} of it is visible"
    else:
        return None
    figures = f"the points extend over {_words(extent)} m along the object's axes, the size is {_words(pose.size)} m"
    return f"{figures}: {verdict}"


def _inner_extent(values: FloatArray) -> FloatArray:
    """Extent ``(3,)`` of values ``(3, N)`` along each row, less the outermost ``_OUTER`` at either end.

    Between two values it goes linearly, as NumPy's percentiles do, which take ten times as long.
    """
    ordered = np.sort(values, axis=1)
    place = _OUTER * (values.shape[1] - 1)
    k = int(place)
    share = place - k
    low = ordered[:, k] + share * (ordered[:, k + 1] - ordered[:, k])
    high = ordered[:, -1 - k] - share * (ordered[:, -1 - k] - ordered[:, -2 - k])
    return np.asarray(high - low)


def _words(vector: FloatArray) -> str:
    return " x ".join(f"{value:.3f}" for value in vector)
