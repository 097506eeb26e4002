"""Tracker that gives the poses of single frames identities over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import TrackingConfig
from clipose_ros.geometry.se3 import invert_transform
from clipose_ros.geometry.symmetry import align_yaw, canonicalize_yaw
from clipose_ros.tracking.association import associate
from clipose_ros.tracking.covariance import pose_covariance
from clipose_ros.tracking.smoothing import compute_gain, smooth_pose
from clipose_ros.types import TIME_JUMP_NS, FloatArray, FrameResult, ObjectCloud, PoseEstimate, TrackedObject


@dataclass(slots=True, eq=False)
class _Track:
    """State of one track, in the tracking frame."""

    id: int
    category: str
    T_tracking_object: FloatArray
    size: FloatArray
    score: float
    axis_confidences: tuple[float, float]
    born_ns: int
    seen_ns: int
    hits: int
    cloud: ObjectCloud | None


@dataclass(frozen=True, slots=True, eq=False)
class _Measurement:
    """One pose of a frame, with its cloud and its transform into the tracking frame."""

    pose: PoseEstimate
    cloud: ObjectCloud
    T_tracking_object: FloatArray


class Tracker:
    """Tracks objects over frames: association by category, smoothing, canonical yaw of symmetric objects, lifetimes.

    Objects of a frame are processed as one batch.

    Args:
        config: Settings of the tracker.
        categories: Categories, for their symmetries.
    """

    def __init__(self, config: TrackingConfig, categories: CategorySet) -> None:
        self._config = config
        self._axial = {category.name: category.symmetry.axial_y for category in categories}
        self.reset()

    def reset(self) -> None:
        """Delete all tracks and restart the track ids."""
        self._tracks: list[_Track] = []
        self._next_ids = dict.fromkeys(self._axial, 1)
        self._now_ns: int | None = None

    def reconfigure(self, config: TrackingConfig) -> None:
        """Apply settings from the next update on. A change of the tracking frame deletes all tracks."""
        if config.frame != self._config.frame:
            self.reset()
        self._config = config

    def update(
        self, result: FrameResult, stamp_ns: int, T_tracking_camera: FloatArray, *, confirm: bool = False
    ) -> list[TrackedObject]:
        """Update the tracks with the poses of one frame.

        A stamp more than ``TIME_JUMP_NS`` before the last one deletes all tracks first: a bag loops or a simulation
        restarts. A smaller step back means that frames arrived out of order; the frame gets the last stamp.

        Args:
            result: Poses in the camera frame.
            stamp_ns: Time of the frame, nanoseconds.
            T_tracking_camera: ``(4, 4)``, camera into the tracking frame at that time; the identity to smooth in the
                camera frame.
            confirm: Return objects on their first observation, whatever ``min_hits`` is.

        Returns:
            Every track with ``min_hits`` or more, in the CAMERA frame of that time, by category and id; ``seen`` tells
            those that this frame observed from those that are carried on. Tracks that this frame did not observe and
            that are unseen for longer than ``max_age_s`` are gone.
        """
        if self._now_ns is not None and stamp_ns < self._now_ns - TIME_JUMP_NS:
            self.reset()
        now_ns = self._now_ns = max(stamp_ns, self._now_ns or stamp_ns)
        for track in self._tracks:
            track.cloud = None
        measured = _in_tracking_frame(result, T_tracking_camera)
        pairs = self._associate(measured)
        self._continue([self._tracks[i] for i, _ in pairs], [measured[j] for _, j in pairs], now_ns)
        # only now: where frames are rarer than this age, the next one must still find the tracks that it continues
        longest_ns = self._config.max_age_s * 1e9
        self._tracks = [track for track in self._tracks if now_ns - track.seen_ns <= longest_ns]
        known = {j for _, j in pairs}
        self._begin([item for j, item in enumerate(measured) if j not in known], now_ns)
        least = 1 if confirm else self._config.min_hits
        reported = sorted((t for t in self._tracks if t.hits >= least), key=lambda t: (t.category, t.id))
        return self._report(reported, now_ns, invert_transform(T_tracking_camera))

    def _associate(self, measured: Sequence[_Measurement]) -> list[tuple[int, int]]:
        """Return index pairs of tracks and of the measurements assigned to them."""
        if not self._tracks or not measured:
            return []
        comparable = [[track.category == item.pose.category for item in measured] for track in self._tracks]
        positions, seen = _transforms(self._tracks)[:, :3, 3], _transforms(measured)[:, :3, 3]
        return associate(positions, seen, self._config.gate_m, np.array(comparable))

    def _continue(self, tracks: Sequence[_Track], measured: Sequence[_Measurement], now_ns: int) -> None:
        """Update tracks with their measurements."""
        if not tracks:
            return
        gain = np.array([compute_gain(self._config.smoothing, 1e-9 * (now_ns - track.seen_ns)) for track in tracks])
        axial = [self._axial[track.category] for track in tracks]
        T_old, T_new = _transforms(tracks), _transforms(measured)
        R_old = T_old[:, :3, :3]
        # the free yaw of the measurement must not pull: only its y axis counts
        T = smooth_pose(T_old, align_yaw(T_new, axial, R_old), gain, self._config.gate_m / 2.0)
        T = canonicalize_yaw(T, axial, R_old)
        old, new, weight = _scalars(tracks), _scalars([item.pose for item in measured]), gain[:, None]
        figures = (1.0 - weight) * old + weight * new
        for track, item, T_tracking_object, values in zip(tracks, measured, T, figures, strict=True):
            track.T_tracking_object, track.size = T_tracking_object, values[:3]
            track.score, *sure = values[3:].tolist()
            track.axis_confidences = (sure[0], sure[1])
            track.seen_ns, track.hits, track.cloud = now_ns, track.hits + 1, item.cloud

    def _begin(self, measured: Sequence[_Measurement], now_ns: int) -> None:
        """Start tracks from unassigned measurements."""
        for item in measured:
            pose, category = item.pose, item.pose.category
            self._tracks.append(
                _Track(
                    id=self._next_ids[category], category=category,
                    T_tracking_object=canonicalize_yaw(item.T_tracking_object, self._axial[category]),
                    size=pose.size, score=pose.score, axis_confidences=pose.axis_confidences,
                    born_ns=now_ns, seen_ns=now_ns, hits=1, cloud=item.cloud,
                )
            )  # fmt: skip
            self._next_ids[category] += 1

    def _report(self, tracks: Sequence[_Track], now_ns: int, T_camera_tracking: FloatArray) -> list[TrackedObject]:
        """Convert tracks to results in the camera frame."""
        if not tracks:
            return []
        T_camera_object = T_camera_tracking @ _transforms(tracks)
        # unseen, an object may have moved, but not so far that it is taken for another before the track is dropped
        unseen_s = np.array([(now_ns - track.seen_ns) * 1e-9 for track in tracks])
        drift_m = self._config.gate_m * unseen_s / max(self._config.max_age_s, 1e-9)
        figures = _scalars(tracks)
        axial = [self._axial[track.category] for track in tracks]
        covariances = pose_covariance(
            T_camera_object[:, :3, :3], figures[:, :3], figures[:, 3], figures[:, 4:], axial, drift_m
        )
        return [
            TrackedObject(
                track_id=track.id, category=track.category, T_frame_object=T, size=track.size, score=track.score,
                covariance=covariance, age_s=(now_ns - track.born_ns) * 1e-9, seen=track.cloud is not None,
                cloud=track.cloud,
            )
            for track, T, covariance in zip(tracks, T_camera_object, covariances, strict=True)
        ]  # fmt: skip


def _in_tracking_frame(result: FrameResult, T_tracking_camera: FloatArray) -> list[_Measurement]:
    """Transform the poses of a frame into the tracking frame."""
    if not result.poses:
        return []
    T = T_tracking_camera @ np.stack([pose.T_camera_object for pose in result.poses])
    return [_Measurement(*item) for item in zip(result.poses, result.clouds, T, strict=True)]


def _transforms(items: Sequence[_Track] | Sequence[_Measurement]) -> FloatArray:
    """Return the poses ``(N, 4, 4)`` in the tracking frame."""
    return np.array([item.T_tracking_object for item in items])


def _scalars(items: Sequence[_Track] | Sequence[PoseEstimate]) -> FloatArray:
    """Return size, score and axis confidences ``(N, 6)``, which are smoothed with the same gain."""
    return np.array([[*item.size, item.score, *item.axis_confidences] for item in items])
