"""Jitter, lag and identity switches of tracked objects.

The objects of a recorded sequence are static and the camera moves; the tracker runs on their single-frame poses.
Jitter is the spread of the tracked poses of an object in the world frame. For the lag, a known swinging motion is
applied to the same single-frame poses. The lag is the time shift at which the tracked and the single-frame poses agree
best.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipose_ros.categories import CategorySet
from clipose_ros.config import TrackingConfig
from clipose_ros.errors import DataError
from clipose_ros.evaluation.runs.trajectories import (
    ObjectTrajectory,
    SequenceFramePoses,
    apply_motion,
    single_frame_trajectories,
    swing_motion,
    track_sequence,
)
from clipose_ros.types import FloatArray

_LAGS_S = np.arange(0.0, 0.6, 0.002)


@dataclass(frozen=True, slots=True)
class Jitter:
    """Spread of the poses of a static object in the world frame.

    Attributes:
        position_mm: Root mean square distance from the mean position, millimetres.
        angle_deg: Root mean square angle to the mean orientation, degrees. For axially symmetric objects the angle
            between the y axes.
        position_step_mm: Root mean square change of the position between frames, millimetres.
        angle_step_deg: Root mean square change of the orientation between frames, degrees.
    """

    position_mm: float
    angle_deg: float
    position_step_mm: float
    angle_step_deg: float


@dataclass(frozen=True, slots=True)
class JitterReport:
    """Jitter and lag of one tracker setting.

    Attributes:
        jitter: Medians over the objects.
        worst: Maxima over the objects.
        objects: Number of tracked objects.
        identity_switches: Number of changes of the track id of an object.
        reported: Ratio of tracked to single-frame poses, 0 to 1. Poses before ``min_hits`` is reached are not reported.
        lag_ms: Median delay of the positions of moving objects, milliseconds.
        turn_lag_ms: Median delay of their orientations, milliseconds.
    """

    jitter: Jitter
    worst: Jitter
    objects: int
    identity_switches: int
    reported: float
    lag_ms: float
    turn_lag_ms: float


def evaluate_tracking(
    frames: Sequence[SequenceFramePoses], config: TrackingConfig, categories: CategorySet, in_world: bool = True
) -> JitterReport:
    """Measure jitter, lag and identity switches of one tracker setting.

    Args:
        frames: Single-frame poses from ``pose_sequence``.
        config: Settings of the tracker; ``frame`` is ignored.
        categories: Categories of the predictor.
        in_world: Whether to track in the world frame, else in the camera frame.

    Raises:
        DataError: No object was tracked.
    """
    single = single_frame_trajectories(frames)
    tracked = track_sequence(frames, config, categories, in_world)
    if not tracked:
        raise DataError(
            f"no object was tracked in {len(frames)} frames: all poses were rejected, or none was confirmed"
        )
    jitters = [trajectory_jitter(trajectory, categories) for trajectory in tracked.values()]
    # The motion is applied to the predictions, not rendered: the lag is that of the tracker alone.
    moving = [apply_motion(frame, single, swing_motion) for frame in frames]
    moving_single = single_frame_trajectories(moving)
    moving_tracked = track_sequence(moving, config, categories, in_world)
    lags = [trajectory_lags_ms(moving_single[i], trajectory, categories) for i, trajectory in moving_tracked.items()]
    single_count = sum(len(trajectory.times_s) for trajectory in single.values())
    return JitterReport(
        jitter=aggregate_jitter(jitters, np.median),
        worst=aggregate_jitter(jitters, np.max),
        objects=len(tracked),
        identity_switches=sum(int(np.count_nonzero(np.diff(trajectory.ids))) for trajectory in tracked.values()),
        reported=sum(len(trajectory.times_s) for trajectory in tracked.values()) / max(single_count, 1),
        lag_ms=float(np.median([lag[0] for lag in lags])),
        turn_lag_ms=float(np.median([lag[1] for lag in lags])),
    )


def trajectory_jitter(trajectory: ObjectTrajectory, categories: CategorySet) -> Jitter:
    """Compute the spread of the poses of a static object."""
    return pose_jitter(np.array(trajectory.T_world_object), categories[trajectory.category].symmetry.axial_y)


def pose_jitter(T_world_object: FloatArray, axial: bool) -> Jitter:
    """Compute the spread of successive poses ``(F, 4, 4)`` of a static object; of the y axis only if ``axial``."""
    R, t = T_world_object[:, :3, :3], T_world_object[:, :3, 3]
    angles = _angles_deg(R, _mean_rotation(R, axial), axial)
    return Jitter(
        position_mm=1e3 * _rms(np.linalg.norm(t - t.mean(axis=0), axis=1)),
        angle_deg=_rms(angles),
        position_step_mm=1e3 * _rms(np.linalg.norm(np.diff(t, axis=0), axis=1)),
        angle_step_deg=_rms(_angles_deg(R[1:], R[:-1], axial)),
    )


def trajectory_lags_ms(
    single: ObjectTrajectory, tracked: ObjectTrajectory, categories: CategorySet
) -> tuple[float, float]:
    """Compute the delays of position and orientation of a tracked moving object, milliseconds.

    Args:
        single: Single-frame poses of the object.
        tracked: Tracked poses of the object.
        categories: Categories with their symmetries.

    Returns:
        Delay of the position and delay of the orientation.
    """
    T_single, T = np.array(single.T_world_object), np.array(tracked.T_world_object)
    axes = [1] if categories[single.category].symmetry.axial_y else [0, 1]
    position_lag_s = _lag_s(single.times_s, T_single[:, :3, 3], tracked.times_s, T[:, :3, 3])
    single_axes, tracked_axes = (values[:, :3, axes].reshape(len(values), -1) for values in (T_single, T))
    return 1e3 * position_lag_s, 1e3 * _lag_s(single.times_s, single_axes, tracked.times_s, tracked_axes)


def _lag_s(
    times_reference: Sequence[float], reference: FloatArray, times: Sequence[float], signal: FloatArray
) -> float:
    """Return the shift in time of ``reference`` ``(N, D)`` with the least mean difference to ``signal`` ``(M, D)``."""
    covered = np.asarray(times) >= times_reference[0] + _LAGS_S[-1]  # times at which all shifts can be interpolated
    at = np.asarray(times)[covered]
    costs = []
    for lag in _LAGS_S:
        shifted = np.stack([np.interp(at - lag, times_reference, column) for column in reference.T], axis=1)
        costs.append(np.abs(shifted - signal[covered]).mean() if covered.any() else 0.0)
    return float(_LAGS_S[int(np.argmin(costs))])


def _mean_rotation(R: FloatArray, axial: bool) -> FloatArray:
    """Return the rotation nearest to the mean of rotations ``(N, 3, 3)``; if ``axial``, only its y axis is defined."""
    # Projection of the mean matrix onto SO(3) (orthogonal Procrustes).
    mean = R.mean(axis=0)
    if axial:
        mean[:, [0, 2]] = 0.0
    U, _, Vt = np.linalg.svd(mean)
    flip = np.diag([1.0, 1.0, np.linalg.det(U @ Vt)])
    return np.asarray(U @ flip @ Vt)


def _angles_deg(R: FloatArray, R_other: FloatArray, axial: bool) -> FloatArray:
    """Return the angles ``(N,)`` between rotations ``(N, 3, 3)``, or between their y axes if ``axial``, degrees."""
    if axial:
        cosine = (R[..., :, 1] * R_other[..., :, 1]).sum(axis=-1)
    else:
        cosine = 0.5 * ((R * R_other).sum(axis=(-2, -1)) - 1.0)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def aggregate_jitter(jitters: Sequence[Jitter], statistic: Callable[[NDArray[np.float64]], object]) -> Jitter:
    """Apply a statistic over the objects to each attribute."""
    columns = np.array([dataclasses.astuple(each) for each in jitters]).reshape(-1, 4).T
    return Jitter(*(float(np.asarray(statistic(column))) for column in columns))
