"""The objects of a film through time: posed frame by frame, tracked, or carried along a motion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import CheckConfig, TrackingConfig
from clipose_ros.evaluation.runs.recorded_sequence import FPS, RecordedSequence
from clipose_ros.geometry.se3 import exp_so3, invert_transform, make_transform
from clipose_ros.inference.pipeline import PosePredictor
from clipose_ros.inference.pose_checks import check_poses
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import FloatArray, FrameResult, InstanceMask, ObjectCloud, StageTimes

SWING_HZ = 0.4
SWING_M = 0.1
SWING_DEG = 20.0
"""The swing of a moved object: to and fro along the world's x axis, and about it."""
Motion = Callable[[float, FloatArray], FloatArray]
"""Where a static object's pose in the world is carried at a time, seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class PosedFrame:
    """The poses of one frame of a film.

    Attributes:
        result: As the pipeline gives it.
        instances: Which object of the scene each pose is of.
        T_world_camera: ``(4, 4)``.
        time_s: Since the first frame.
    """

    result: FrameResult
    instances: tuple[int, ...]
    T_world_camera: FloatArray
    time_s: float


@dataclass(slots=True, eq=False)
class ObjectTrajectory:
    """An object through a film, by single frames or tracked; lists grow together."""

    category: str
    times_s: list[float] = field(default_factory=list)
    T_world_object: list[FloatArray] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)


def pose_sequence(
    film: RecordedSequence, predictor: PosePredictor, check: CheckConfig | None = None
) -> list[PosedFrame]:
    """Pose all clouds, frame by frame, as the node does."""
    frames = []
    for number in range(film.frames):
        rows = np.flatnonzero(film.frame == number)
        found = predictor.predict(film.points[rows], [str(name) for name in film.category[rows]])
        clouds = [ObjectCloud(_mask(pose.category), film.points[row]) for row, pose in zip(rows, found, strict=True)]
        verdicts = check_poses(found, clouds, check or CheckConfig(), predictor.categories)
        kept = [i for i, verdict in enumerate(verdicts) if verdict is None]
        poses, seen = tuple(found[i] for i in kept), tuple(clouds[i] for i in kept)
        instances = tuple(int(film.instance[rows[i]]) for i in kept)
        result = FrameResult(poses, seen, (), StageTimes(0.0, 0.0, 0.0))
        frames.append(PosedFrame(result, instances, film.T_world_camera[number], number / FPS))
    return frames


def _mask(category: str) -> InstanceMask:
    """Stands for the pixels that a film does not keep."""
    return InstanceMask(category, 1.0, (0, 0, 1, 1), np.ones((1, 1), dtype=bool))


def single_paths(frames: Iterable[PosedFrame]) -> dict[int, ObjectTrajectory]:
    """Every object's poses of single frames, by instance."""
    paths: dict[int, ObjectTrajectory] = {}
    for frame in frames:
        for pose, instance in zip(frame.result.poses, frame.instances, strict=True):
            path = paths.setdefault(instance, ObjectTrajectory(pose.category))
            path.times_s.append(frame.time_s)
            path.T_world_object.append(frame.T_world_camera @ pose.T_camera_object)
            path.ids.append(instance)
    return paths


def track(
    frames: Iterable[PosedFrame], config: TrackingConfig, categories: CategorySet, in_world: bool = True
) -> dict[int, ObjectTrajectory]:
    """Every object's tracked poses, by instance, in the frames that saw it."""
    tracker, paths = Tracker(config, categories), dict[int, ObjectTrajectory]()
    for frame in frames:
        instance_of = dict(zip(map(id, frame.result.clouds), frame.instances, strict=True))
        T_tracking_camera = frame.T_world_camera if in_world else np.eye(4)
        for item in tracker.update(frame.result, round(1e9 * frame.time_s), T_tracking_camera):
            if item.seen:
                path = paths.setdefault(instance_of[id(item.cloud)], ObjectTrajectory(item.category))
                path.times_s.append(frame.time_s)
                path.T_world_object.append(frame.T_world_camera @ item.T_frame_object)
                path.ids.append(item.track_id)
    return paths


def swing(time_s: float, centre: FloatArray) -> FloatArray:
    """``(4, 4)`` displacement in the world of an object that is swung around its place ``centre``."""
    phase = np.sin(2.0 * np.pi * SWING_HZ * time_s)
    R = exp_so3(np.array([np.radians(SWING_DEG) * phase, 0.0, 0.0]))
    moved = np.array([SWING_M * phase, 0.0, 0.0])
    return make_transform(R, centre + moved - R @ centre)


def carried(frame: PosedFrame, paths: dict[int, ObjectTrajectory], motion: Motion) -> PosedFrame:
    """The frame as it were if its objects were carried along a motion around their median places."""
    poses = []
    for pose, instance in zip(frame.result.poses, frame.instances, strict=True):
        centre = np.median([T[:3, 3] for T in paths[instance].T_world_object], axis=0)
        T_world_object = motion(frame.time_s, centre) @ frame.T_world_camera @ pose.T_camera_object
        T_camera_object = invert_transform(frame.T_world_camera) @ T_world_object
        poses.append(dataclasses.replace(pose, T_camera_object=T_camera_object))
    return dataclasses.replace(frame, result=dataclasses.replace(frame.result, poses=tuple(poses)))
