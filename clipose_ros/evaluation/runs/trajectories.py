"""Trajectories of the objects of a recorded sequence: single-frame poses, tracked poses and simulated motion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import CheckConfig, TrackingConfig
from clipose_ros.evaluation.runs.network_poses import NetworkPoses, check_frame, make_cloud
from clipose_ros.evaluation.runs.recorded_sequence import FPS
from clipose_ros.geometry.se3 import exp_so3, invert_transform, make_transform
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import FloatArray, FrameResult

OBJECT_SWING_HZ = 0.4
OBJECT_SWING_M = 0.1
OBJECT_SWING_DEG = 20.0
"""Frequency and amplitudes of ``swing_motion``: translation along and rotation about the x axis of the world."""
Motion = Callable[[float, FloatArray], FloatArray]
"""Displacement ``(4, 4)`` in the world at a time (seconds) of an object with its centre at ``(3,)``."""


@dataclass(frozen=True, slots=True, eq=False)
class SequenceFramePoses:
    """Estimated poses of one frame of a recorded sequence.

    Attributes:
        result: Poses and clouds, as returned by the pipeline.
        instances: Instance id of the object of each pose.
        T_world_camera: ``(4, 4)`` true camera pose.
        time_s: Time since the first frame, seconds.
    """

    result: FrameResult
    instances: tuple[int, ...]
    T_world_camera: FloatArray
    time_s: float


@dataclass(slots=True, eq=False)
class ObjectTrajectory:
    """Poses of one object over time; the lists have equal lengths.

    Attributes:
        category: Name of the category.
        times_s: Times since the first frame, seconds.
        T_world_object: ``(4, 4)`` poses in the world.
        ids: Track ids; instance ids for single-frame poses.
    """

    category: str
    times_s: list[float] = field(default_factory=list)
    T_world_object: list[FloatArray] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)


def pose_sequence(network: NetworkPoses, check: CheckConfig | None = None) -> list[SequenceFramePoses]:
    """Estimate and check the poses of all clouds of a sequence frame by frame, each with all passes of the network."""
    sequence, frames = network.sequence, []
    for number in range(sequence.frames):
        rows = np.flatnonzero(sequence.frame == number)
        clouds = [make_cloud(str(sequence.category[row]), sequence.points[row]) for row in rows]
        instance_of = {id(cloud): int(sequence.instance[row]) for cloud, row in zip(clouds, rows, strict=True)}
        result = check_frame(network.predict_all(rows), clouds, network.predictor, check or CheckConfig())
        instances = tuple(instance_of[id(cloud)] for cloud in result.clouds)
        frames.append(SequenceFramePoses(result, instances, sequence.T_world_camera[number], number / FPS))
    return frames


def single_frame_trajectories(frames: Iterable[SequenceFramePoses]) -> dict[int, ObjectTrajectory]:
    """Return the trajectory of single-frame poses of each object, by instance id."""
    trajectories: dict[int, ObjectTrajectory] = {}
    for frame in frames:
        for pose, instance in zip(frame.result.poses, frame.instances, strict=True):
            trajectory = trajectories.setdefault(instance, ObjectTrajectory(pose.category))
            trajectory.times_s.append(frame.time_s)
            trajectory.T_world_object.append(frame.T_world_camera @ pose.T_camera_object)
            trajectory.ids.append(instance)
    return trajectories


def track_sequence(
    frames: Iterable[SequenceFramePoses], config: TrackingConfig, categories: CategorySet, in_world: bool = True
) -> dict[int, ObjectTrajectory]:
    """Track the poses and return the trajectory of each object by instance id; unobserved frames are left out.

    Args:
        frames: Poses in the order of the frames.
        config: Settings of the tracker.
        categories: Categories of the predictor.
        in_world: Whether to track in the world frame, else in the camera frame.
    """
    tracker, trajectories = Tracker(config, categories), dict[int, ObjectTrajectory]()
    for frame in frames:
        instance_of = dict(zip(map(id, frame.result.clouds), frame.instances, strict=True))
        T_tracking_camera = frame.T_world_camera if in_world else np.eye(4)
        for item in tracker.update(frame.result, round(1e9 * frame.time_s), T_tracking_camera):
            if item.seen:
                trajectory = trajectories.setdefault(instance_of[id(item.cloud)], ObjectTrajectory(item.category))
                trajectory.times_s.append(frame.time_s)
                trajectory.T_world_object.append(frame.T_world_camera @ item.T_frame_object)
                trajectory.ids.append(item.track_id)
    return trajectories


def swing_motion(time_s: float, centre: FloatArray) -> FloatArray:
    """Return the displacement ``(4, 4)`` in the world of an object that swings around its ``centre`` ``(3,)``."""
    phase = np.sin(2.0 * np.pi * OBJECT_SWING_HZ * time_s)
    R = exp_so3(np.array([np.radians(OBJECT_SWING_DEG) * phase, 0.0, 0.0]))
    moved = np.array([OBJECT_SWING_M * phase, 0.0, 0.0])
    return make_transform(R, centre + moved - R @ centre)


def apply_motion(
    frame: SequenceFramePoses, trajectories: dict[int, ObjectTrajectory], motion: Motion
) -> SequenceFramePoses:
    """Return the frame with all poses displaced by a motion around the median positions of the objects.

    Args:
        frame: Poses of static objects.
        trajectories: Single-frame trajectories of the same objects.
        motion: Displacement over time.
    """
    poses = []
    for pose, instance in zip(frame.result.poses, frame.instances, strict=True):
        centre = np.median([T[:3, 3] for T in trajectories[instance].T_world_object], axis=0)
        T_world_object = motion(frame.time_s, centre) @ frame.T_world_camera @ pose.T_camera_object
        T_camera_object = invert_transform(frame.T_world_camera) @ T_world_object
        poses.append(dataclasses.replace(pose, T_camera_object=T_camera_object))
    return dataclasses.replace(frame, result=dataclasses.replace(frame.result, poses=tuple(poses)))
