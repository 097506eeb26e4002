"""Fusion of the tracks of several cameras that see the same objects.

The tracks of each camera are filtered already. A further filter over time would count them twice, so the newest
estimate of each camera counts once. Independent estimates x_i of one pose with covariances C_i are fused to::

    C = (sum C_i^-1)^-1
    x = C sum C_i^-1 x_i

Rotations are fused as turns about the fixed axes of the frame, relative to the most certain one. A camera whose
rotation contradicts the most certain one (front and back, handle on the other side) does not count for the rotation.

The cameras take their images at different times. The merged pose holds for the earliest of their newest images; tracks
are interpolated between the images before and after it.

References:
    Bar-Shalom, Li, Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001 (fusion of tracks).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from clipose_ros.geometry.se3 import exp_so3, log_so3, make_transform
from clipose_ros.geometry.symmetry import align_yaw
from clipose_ros.tracking.association import associate
from clipose_ros.types import TIME_JUMP_NS, FloatArray, PosedObject, TrackedObject

CONTRADICTION = 16.3
"""Squared Mahalanobis distance beyond which two rotations contradict each other: 0.1 % of correct ones do."""
MAX_FRAMES = 30
"""Number of images of a camera that are kept for the interpolation."""
MAX_CAMERAS = 16
"""Largest number of cameras."""
_MIN_VARIANCE = 1e-10
_DRIFT_M_S = 0.05
"""Growth of the standard deviation of a position that is older than the merged pose, m/s."""


@dataclass(frozen=True, slots=True)
class MergeLimits:
    """Limits of the fusion.

    Attributes:
        gate_m: Largest distance of two tracks of one object, metres.
        timeout_s: Time without images after which a camera does not count, seconds.
        max_age_s: Time without a track of any camera after which an object is deleted, seconds.
    """

    gate_m: float = 0.12
    timeout_s: float = 0.5
    max_age_s: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class MatchedTracks:
    """Tracks of one object.

    Attributes:
        merged: The fused object in the common frame.
        cameras: Track of each camera that sees the object, in the common frame, at the time of the fusion.
    """

    merged: TrackedObject
    cameras: Mapping[str, PosedObject]


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """Tracks of one image of one camera, by name."""

    stamp_ns: int
    tracks: Mapping[str, PosedObject]


@dataclass(frozen=True, slots=True, eq=False)
class _Estimate:
    """Estimate of one camera at the time of the fusion: ``PosedObject``."""

    name: str
    category: str
    score: float
    T_frame_object: FloatArray
    size: FloatArray
    covariance: FloatArray


@dataclass(slots=True, eq=False)
class _Identity:
    """An object over time: its id, its place, and the time at which it was last seen."""

    track_id: int
    category: str
    born_ns: int
    seen_ns: int
    position: FloatArray


@dataclass(slots=True, eq=False)
class TrackMerger:
    """Merges the tracks of cameras into objects with ids of their own.

    Attributes:
        axial: Whether the turn about y is free, by category; unknown categories are not axially symmetric.
        limits: Limits.
    """

    axial: Mapping[str, bool]
    limits: MergeLimits
    _frames: dict[str, deque[_Frame]] = field(default_factory=dict)
    _identities: list[_Identity] = field(default_factory=list)
    _next_id: int = 1
    _merged_ns: int = 0

    def add(self, camera: str, stamp_ns: int, tracks: Sequence[PosedObject]) -> None:
        """Take the tracks of an image, in the common frame.

        A stamp more than ``TIME_JUMP_NS`` before the last one of that camera starts everything anew. Images out of
        order are left out.
        """
        frames = self._frames.setdefault(camera, deque(maxlen=MAX_FRAMES))
        if frames and stamp_ns < frames[-1].stamp_ns - TIME_JUMP_NS:
            self.reset()
            frames = self._frames.setdefault(camera, deque(maxlen=MAX_FRAMES))
        if not frames or stamp_ns > frames[-1].stamp_ns:
            frames.append(_Frame(stamp_ns, {track.name: track for track in tracks}))

    def reset(self) -> None:
        """Forget all images and objects."""
        self._frames.clear()
        self._identities.clear()
        self._next_id = 1
        self._merged_ns = 0

    def lag_s(self) -> dict[str, float]:
        """Return how far the newest image of each camera is behind the newest of all, seconds."""
        newest = {camera: frames[-1].stamp_ns for camera, frames in self._frames.items() if frames}
        latest = max(newest.values(), default=0)
        return {camera: (latest - stamp) * 1e-9 for camera, stamp in newest.items()}

    def merge(self) -> tuple[int, list[MatchedTracks]] | None:
        """Fuse the tracks at the earliest of the newest images of the cameras that are not silent.

        Returns:
            Stamp, nanoseconds, and the objects sorted by category and id; None if nothing is newer than the last
            result.
        """
        live = [camera for camera, lag_s in self.lag_s().items() if lag_s <= self.limits.timeout_s]
        stamp_ns = min((self._frames[camera][-1].stamp_ns for camera in live), default=0)
        if stamp_ns <= self._merged_ns:
            return None
        self._merged_ns = stamp_ns
        groups: list[dict[str, PosedObject]] = []
        for camera in sorted(live):
            self._group(groups, camera, _at(self._frames[camera], stamp_ns))
        named = self._name([fuse(list(group.values()), self.axial) for group in groups], stamp_ns)
        matched = [MatchedTracks(item, group) for item, group in zip(named, groups, strict=True)]
        return stamp_ns, sorted(matched, key=lambda each: (each.merged.category, each.merged.track_id))

    def _group(self, groups: list[dict[str, PosedObject]], camera: str, tracks: Sequence[PosedObject]) -> None:
        """Assign the tracks of a camera to the objects that the cameras before it have seen; others are new objects."""
        members = [list(group.values()) for group in groups]
        positions = np.array([np.mean([_position(t) for t in each], axis=0) for each in members]).reshape(-1, 3)
        comparable = np.array([[each[0].category == t.category for t in tracks] for each in members], dtype=bool)
        pairs = associate(positions, _positions(tracks), self.limits.gate_m, comparable)
        for i, j in pairs:
            groups[i][camera] = tracks[j]
        known = {j for _, j in pairs}
        groups += [{camera: track} for j, track in enumerate(tracks) if j not in known]

    def _name(self, items: Sequence[TrackedObject], stamp_ns: int) -> list[TrackedObject]:
        """Return fused objects with the ids of the nearest known objects of their categories, or with new ones."""
        limit_ns = stamp_ns - self.limits.max_age_s * 1e9
        self._identities = [each for each in self._identities if each.seen_ns >= limit_ns]
        before = self._identities.copy()
        comparable = np.array([[each.category == item.category for item in items] for each in before], dtype=bool)
        positions = np.array([each.position for each in before]).reshape(-1, 3)
        known = {j: before[i] for i, j in associate(positions, _positions(items), self.limits.gate_m, comparable)}
        named = []
        for j, item in enumerate(items):
            identity = known.get(j)
            if identity is None:
                identity = _Identity(self._next_id, item.category, stamp_ns, stamp_ns, _position(item))
                self._next_id += 1
                self._identities.append(identity)
            identity.seen_ns, identity.position = stamp_ns, _position(item)
            named.append(replace(item, track_id=identity.track_id, age_s=(stamp_ns - identity.born_ns) * 1e-9))
        return named


def fuse(tracks: Sequence[PosedObject], axial: Mapping[str, bool]) -> TrackedObject:
    """Fuse tracks of one object, at least one, of one category; the id of the result is 0.

    Args:
        tracks: Tracks of different cameras in one frame.
        axial: Whether the turn about y is free, by category.
    """
    is_axial = axial.get(tracks[0].category, False)
    covariances = np.stack([0.5 * (t.covariance + t.covariance.T) for t in tracks])
    position_information = _invert(covariances[:, :3, :3])
    position_covariance = _invert(position_information.sum(axis=0))
    position = position_covariance @ np.einsum("nij,nj->i", position_information, _positions(tracks))
    R, rotation_covariance = _fuse_rotations(tracks, covariances[:, 3:, 3:], is_axial)
    weights = 1.0 / np.trace(covariances[:, :3, :3], axis1=1, axis2=2).clip(_MIN_VARIANCE)
    size = np.average([_size(t, is_axial) for t in tracks], axis=0, weights=weights)
    covariance = np.zeros((6, 6))
    covariance[:3, :3], covariance[3:, 3:] = position_covariance, rotation_covariance
    score = max(t.score for t in tracks)
    return TrackedObject(0, tracks[0].category, make_transform(R, position), size, score, covariance, 0.0, seen=True)


def _fuse_rotations(
    tracks: Sequence[PosedObject], covariances: FloatArray, is_axial: bool
) -> tuple[FloatArray, FloatArray]:
    """Return the fused rotation ``(3, 3)`` and its covariance ``(3, 3)`` about the fixed axes."""
    best = int(np.argmin(np.linalg.det(covariances + _MIN_VARIANCE * np.eye(3))))
    reference = tracks[best].T_frame_object[:3, :3]
    turns = []
    for track in tracks:
        T = align_yaw(track.T_frame_object, is_axial, reference)
        turns.append(log_so3(T[:3, :3] @ reference.T))
    turn = np.array(turns)
    distance = np.einsum("ni,nij,nj->n", turn, _invert(covariances + covariances[best]), turn)
    agrees = distance <= CONTRADICTION
    agrees[best] = True
    information = _invert(covariances[agrees])
    covariance = _invert(information.sum(axis=0))
    mean = covariance @ np.einsum("nij,nj->i", information, turn[agrees])
    return exp_so3(mean) @ reference, covariance


def _at(frames: Sequence[_Frame], stamp_ns: int) -> list[PosedObject]:
    """Return the tracks of a camera at a time, interpolated between the images before and after it."""
    before = max((f for f in frames if f.stamp_ns <= stamp_ns), key=lambda f: f.stamp_ns, default=None)
    after = min((f for f in frames if f.stamp_ns >= stamp_ns), key=lambda f: f.stamp_ns, default=None)
    if before is None or after is None or before is after:
        nearest = before or after
        assert nearest is not None
        return [_aged(t, abs(stamp_ns - nearest.stamp_ns) * 1e-9) for t in nearest.tracks.values()]
    share = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
    nearest, gap_s = (before, share) if share <= 0.5 else (after, 1.0 - share)
    gap_s *= (after.stamp_ns - before.stamp_ns) * 1e-9
    found: list[PosedObject] = []
    for name, track in nearest.tracks.items():
        if name in before.tracks and name in after.tracks:
            found.append(_interpolate(before.tracks[name], after.tracks[name], share))
        else:
            found.append(_aged(track, gap_s))
    return found


def _interpolate(a: PosedObject, b: PosedObject, share: float) -> PosedObject:
    """Return a track between two images; ``share`` 0 is the first."""
    R_a, R_b = a.T_frame_object[:3, :3], b.T_frame_object[:3, :3]
    R = exp_so3(share * log_so3(R_b @ R_a.T)) @ R_a
    T = make_transform(R, (1.0 - share) * _position(a) + share * _position(b))
    near = a if share <= 0.5 else b
    return _Estimate(near.name, near.category, near.score, T, near.size, near.covariance)


def _aged(track: PosedObject, age_s: float) -> PosedObject:
    """Return a track of another time, whose position is less certain."""
    covariance = track.covariance.copy()
    covariance[[0, 1, 2], [0, 1, 2]] += (_DRIFT_M_S * age_s) ** 2
    return _Estimate(track.name, track.category, track.score, track.T_frame_object, track.size, covariance)


def _size(track: PosedObject, is_axial: bool) -> FloatArray:
    """Return the extent of a track; that of an axially symmetric object has one diameter."""
    if not is_axial:
        return track.size
    diameter = 0.5 * (track.size[0] + track.size[2])
    return np.array([diameter, track.size[1], diameter])


def _invert(matrices: FloatArray) -> FloatArray:
    """Invert covariances ``(..., 3, 3)``, which may be singular."""
    return np.asarray(np.linalg.inv(matrices + _MIN_VARIANCE * np.eye(3)))


def _position(track: PosedObject) -> FloatArray:
    return track.T_frame_object[:3, 3]


def _positions(tracks: Sequence[PosedObject]) -> FloatArray:
    return np.array([_position(track) for track in tracks]).reshape(-1, 3)
