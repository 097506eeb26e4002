"""Whether a pose agrees with the very points that it was made from."""

from __future__ import annotations

import numpy as np

from clipose_ros.config import CheckConfig
from clipose_ros.geometry.se3 import invert_transform, transform_points
from clipose_ros.types import FloatArray, ObjectCloud, PoseEstimate, Rejection, RejectionReason

_INNER = (5.0, 95.0)  # percentiles between which the extent is measured: a few stray points do not condemn a pose
_HIDDEN = 4.0  # occlusion may hide this much more than size_tolerance lets the points exceed


def check_pose(pose: PoseEstimate, cloud: ObjectCloud, config: CheckConfig) -> Rejection | None:
    """Reject a pose that is not finite, too uncertain, or contradicted by its points.

    The size is contradicted where the points extend farther along an axis of the box than ``size_tolerance`` times that
    side, or where the box's diagonal exceeds theirs more than occlusion explains. The centre is contradicted where it
    lies outside the points' box (along the camera's axes) by more than ``centre_tolerance`` times the object's
    diagonal.

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
    points_camera = np.asarray(cloud.points_camera, dtype=np.float64)
    contradiction = _size_contradiction(pose, points_camera, config.size_tolerance)
    if contradiction is not None:
        return rejected(RejectionReason.SIZE_CONTRADICTS_POINTS, contradiction)
    low, high = points_camera.min(axis=0), points_camera.max(axis=0)
    centre = pose.T_camera_object[:3, 3]
    outside = float(np.linalg.norm(np.maximum(np.maximum(low - centre, centre - high), 0.0)))
    limit = config.centre_tolerance * float(np.linalg.norm(pose.size))
    if outside > limit:
        detail = f"{outside:.3f} m outside their box, at most {limit:.3f} m is allowed"
        return rejected(RejectionReason.CENTRE_OUTSIDE_POINTS, detail)
    return None


def _size_contradiction(pose: PoseEstimate, points_camera: FloatArray, tolerance: float) -> str | None:
    """In words, how the predicted size and the points' extent contradict each other."""
    if not (pose.size > 0.0).all():
        return f"size {_words(pose.size)} m is not positive"
    points_object = transform_points(invert_transform(pose.T_camera_object), points_camera)
    low, high = np.percentile(points_object, _INNER, axis=0)
    extent = high - low
    figures = f"the points extend over {_words(extent)} m along the object's axes, the size is {_words(pose.size)} m"
    if (extent > tolerance * pose.size).any():
        return f"{figures}: more than {tolerance:g} times"
    if np.linalg.norm(pose.size) > _HIDDEN * tolerance * np.linalg.norm(extent):
        return f"{figures}: less than 1/{_HIDDEN * tolerance:g} of it is visible"
    return None


def _words(vector: FloatArray) -> str:
    return " x ".join(f"{value:.3f}" for value in vector)
