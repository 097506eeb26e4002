"""Poses of every cloud of a recorded sequence: of single frames, of the tracker as the node runs it, and after steps.

The node chooses the passes of the network over an object by its doubt. The doubt depends on the track, so network and
tracker run frame by frame in one loop.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clipose_ros.config import CheckConfig, NetworkConfig, TrackingConfig
from clipose_ros.evaluation.runs.network_poses import NetworkPoses, check_frame, make_cloud
from clipose_ros.evaluation.runs.recorded_sequence import FPS, CloudTruths, RecordedSequence
from clipose_ros.geometry.se3 import exp_so3, invert_transform, make_transform, transform_points
from clipose_ros.inference.pass_plan import ALL_PASSES
from clipose_ros.inference.pipeline import create_schedule
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import FloatArray, TrackedObject

NO_TRACK = -1
"""Track id of a cloud whose object is not published."""
STEP_FRAME = 25
"""Frame in which objects are displaced for the step response."""
STEP_M, STEP_DEG = 0.1, 30.0
"""Displacements of the step response."""
FOLLOWED_FRAMES = 3
"""Number of frames after which a displaced object should be followed."""


@dataclass(frozen=True)
class TimelineSettings:
    """Settings of network, pose checks and tracker.

    Attributes:
        network: Passes and their time budget.
        check: Checks of single-frame poses.
        tracking: Settings of the tracker; it runs in the frame of the world.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    check: CheckConfig = field(default_factory=CheckConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


@dataclass(frozen=True, slots=True, eq=False)
class CloudPoses:
    """Published pose of the object of each of S clouds, in the camera frame; NaN for objects without one.

    Attributes:
        T_camera_object: ``(S, 4, 4)`` poses, metres.
        size: ``(S, 3)`` metres.
        covariance: ``(S, 6, 6)`` of the tracker; NaN for single frames.
        track_id: ``(S,)`` int64 track ids, ``NO_TRACK`` for objects without a pose; 0 for single frames.
        all_passes: ``(S,)`` bool, true for clouds that got all passes of the network.
        coarse_only: ``(S,)`` bool, true for clouds that the refiner left out.
    """

    T_camera_object: FloatArray
    size: FloatArray
    covariance: FloatArray
    track_id: NDArray[np.int64]
    all_passes: NDArray[np.bool_]
    coarse_only: NDArray[np.bool_]

    @classmethod
    def empty(cls, clouds: int) -> CloudPoses:
        """Return arrays without a pose."""
        return cls(
            np.full((clouds, 4, 4), np.nan),
            np.full((clouds, 3), np.nan),
            np.full((clouds, 6, 6), np.nan),
            np.full(clouds, NO_TRACK, dtype=np.int64),
            np.ones(clouds, dtype=np.bool_),
            np.zeros(clouds, dtype=np.bool_),
        )


def pose_single_frames(network: NetworkPoses, check: CheckConfig) -> CloudPoses:
    """Estimate every cloud by itself with all passes; poses that the checks reject are left out."""
    sequence, result = network.sequence, CloudPoses.empty(len(network.sequence.frame))
    for number in range(sequence.frames):
        rows = np.flatnonzero(sequence.frame == number)
        clouds = [make_cloud(str(sequence.category[row]), sequence.points[row]) for row in rows]
        row_of = {id(cloud): row for cloud, row in zip(clouds, rows, strict=True)}
        frame = check_frame(network.predict_all(rows), clouds, network.predictor, check)
        for pose, cloud in zip(frame.poses, frame.clouds, strict=True):
            row = row_of[id(cloud)]
            result.T_camera_object[row], result.size[row] = pose.T_camera_object, pose.size
            result.track_id[row] = 0
    return result


def track_poses(network: NetworkPoses, settings: TimelineSettings, moved: FloatArray | None = None) -> CloudPoses:
    """Run network and tracker frame by frame and return the published pose of the object of each cloud.

    Args:
        network: Poses of the network.
        settings: Settings as those of the node.
        moved: ``(S, 4, 4)`` displacements in the camera frame, applied to poses and points of each cloud after the
            network; None for none.
    """
    sequence, schedule = network.sequence, create_schedule(network.predictor)
    tracker, owners = Tracker(settings.tracking, network.predictor.categories), dict[str, int]()
    result = CloudPoses.empty(len(sequence.frame))
    for number in range(sequence.frames):
        rows, T_world_camera = np.flatnonzero(sequence.frame == number), sequence.T_world_camera[number]
        points = sequence.points[rows] if moved is None else transform_points(moved[rows], sequence.points[rows])
        clouds = [make_cloud(str(name), each) for name, each in zip(sequence.category[rows], points, strict=True)]
        plan = schedule.assign(tracker.compute_doubt(clouds, T_world_camera), settings.network)
        result.all_passes[rows], result.coarse_only[rows] = plan.only_pass == ALL_PASSES, plan.coarse_only
        poses = network.predict(rows, plan)
        if moved is not None:
            poses = [
                dataclasses.replace(pose, T_camera_object=T @ pose.T_camera_object)
                for pose, T in zip(poses, moved[rows], strict=True)
            ]
        frame = check_frame(poses, clouds, network.predictor, settings.check)
        instance_of = {id(cloud): int(sequence.instance[row]) for cloud, row in zip(clouds, rows, strict=True)}
        tracks = tracker.update(frame, round(1e9 * number / FPS), T_world_camera)
        owners |= {item.name: instance_of[id(item.cloud)] for item in tracks if item.cloud is not None}
        _store_tracks(result, tracks, owners, {int(sequence.instance[row]): int(row) for row in rows})
    return result


def _store_tracks(
    result: CloudPoses, tracks: Sequence[TrackedObject], owners: Mapping[str, int], row_of: Mapping[int, int]
) -> None:
    """Write the published poses of a frame to the rows of the clouds of their objects.

    Args:
        result: Arrays to write to.
        tracks: Published objects.
        owners: Instance id of the object that each track observed last, by the name of the track.
        row_of: Row of the cloud of each instance in this frame.
    """
    # an object can have two tracks for a while: the one that observes it is written last
    for item in sorted(tracks, key=lambda item: item.seen):
        row = row_of.get(owners[item.name]) if item.name in owners else None
        if row is not None:
            result.T_camera_object[row], result.size[row] = item.T_frame_object, item.size
            result.covariance[row], result.track_id[row] = item.covariance, item.track_id


@dataclass(frozen=True, slots=True, eq=False)
class StepPoses:
    """Poses of a sequence whose objects are displaced in frame ``STEP_FRAME``.

    Attributes:
        poses: Published poses.
        truths: Displaced truths.
    """

    poses: CloudPoses
    truths: CloudTruths


@dataclass(frozen=True, slots=True, eq=False)
class SequenceTimeline:
    """Poses of one sequence: of the tracker, of single frames, and of the tracker after steps.

    Attributes:
        sequence: The sequence, with truths.
        tracker: Published poses.
        single_frame: Poses of single frames with all passes.
        steps: Poses with displaced measurements, by displacement.
    """

    sequence: RecordedSequence
    tracker: CloudPoses
    single_frame: CloudPoses
    steps: Mapping[str, StepPoses]


def run_timeline(network: NetworkPoses, settings: TimelineSettings) -> SequenceTimeline:
    """Pose and track a sequence, and once more for each step.

    Raises:
        DataError: The sequence has no truths.
    """
    sequence = network.sequence
    truths = sequence.require_truths()
    steps = {}
    if sequence.frames > STEP_FRAME + FOLLOWED_FRAMES:
        for name, moved in _displacements(sequence, truths).items():
            displaced = CloudTruths(moved @ truths.T_camera_object, truths.size, truths.handle_visible)
            steps[name] = StepPoses(track_poses(network, settings, moved), displaced)
    tracked, single = track_poses(network, settings), pose_single_frames(network, settings.check)
    return SequenceTimeline(sequence, tracked, single, steps)


def _displacements(sequence: RecordedSequence, truths: CloudTruths) -> dict[str, FloatArray]:
    """Return displacements ``(S, 4, 4)`` in the camera frame of all clouds from ``STEP_FRAME`` on.

    Objects move along the x axis of the world, or turn about their own x axis, so that the y axis of axially symmetric
    objects turns as well.
    """
    after = sequence.frame >= STEP_FRAME
    shift, turn = np.tile(np.eye(4), (2, len(after), 1, 1))
    shift[after, :3, 3] = STEP_M * sequence.T_world_camera[sequence.frame[after], 0, :3]
    tilt = make_transform(exp_so3(np.array([np.radians(STEP_DEG), 0.0, 0.0])), np.zeros(3))
    T = truths.T_camera_object[after]
    turn[after] = T @ tilt @ invert_transform(T)
    return {"10cm": shift, "30deg": turn}
