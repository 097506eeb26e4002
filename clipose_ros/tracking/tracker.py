"""Tracker that gives the poses of single frames identities over time and estimates poses from all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import TrackingConfig
from clipose_ros.geometry.se3 import invert_transform, make_transform, rotate_covariance, transform_points
from clipose_ros.tracking.association import associate
from clipose_ros.tracking.covariance import pose_covariance
from clipose_ros.tracking.measurement_noise import MeasurementNoise, estimate_noise, silhouette_coverage
from clipose_ros.tracking.track import SIZE_HITS, Measurement, MotionLimits, Track
from clipose_ros.types import TIME_JUMP_NS, FloatArray, FrameResult, ObjectCloud, PoseEstimate, TrackedObject

_TIME_SLACK_S = 1e-3  # stamps of cameras are not exact


@dataclass(frozen=True, slots=True)
class TrackCounts:
    """Numbers of tracks after a frame.

    Attributes:
        coasting: Confirmed tracks without a detection in this frame.
        lost: Confirmed tracks that this frame deleted.
    """

    coasting: int = 0
    lost: int = 0


class Tracker:
    """Tracks objects over frames: association by category, distance and size, estimation of the pose, lifetimes.

    Args:
        config: Settings of the tracker.
        categories: Categories, for their symmetries.
    """

    def __init__(self, config: TrackingConfig, categories: CategorySet) -> None:
        self._config, self._limits = config, MotionLimits.from_config(config)
        self._axial = {category.name: category.symmetry.axial_y for category in categories}
        self.reset()

    def reset(self) -> None:
        """Delete all tracks and restart the track ids."""
        self._tracks: list[Track] = []
        self._next_ids = dict.fromkeys(self._axial, 1)
        self._now_ns: int | None = None
        self._epoch_ns = 0
        self._counts = TrackCounts()

    def reconfigure(self, config: TrackingConfig) -> None:
        """Apply settings from the next update on. A change of the tracking frame deletes all tracks."""
        if config.frame != self._config.frame:
            self.reset()
        self._config, self._limits = config, MotionLimits.from_config(config)

    @property
    def track_counts(self) -> TrackCounts:
        """Return the numbers of tracks after the last frame."""
        return self._counts

    def compute_doubt(self, clouds: Sequence[ObjectCloud], T_tracking_camera: FloatArray) -> FloatArray:
        """Compute how uncertain the pose of each object of a frame is before it is measured.

        Args:
            clouds: Point clouds of the objects, not yet posed.
            T_tracking_camera: ``(4, 4)``, camera into the tracking frame.

        Returns:
            ``(B,)``: 0 for objects of settled tracks; about 1 for objects without a track; between for new, doubtful,
            moving and contradicted tracks.
        """
        doubt = np.ones(len(clouds))
        if not clouds:
            return doubt
        # the median point lies on the surface, up to half of the object away from its centre
        middles = np.stack([np.median(cloud.points_camera, axis=0) for cloud in clouds])
        positions = np.array([track.position.value for track in self._tracks])
        sizes = [float(np.linalg.norm(track.best.size.value)) for track in self._tracks]
        reach_m = self._config.gate_m + 0.5 * max(sizes, default=0.0)
        comparable = [[track.category == cloud.instance.category for cloud in clouds] for track in self._tracks]
        middles = transform_points(T_tracking_camera, middles)
        for i, j in associate(positions, middles, reach_m, np.array(comparable)):
            track = self._tracks[i]
            doubt[j] = 0.0 if track.settled else 0.5 + 0.4 * (1.0 - track.probability)
        # of equal doubt the nearer object comes first, in whatever order they are given
        distance = np.linalg.norm(middles - T_tracking_camera[:3, 3], axis=1)
        return np.asarray(np.where(doubt > 0.0, doubt - 1e-3 * distance / (1.0 + distance), 0.0))

    def update(
        self, result: FrameResult, stamp_ns: int, T_tracking_camera: FloatArray, *, confirm: bool = False
    ) -> list[TrackedObject]:
        """Update the tracks with the poses of one frame.

        A stamp more than ``TIME_JUMP_NS`` before the last one deletes all tracks first: a bag loops or a simulation
        restarts. A smaller step back means that frames arrived out of order; the frame gets the last stamp and adds no
        evidence.

        Args:
            result: Poses in the camera frame.
            stamp_ns: Time of the frame, nanoseconds.
            T_tracking_camera: ``(4, 4)``, camera into the tracking frame at that time; the identity to track in the
                camera frame.
            confirm: Report objects on their first observation, and those that this frame observed with their poses of
                this frame alone.

        Returns:
            Reported tracks in the camera frame, sorted by category and id. ``seen`` tells those that this frame
            observed from those that are carried on. Tracks that this frame did not observe and that are unseen for
            longer than ``max_age_s`` are gone.
        """
        if self._now_ns is not None and stamp_ns < self._now_ns - TIME_JUMP_NS:
            self.reset()
        if self._now_ns is None:
            self._epoch_ns = stamp_ns
        late = self._now_ns is not None and stamp_ns < self._now_ns
        now_ns = self._now_ns = max(stamp_ns, self._now_ns or stamp_ns)
        now_s = (now_ns - self._epoch_ns) * 1e-9
        for track in self._tracks:
            track.predict(now_s, self._limits)
        measured = self._measure(result, now_s, T_tracking_camera)
        pairs = self._associate(measured)
        for i, j in pairs:
            self._tracks[i].update(measured[j], self._limits, late)
        # only now: where frames are rarer than this age, the next one must still find the tracks that it continues
        before = self._tracks
        self._tracks = [t for t in before if t.seen or now_s - t.last.stamp_s <= self._config.max_age_s + _TIME_SLACK_S]
        lost = sum(t.hits >= self._config.min_hits for t in before) - sum(
            t.hits >= self._config.min_hits for t in self._tracks
        )
        known = {j for _, j in pairs}
        self._begin([item for j, item in enumerate(measured) if j not in known])
        confirmed = [t for t in self._tracks if t.hits >= self._config.min_hits]
        self._counts = TrackCounts(sum(not t.seen for t in confirmed), lost)
        reported = sorted(self._tracks if confirm else confirmed, key=lambda t: (t.category, t.id))
        return self._report(reported, now_s, invert_transform(T_tracking_camera), single=confirm)

    def _measure(self, result: FrameResult, now_s: float, T_tracking_camera: FloatArray) -> list[Measurement]:
        """Transform the poses of a frame into the tracking frame and estimate their noise."""
        poses = result.poses
        if not poses:
            return []
        T = T_tracking_camera @ np.stack([pose.T_camera_object for pose in poses])
        coverage = [
            silhouette_coverage(cloud.points_camera, pose.T_camera_object, pose.size)
            for pose, cloud in zip(poses, result.clouds, strict=True)
        ]
        axial = np.array([self._axial[pose.category] for pose in poses])
        noise = estimate_noise(
            np.stack([pose.size for pose in poses]),
            np.array([pose.axis_confidences for pose in poses]),
            axial,
            np.array(coverage),
        )
        noise = _with_corrected_rotations(noise, poses)
        camera = T_tracking_camera[:3, 3]
        return [
            Measurement(pose, cloud, T[i], camera, noise.row(i), now_s)
            for i, (pose, cloud) in enumerate(zip(poses, result.clouds, strict=True))
        ]

    def _associate(self, measured: Sequence[Measurement]) -> list[tuple[int, int]]:
        """Return index pairs of tracks and of the measurements assigned to them."""
        if not self._tracks or not measured:
            return []
        comparable = [[_may_continue(track, item) for item in measured] for track in self._tracks]
        positions = np.stack([track.position.value for track in self._tracks])
        return associate(positions, np.stack([m.position for m in measured]), self._config.gate_m, np.array(comparable))

    def _begin(self, measured: Sequence[Measurement]) -> None:
        """Start tracks from unassigned measurements."""
        for item in measured:
            category = item.pose.category
            self._tracks.append(Track.begin(self._next_ids[category], item, self._axial[category]))
            self._next_ids[category] += 1

    def _report(
        self, tracks: Sequence[Track], now_s: float, T_camera_tracking: FloatArray, single: bool
    ) -> list[TrackedObject]:
        """Convert tracks to results in the camera frame."""
        R = T_camera_tracking[:3, :3]
        objects = []
        for track in tracks:
            alone = track.seen and (single or self._config.smoothing <= 0.0)
            T, size, score, covariance = _last_pose(track) if alone else _estimated_pose(track)
            # unseen, an object may have moved, but not so far that it is taken for another before the track is dropped
            drift_m = self._config.gate_m * (now_s - track.last.stamp_s) / max(self._config.max_age_s, 1e-9)
            covariance[[0, 1, 2], [0, 1, 2]] += drift_m**2
            objects.append(
                TrackedObject(
                    track_id=track.id, category=track.category, T_frame_object=T_camera_tracking @ T, size=size,
                    score=score, covariance=rotate_covariance(covariance, R), age_s=now_s - track.born_s,
                    seen=track.seen, cloud=track.last.cloud if track.seen else None,
                )
            )  # fmt: skip
        return objects


def _with_corrected_rotations(noise: MeasurementNoise, poses: Sequence[PoseEstimate]) -> MeasurementNoise:
    """Return the noise of poses ``(B,)`` with the variances of the rotations that were corrected."""
    variance = noise.rotation.total.copy()
    for i, pose in enumerate(poses):
        if pose.rotation_variance is not None:
            variance[i] = pose.rotation_variance
    return noise.with_rotation(variance)


def _may_continue(track: Track, measured: Measurement) -> bool:
    """Return True if a measurement can belong to a track.

    The category is the same, and the size has not contradicted the track's for two thirds of a second.
    """
    if track.category != measured.pose.category:
        return False
    return not (track.resized >= SIZE_HITS and track.contradicts_size(measured))


def _estimated_pose(track: Track) -> tuple[FloatArray, FloatArray, float, FloatArray]:
    """Return pose, size, score and covariance from all measurements; the doubt between rotations lowers the score."""
    return track.T_tracking_object, track.best.size.value.copy(), track.score * track.probability, track.covariance()


def _last_pose(track: Track) -> tuple[FloatArray, FloatArray, float, FloatArray]:
    """Return pose, size, score and covariance from the last measurement alone."""
    last = track.last
    covariance = pose_covariance(track.last_rotation, last.noise.position.total, last.noise.rotation.total)
    return make_transform(track.last_rotation, last.position), last.pose.size, last.pose.score, covariance
