"""Poses of single frames in, objects with an identity out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from clipose_ros.categories import CategorySet, Symmetry
from clipose_ros.config import TrackingConfig
from clipose_ros.geometry.se3 import invert_transform
from clipose_ros.geometry.symmetry import align_yaw, canonicalize_yaw
from clipose_ros.tracking.association import associate
from clipose_ros.tracking.covariance import pose_covariance
from clipose_ros.tracking.frames import express_in
from clipose_ros.tracking.smoothing import blend, gain, smooth_pose
from clipose_ros.types import FloatArray, FrameResult, ObjectCloud, PoseEstimate, TrackedObject


@dataclass(slots=True, eq=False)
class _Track:
    """What is remembered of one object; poses in the tracking frame."""

    id: int
    category: str
    T_tracking_object: FloatArray
    size: FloatArray
    score: float
    axis_confidences: tuple[float, float]
    born_ns: int
    seen_ns: int
    hits: int = 1
    cloud: ObjectCloud | None = None


class Tracker:
    """Follows objects over frames: association per category, smoothing, a fixed yaw for symmetric objects, lifetimes.

    Args:
        config: All of its settings but ``frame`` can be changed by ``reconfigure``.
        categories: Their symmetries.
    """

    def __init__(self, config: TrackingConfig, categories: CategorySet) -> None:
        self._config = config
        self._categories = categories
        self.reset()

    def reset(self) -> None:
        """Forget every track; identities start over."""
        self._tracks: list[_Track] = []
        self._next_ids = dict.fromkeys(self._categories.names, 1)
        self._now_ns: int | None = None

    def reconfigure(self, config: TrackingConfig) -> None:
        """Take over settings from the next update on; tracks live on, unless the tracking frame is another one."""
        if config.frame != self._config.frame:
            self.reset()
        self._config = config

    def update(
        self, result: FrameResult, stamp_ns: int, T_tracking_camera: FloatArray, *, confirm: bool = False
    ) -> list[TrackedObject]:
        """Take in the poses of one frame.

        A stamp before the last one forgets every track first: a bag loops or a simulation restarts.

        Args:
            result: Poses in the camera frame.
            stamp_ns: Time of the frame, nanoseconds.
            T_tracking_camera: ``(4, 4)``, camera into the tracking frame at that time; the identity to smooth in the
                camera frame.
            confirm: Return objects seen for the first time too, whatever ``min_hits`` says: for a single look at a
                scene.

        Returns:
            Every track with ``min_hits`` or more, in the CAMERA frame of that time, by category and id; ``seen`` tells
            those that this frame observed from those that are carried on. Tracks unseen for longer than ``max_age_s``
            are gone.
        """
        if self._now_ns is not None and stamp_ns < self._now_ns:
            self.reset()
        self._now_ns = stamp_ns
        longest_ns = self._config.max_age_s * 1e9
        self._tracks = [track for track in self._tracks if stamp_ns - track.seen_ns <= longest_ns]
        for track in self._tracks:
            track.cloud = None
        pairs = list(zip(result.poses, result.clouds, strict=True))
        for category in self._categories.names:
            self._update_category(
                category, [p for p in pairs if p[0].category == category], stamp_ns, T_tracking_camera
            )
        least = 1 if confirm else self._config.min_hits
        reported = sorted((t for t in self._tracks if t.hits >= least), key=lambda t: (t.category, t.id))
        T_camera_tracking = invert_transform(T_tracking_camera)
        return express_in([self._report(track, stamp_ns) for track in reported], T_camera_tracking)

    def _update_category(
        self,
        category: str,
        pairs: list[tuple[PoseEstimate, ObjectCloud]],
        stamp_ns: int,
        T_tracking_camera: FloatArray,
    ) -> None:
        """Continue the tracks of one category, and start new ones."""
        tracks = [track for track in self._tracks if track.category == category]
        measured = [T_tracking_camera @ pose.T_camera_object for pose, _ in pairs]
        matches = associate(_positions(t.T_tracking_object for t in tracks), _positions(measured), self._config.gate_m)
        symmetry = self._categories[category].symmetry
        for i, j in matches:
            self._continue(tracks[i], measured[j], pairs[j], symmetry, stamp_ns)
        for j in sorted(set(range(len(pairs))) - {j for _, j in matches}):
            pose, cloud = pairs[j]
            T = canonicalize_yaw(measured[j], symmetry)
            self._tracks.append(
                _Track(
                    id=self._next_ids[category], category=category, T_tracking_object=T, size=pose.size,
                    score=pose.score, axis_confidences=pose.axis_confidences, born_ns=stamp_ns, seen_ns=stamp_ns,
                    cloud=cloud,
                )
            )  # fmt: skip
            self._next_ids[category] += 1

    def _continue(
        self,
        track: _Track,
        T_measured: FloatArray,
        pair: tuple[PoseEstimate, ObjectCloud],
        symmetry: Symmetry,
        stamp_ns: int,
    ) -> None:
        """Move a track towards what was measured."""
        pose, cloud = pair
        share = gain(self._config.smoothing, (stamp_ns - track.seen_ns) * 1e-9)
        R_old = track.T_tracking_object[:3, :3]
        # the free yaw of the measurement must not pull: only its y axis counts
        T = align_yaw(T_measured, symmetry, R_old)
        T = smooth_pose(track.T_tracking_object, T, share, self._config.gate_m / 2.0)
        track.T_tracking_object = canonicalize_yaw(T, symmetry, R_old)
        track.size = blend(track.size, pose.size, share)
        track.score = float(blend(track.score, pose.score, share))
        sure_y, sure_x = blend(track.axis_confidences, pose.axis_confidences, share)
        track.axis_confidences = (float(sure_y), float(sure_x))
        track.seen_ns, track.hits, track.cloud = stamp_ns, track.hits + 1, cloud

    def _report(self, track: _Track, stamp_ns: int) -> TrackedObject:
        """A track as others see it, in the tracking frame."""
        # unseen, an object may have moved, but not so far that it is taken for another before the track is dropped
        unseen_s = (stamp_ns - track.seen_ns) * 1e-9
        drift_m = self._config.gate_m * unseen_s / self._config.max_age_s if unseen_s > 0.0 else 0.0
        return TrackedObject(
            track_id=track.id,
            category=track.category,
            T_frame_object=track.T_tracking_object,
            size=track.size,
            score=track.score,
            covariance=pose_covariance(
                track.T_tracking_object[:3, :3],
                track.size,
                track.score,
                track.axis_confidences,
                self._categories[track.category].symmetry,
                drift_m,
            ),
            age_s=(stamp_ns - track.born_ns) * 1e-9,
            seen=track.seen_ns == stamp_ns,
            cloud=track.cloud,
        )


def _positions(transforms: Iterable[FloatArray]) -> FloatArray:
    """``(N, 3)`` positions of poses."""
    return np.array([T[:3, 3] for T in transforms]).reshape(-1, 3)
