"""How still tracked objects stand that stand still, what that costs in lag, and how often an object is mistaken.

A film of static objects before a moving camera is posed frame by frame and tracked under several settings. Jitter is
the spread of an object's pose in the world. For lag the same measurements are carried along a known swing, as if
somebody moved the objects: lag is the shift in time at which tracked and single-frame poses agree best.
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
from clipose_ros.evaluation.runs.trajectories import ObjectTrajectory, PosedFrame, carried, single_paths, swing, track
from clipose_ros.types import FloatArray

_LAGS_S = np.arange(0.0, 0.6, 0.002)


@dataclass(frozen=True, slots=True)
class Jitter:
    """How far a static object's pose in the world strays.

    Attributes:
        position_mm: Root mean square distance from the mean position.
        angle_deg: Root mean square angle to the mean orientation, of the y axis alone where any turn about it looks the
            same.
        position_step_mm: Root mean square change between frames.
        angle_step_deg: Likewise.
    """

    position_mm: float
    angle_deg: float
    position_step_mm: float
    angle_step_deg: float


@dataclass(frozen=True, slots=True)
class JitterReport:
    """What a setting of the tracker does; medians over the objects.

    Attributes:
        jitter: Of all objects.
        worst: Largest figures of any object.
        objects: Objects seen.
        identity_switches: Times an object got another id.
        reported: Share of single-frame poses that came out, 0 to 1; the first of an object wait for ``min_hits``.
        lag_ms: Delay of the positions of moved objects.
        turn_lag_ms: Delay of their orientations.
    """

    jitter: Jitter
    worst: Jitter
    objects: int
    identity_switches: int
    reported: float
    lag_ms: float
    turn_lag_ms: float


def measure(
    frames: Sequence[PosedFrame], config: TrackingConfig, categories: CategorySet, in_world: bool = True
) -> JitterReport:
    """Figures of one setting of the tracker.

    Args:
        frames: As of ``pose_sequence``.
        config: The setting; its frame does not matter.
        categories: Of the predictor.
        in_world: Whether to smooth in the world's frame, else in the camera's.

    Raises:
        DataError: Nothing was tracked.
    """
    single, tracked = single_paths(frames), track(frames, config, categories, in_world)
    if not tracked:
        raise DataError(
            f"no object was tracked in {len(frames)} frames: its poses contradict their points, or none came"
        )
    jitters = [jitter(path, categories) for path in tracked.values()]
    swung = [carried(frame, single, swing) for frame in frames]
    raw, followed = single_paths(swung), track(swung, config, categories, in_world)
    lags = [lags_ms(raw[i], path, categories) for i, path in followed.items()]
    posed = sum(len(path.times_s) for path in single.values())
    return JitterReport(
        jitter=_over(jitters, np.median),
        worst=_over(jitters, np.max),
        objects=len(tracked),
        identity_switches=sum(int(np.count_nonzero(np.diff(path.ids))) for path in tracked.values()),
        reported=sum(len(path.times_s) for path in tracked.values()) / max(posed, 1),
        lag_ms=float(np.median([lag[0] for lag in lags])),
        turn_lag_ms=float(np.median([lag[1] for lag in lags])),
    )


def jitter(path: ObjectTrajectory, categories: CategorySet) -> Jitter:
    """Spread of a static object's poses."""
    T = np.array(path.T_world_object)
    R, t = T[:, :3, :3], T[:, :3, 3]
    axial = categories[path.category].symmetry.axial_y
    turned = _angles_deg(R, _mean_rotation(R, axial), axial)
    return Jitter(
        position_mm=1e3 * _rms(np.linalg.norm(t - t.mean(axis=0), axis=1)),
        angle_deg=_rms(turned),
        position_step_mm=1e3 * _rms(np.linalg.norm(np.diff(t, axis=0), axis=1)),
        angle_step_deg=_rms(_angles_deg(R[1:], R[:-1], axial)),
    )


def lags_ms(raw: ObjectTrajectory, tracked: ObjectTrajectory, categories: CategorySet) -> tuple[float, float]:
    """Delay of a tracked moving object against its single-frame poses: of the position and of the orientation."""
    T_raw, T = np.array(raw.T_world_object), np.array(tracked.T_world_object)
    axes = [1] if categories[raw.category].symmetry.axial_y else [0, 1]
    of_position = _lag_s(raw.times_s, T_raw[:, :3, 3], tracked.times_s, T[:, :3, 3])
    turned = [values[:, :3, axes].reshape(len(values), -1) for values in (T_raw, T)]
    return 1e3 * of_position, 1e3 * _lag_s(raw.times_s, turned[0], tracked.times_s, turned[1])


def _lag_s(times_raw: Sequence[float], raw: FloatArray, times: Sequence[float], signal: FloatArray) -> float:
    """The shift of ``raw`` ``(N, D)`` at which it is nearest to ``signal`` ``(M, D)``, by mean absolute difference."""
    known = np.asarray(times) >= times_raw[0] + _LAGS_S[-1]
    at = np.asarray(times)[known]
    costs = []
    for lag in _LAGS_S:
        shifted = np.stack([np.interp(at - lag, times_raw, column) for column in raw.T], axis=1)
        costs.append(np.abs(shifted - signal[known]).mean() if known.any() else 0.0)
    return float(_LAGS_S[int(np.argmin(costs))])


def _mean_rotation(R: FloatArray, axial: bool) -> FloatArray:
    """The rotation nearest to the mean of rotations ``(N, 3, 3)``; of axial objects its y axis alone means anything."""
    mean = R.mean(axis=0)
    if axial:
        mean[:, [0, 2]] = 0.0
    U, _, Vt = np.linalg.svd(mean)
    flip = np.diag([1.0, 1.0, np.linalg.det(U @ Vt)])
    return np.asarray(U @ flip @ Vt)


def _angles_deg(R: FloatArray, R_other: FloatArray, axial: bool) -> FloatArray:
    """Angles between rotations ``(N, 3, 3)`` and others, or between their y axes."""
    if axial:
        cosine = (R[..., :, 1] * R_other[..., :, 1]).sum(axis=-1)
    else:
        cosine = 0.5 * ((R * R_other).sum(axis=(-2, -1)) - 1.0)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def _over(jitters: Sequence[Jitter], statistic: Callable[[NDArray[np.float64]], object]) -> Jitter:
    """A statistic of each figure over the objects."""
    columns = np.array([dataclasses.astuple(each) for each in jitters]).reshape(-1, 4).T
    return Jitter(*(float(np.asarray(statistic(column))) for column in columns))
