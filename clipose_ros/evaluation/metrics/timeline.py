"""Accuracy of tracked poses against the time since an object was first seen, beside that of single frames.

All objects of the sequences are static, with known poses. Errors of an object are grouped by the number of frames since
its first cloud. The rotation of an axially symmetric object, and of a mug whose handle is hidden, is that of its y axis
alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from clipose_ros.categories import CategorySet
from clipose_ros.evaluation.metrics.jitter import Jitter, aggregate_jitter, pose_jitter
from clipose_ros.evaluation.metrics.nees import Nees, compute_nees, squared_axis_error, squared_error
from clipose_ros.evaluation.runs.recorded_sequence import FPS, CloudTruths, RecordedSequence
from clipose_ros.evaluation.runs.timeline import FOLLOWED_FRAMES, NO_TRACK, STEP_FRAME, CloudPoses, SequenceTimeline
from clipose_ros.geometry.se3 import log_so3
from clipose_ros.types import BoolArray, FloatArray

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

THRESHOLD_DEG, THRESHOLD_M = 5.0, 0.02
"""Largest errors of a pose that counts as accurate."""
FLIP_DEG = 45.0
"""Change of the rotation of a static object between two frames that counts as a flip, degrees."""
RECOVERED_M, RECOVERED_DEG = 0.02, 10.0
"""Errors below which a displaced object is followed again."""
Arrays = TypeVar("Arrays", bound="DataclassInstance")
_MIN_FRAMES = 3  # least number of poses after the first second of which the spread is measured


@dataclass(frozen=True, slots=True)
class ErrorCurve:
    """Errors by the number of frames since an object was first seen; the lists have equal lengths.

    Attributes:
        objects: Number of objects with a cloud.
        published: Percentage of them with a published pose.
        within_5deg_2cm: Percentage of them with a published pose within 5 degrees and 2 cm; None as long as no object
            of any category is published.
        position_mm: Median position error of the published poses, millimetres; None if there are none.
        rotation_deg: Median rotation error, degrees.
        size_percent: Median relative size error, mean over the three sides, per cent.
    """

    objects: list[int]
    published: list[float | None]
    within_5deg_2cm: list[float | None]
    position_mm: list[float | None]
    rotation_deg: list[float | None]
    size_percent: list[float | None]


@dataclass(frozen=True, slots=True)
class StepResponse:
    """Frames until a displaced object is followed, the first displaced frame counting as 1.

    Attributes:
        objects: Number of objects that were within the thresholds in the frame before the step.
        frames_median: Median number of frames.
        frames_max: Largest number of frames, of the objects that were followed again.
        within_3_frames: Percentage of objects followed within three frames.
        lost: Number of objects that were not followed again before the end.
    """

    objects: int
    frames_median: float
    frames_max: int
    within_3_frames: float
    lost: int


@dataclass(frozen=True, slots=True)
class SteadyState:
    """Figures of the frames after the first second.

    Attributes:
        jitter: Spread of the poses in the world, median over the objects.
        within_5deg_2cm: Percentage of clouds with a published pose within 5 degrees and 2 cm, mean over categories.
        position_mm: Median position error, mean over categories, millimetres.
        rotation_deg: Median rotation error, mean over categories, degrees.
    """

    jitter: Jitter
    within_5deg_2cm: float
    position_mm: float
    rotation_deg: float


@dataclass(frozen=True, slots=True)
class TimelineReport:
    """Accuracy against time for one kind of camera motion.

    Attributes:
        tables: Number of sequences.
        objects: Number of objects.
        tracker: Errors of the tracker by category, and their mean over categories as ``mean``.
        single_frame: Errors of single frames with all passes, likewise.
        tracker_after_1s: Figures of the tracker after the first second; None for shorter sequences.
        single_frame_after_1s: Figures of single frames after the first second.
        nees: Consistency of the published covariance by error: ``position``, ``rotation`` and ``axis``.
        flips: Number of changes of the published rotation of an object by more than 45 degrees between frames.
        single_frame_flips: The same number for single frames.
        identity_switches: Number of changes of the track id of an object.
        all_passes: Percentage of clouds that got all passes of the network.
        coarse_only: Percentage of clouds that the refiner left out.
        steps: Step responses by displacement: ``10cm`` and ``30deg``; empty for short sequences.
    """

    tables: int
    objects: int
    tracker: Mapping[str, ErrorCurve]
    single_frame: Mapping[str, ErrorCurve]
    tracker_after_1s: SteadyState | None
    single_frame_after_1s: SteadyState | None
    nees: Mapping[str, Nees]
    flips: int
    single_frame_flips: int
    identity_switches: int
    all_passes: float
    coarse_only: float
    steps: Mapping[str, StepResponse]

    def as_record(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Clouds:
    """Objects, frames and camera poses of S clouds of one or several sequences, sorted by frame within each sequence.

    Attributes:
        category: ``(S,)`` names.
        item: ``(S,)`` number of the object, unique over all sequences.
        frame: ``(S,)`` frame index within the sequence.
        age: ``(S,)`` frames since the object was first seen.
        axial: ``(S,)`` bool, true where only the y axis of the rotation is defined.
        T_world_camera: ``(S, 4, 4)``.
    """

    category: NDArray[np.str_]
    item: NDArray[np.int64]
    frame: NDArray[np.int64]
    age: NDArray[np.int64]
    axial: BoolArray
    T_world_camera: FloatArray

    @classmethod
    def from_sequence(cls, sequence: RecordedSequence, truths: CloudTruths, categories: CategorySet) -> _Clouds:
        _, item = np.unique(sequence.instance, return_inverse=True)
        first = np.full(int(item.max(initial=-1)) + 1, sequence.frames, dtype=np.int64)
        np.minimum.at(first, item, sequence.frame)
        axial = [categories[str(name)].symmetry.axial_y for name in sequence.category]
        return cls(
            category=sequence.category,
            item=item.astype(np.int64),
            frame=sequence.frame,
            age=sequence.frame - first[item],
            axial=np.array(axial, dtype=np.bool_) | ~truths.handle_visible,
            T_world_camera=sequence.T_world_camera[sequence.frame],
        )

    def rows_of_objects(self) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of each object in the order of the frames."""
        order = np.argsort(self.item, kind="stable")
        yield from np.split(order, np.flatnonzero(np.diff(self.item[order])) + 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """Errors of S clouds; NaN for objects without a published pose.

    Attributes:
        position_m: ``(S,)`` metres.
        rotation_deg: ``(S,)`` degrees.
        size_percent: ``(S,)`` per cent.
    """

    position_m: FloatArray
    rotation_deg: FloatArray
    size_percent: FloatArray

    @classmethod
    def compute(cls, poses: CloudPoses, truths: CloudTruths, axial: BoolArray) -> _Errors:
        T, T_true = poses.T_camera_object, truths.T_camera_object
        return cls(
            np.linalg.norm(T[:, :3, 3] - T_true[:, :3, 3], axis=1),
            rotation_changes_deg(T[:, :3, :3], T_true[:, :3, :3], axial),
            100.0 * np.mean(np.abs(poses.size - truths.size) / truths.size, axis=1),
        )

    @property
    def published(self) -> BoolArray:
        """Return the clouds ``(S,)`` with a published pose."""
        return np.isfinite(self.position_m)

    @property
    def accurate(self) -> BoolArray:
        """Return the clouds ``(S,)`` with a published pose within the thresholds."""
        return (self.rotation_deg <= THRESHOLD_DEG) & (self.position_m <= THRESHOLD_M)


def summarize_timelines(timelines: Sequence[SequenceTimeline], categories: CategorySet) -> TimelineReport:
    """Compute the figures of sequences with one kind of camera motion.

    Args:
        timelines: At least one timeline.
        categories: Categories of the predictor.
    """
    clouds = _number_objects(
        [_Clouds.from_sequence(each.sequence, each.sequence.require_truths(), categories) for each in timelines]
    )
    truths = _concatenate([each.sequence.require_truths() for each in timelines])
    tracked = _concatenate([each.tracker for each in timelines])
    single = _concatenate([each.single_frame for each in timelines])
    errors, single_errors = (_Errors.compute(poses, truths, clouds.axial) for poses in (tracked, single))
    steps = {}
    for name in timelines[0].steps:
        poses = _concatenate([each.steps[name].poses for each in timelines])
        displaced = _concatenate([each.steps[name].truths for each in timelines])
        steps[name] = _step_response(clouds, _Errors.compute(poses, displaced, clouds.axial))
    return TimelineReport(
        tables=len(timelines),
        objects=int(clouds.item.max()) + 1,
        tracker=_error_curves(clouds, errors, categories),
        single_frame=_error_curves(clouds, single_errors, categories),
        tracker_after_1s=_steady_state(clouds, tracked, errors),
        single_frame_after_1s=_steady_state(clouds, single, single_errors),
        nees=_consistency(clouds, tracked, truths),
        flips=_count_flips(clouds, tracked),
        single_frame_flips=_count_flips(clouds, single),
        identity_switches=sum(
            int(np.count_nonzero(np.diff(ids[ids != NO_TRACK])))
            for ids in (tracked.track_id[rows] for rows in clouds.rows_of_objects())
        ),
        all_passes=100.0 * float(tracked.all_passes.mean()),
        coarse_only=100.0 * float(tracked.coarse_only.mean()),
        steps=steps,
    )


def rotation_changes_deg(R: FloatArray, R_other: FloatArray, axial: BoolArray) -> FloatArray:
    """Return the angles ``(S,)`` between rotations ``(S, 3, 3)``, of their y axes where ``axial`` ``(S,)``, degrees."""
    y, y_other = R[:, :, 1], R_other[:, :, 1]
    axis = np.arctan2(np.linalg.norm(np.cross(y, y_other), axis=1), (y * y_other).sum(axis=1))
    # the Frobenius norm of the difference is 2 sqrt(2) sin(angle / 2), exact for small angles too
    half = np.sqrt(np.square(R - R_other).sum(axis=(1, 2)) / 8.0)
    return np.asarray(np.degrees(np.where(axial, axis, 2.0 * np.arcsin(np.clip(half, 0.0, 1.0)))))


def _error_curves(clouds: _Clouds, errors: _Errors, categories: CategorySet) -> dict[str, ErrorCurve]:
    """Return the errors by frame since first seen of each occurring category, and their mean."""
    curves, ages = {}, range(int(clouds.age.max()) + 1)
    # a pose that the checks reject counts as inaccurate, but the wait for the first poses does not
    begun = [bool(errors.published[clouds.age == age].any()) for age in ages]
    for name in categories.names:
        if (chosen := clouds.category == name).any():
            groups = [np.flatnonzero(chosen & (clouds.age == age)) for age in ages]
            curves[name] = ErrorCurve(
                objects=[rows.size for rows in groups],
                published=[_percentage(errors.published[rows]) for rows in groups],
                within_5deg_2cm=[
                    _percentage(errors.accurate[rows]) if begun[age] else None for age, rows in enumerate(groups)
                ],
                position_mm=[_median(1e3 * errors.position_m[rows]) for rows in groups],
                rotation_deg=[_median(errors.rotation_deg[rows]) for rows in groups],
                size_percent=[_median(errors.size_percent[rows]) for rows in groups],
            )
    rows = list(curves.values())
    curves["mean"] = ErrorCurve(
        objects=[sum(values) for values in zip(*(row.objects for row in rows), strict=True)],
        published=_mean_curve([row.published for row in rows]),
        within_5deg_2cm=_mean_curve([row.within_5deg_2cm for row in rows]),
        position_mm=_mean_curve([row.position_mm for row in rows]),
        rotation_deg=_mean_curve([row.rotation_deg for row in rows]),
        size_percent=_mean_curve([row.size_percent for row in rows]),
    )
    return curves


def _mean_curve(curves: Sequence[Sequence[float | None]]) -> list[float | None]:
    """Return the means over curves of the values that exist."""
    columns = [[value for value in values if value is not None] for values in zip(*curves, strict=True)]
    return [float(np.mean(column)) if column else None for column in columns]


def _percentage(flags: BoolArray) -> float | None:
    """Return the percentage of true values; None if there are no values."""
    return 100.0 * float(flags.mean()) if flags.size else None


def _median(values: FloatArray) -> float | None:
    """Return the median of the finite values; None if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else None


def _steady_state(clouds: _Clouds, poses: CloudPoses, errors: _Errors) -> SteadyState | None:
    """Return the figures of the frames after the first second; None if there are no poses."""
    late = clouds.age >= FPS
    if not (late & errors.published).any():
        return None
    T_world_object = clouds.T_world_camera @ poses.T_camera_object
    jitters = []
    for rows in clouds.rows_of_objects():
        found = rows[errors.published[rows]]
        if (chosen := found[late[found]]).size >= _MIN_FRAMES:
            jitters.append(pose_jitter(T_world_object[chosen], bool(clouds.axial[chosen].any())))
    masks = [late & (clouds.category == name) for name in np.unique(clouds.category[late])]
    positions, rotations = (
        [value for mask in masks if (value := _median(values[mask])) is not None]
        for values in (1e3 * errors.position_m, errors.rotation_deg)
    )
    return SteadyState(
        jitter=aggregate_jitter(jitters, np.median) if jitters else Jitter(0.0, 0.0, 0.0, 0.0),
        within_5deg_2cm=float(np.mean([100.0 * errors.accurate[mask].mean() for mask in masks])),
        position_mm=float(np.mean(positions)),
        rotation_deg=float(np.mean(rotations)),
    )


def _count_flips(clouds: _Clouds, poses: CloudPoses) -> int:
    """Return the number of changes of the rotation of an object by more than ``FLIP_DEG`` between frames."""
    R_world_object, flips = clouds.T_world_camera[:, :3, :3] @ poses.T_camera_object[:, :3, :3], 0
    for rows in clouds.rows_of_objects():
        found = rows[poses.track_id[rows] != NO_TRACK]
        R, axial = R_world_object[found], clouds.axial[found]
        changes = rotation_changes_deg(R[1:], R[:-1], axial[1:] | axial[:-1])
        flips += int(np.count_nonzero(changes > FLIP_DEG))
    return flips


def _consistency(clouds: _Clouds, poses: CloudPoses, truths: CloudTruths) -> dict[str, Nees]:
    """Return the NEES at the last published pose of each object, by kind of error."""
    values: dict[str, list[float]] = {"position": [], "rotation": [], "axis": []}
    for rows in clouds.rows_of_objects():
        published = rows[poses.track_id[rows] != NO_TRACK]
        if published.size:
            row = int(published[-1])
            T, T_true, covariance = poses.T_camera_object[row], truths.T_camera_object[row], poses.covariance[row]
            values["position"].append(squared_error(T[:3, 3] - T_true[:3, 3], covariance[:3, :3]))
            if clouds.axial[row]:
                values["axis"].append(squared_axis_error(T[:3, :3], T_true[:3, :3], covariance[3:, 3:]))
            else:
                error = log_so3(T[:3, :3] @ T_true[:3, :3].T)
                values["rotation"].append(squared_error(error, covariance[3:, 3:]))
    dimensions = {"position": 3, "rotation": 3, "axis": 2}
    return {name: compute_nees(np.array(items), dimensions[name]) for name, items in values.items() if items}


def _step_response(clouds: _Clouds, errors: _Errors) -> StepResponse:
    """Return the frames until displaced objects are followed; objects that were not followed before are left out."""
    near = (errors.position_m < RECOVERED_M) & (errors.rotation_deg < RECOVERED_DEG)
    frames: list[int | None] = []
    for rows in clouds.rows_of_objects():
        number = clouds.frame[rows]
        after = rows[number >= STEP_FRAME]
        if near[rows[number == STEP_FRAME - 1]].any() and after.size > FOLLOWED_FRAMES:
            followed = np.flatnonzero(near[after])
            frames.append(int(clouds.frame[after[followed[0]]]) - STEP_FRAME + 1 if followed.size else None)
    found = [count for count in frames if count is not None]
    return StepResponse(
        objects=len(frames),
        frames_median=float(np.median(found)) if found else 0.0,
        frames_max=max(found, default=0),
        within_3_frames=100.0 * sum(count <= FOLLOWED_FRAMES for count in found) / max(len(frames), 1),
        lost=len(frames) - len(found),
    )


def _number_objects(parts: Sequence[_Clouds]) -> _Clouds:
    """Return the clouds of several sequences, with objects numbered through."""
    counts = [int(part.item.max()) + 1 for part in parts]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return _concatenate(
        [dataclasses.replace(part, item=part.item + start) for part, start in zip(parts, starts, strict=True)]
    )


def _concatenate(parts: Sequence[Arrays]) -> Arrays:
    """Return a dataclass of arrays with the rows of several."""
    names = [spec.name for spec in dataclasses.fields(parts[0])]
    return dataclasses.replace(
        parts[0], **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )
