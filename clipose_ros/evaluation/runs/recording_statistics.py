"""Statistics of a processed recording: tracks, rejections, faults, times, errors and the worst frames."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.data.bags.recording import RecordedObject
from clipose_ros.evaluation.metrics.jitter import Jitter, pose_jitter
from clipose_ros.evaluation.runs.live_statistics import LiveError, PublishedObject, TrueObject, match_errors
from clipose_ros.evaluation.runs.recording_poses import ProcessedFrame
from clipose_ros.tracking.published_frame import PublishedFrame
from clipose_ros.types import HANDLE_VISIBLE, ByteArray, FloatArray, RejectionReason

MIN_VISIBLE = 0.5
"""Least visible fraction of a true object that counts as missed if no pose matches it."""
WORST_FRAMES = 6
_BAD_CM, _BAD_DEG = 5.0, 10.0
"""Error, or change from one frame to the next, that counts as much as one rejection."""


@dataclass(slots=True)
class TrackHistory:
    """Poses of one track.

    Attributes:
        category: Name of the category.
        stamps_s: Times since the first frame, seconds.
        poses: Poses ``(4, 4)`` in the published frame.
        scores: Scores.
        errors: Differences from the true poses; None where none matches.
    """

    category: str
    stamps_s: list[float] = field(default_factory=list)
    poses: list[FloatArray] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    errors: list[LiveError | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class WorstFrame:
    """A frame that is worth a look.

    Attributes:
        badness: Larger is worse.
        stamp_s: Time since the first frame, seconds.
        reason: What is bad about it.
        image: ``(H, W, 3)`` annotated image.
    """

    badness: float
    stamp_s: float
    reason: str
    image: ByteArray


@dataclass(frozen=True, slots=True)
class CategoryErrors:
    """Errors of one category against the truth.

    Attributes:
        poses: Published poses.
        matched: Poses with a true object.
        missed: True objects, visible by at least ``MIN_VISIBLE``, without a pose.
        translation_cm: Median error; None without matches.
        translation_cm_p90: 90th percentile.
        rotation_deg: Median error; None without matches.
        rotation_deg_p90: 90th percentile.
    """

    poses: int
    matched: int
    missed: int
    translation_cm: float | None
    translation_cm_p90: float | None
    rotation_deg: float | None
    rotation_deg_p90: float | None


class RecordingStatistics:
    """Collects the results of a recording frame by frame.

    Args:
        categories: Categories with their symmetries.

    Attributes:
        frames: Number of frames.
        posed: Number of frames that could be used.
        with_objects: Number of frames with at least one object.
        faults: Number of frames by the reason why they could not be used.
        rejections: Number of instances without a pose by category and reason.
        details: A measured value of each such reason.
        tracks: Tracks by name.
        times_ms: Times by stage.
        has_truths: True if the recording has true poses.
    """

    def __init__(self, categories: CategorySet) -> None:
        self._categories = categories
        self._start_ns: int | None = None
        self._missed: Counter[str] = Counter()
        self._worst: list[tuple[float, int, WorstFrame]] = []
        self.frames = self.posed = self.with_objects = 0
        self.has_truths = False
        self.faults: Counter[str] = Counter()
        self.rejections: Counter[tuple[str, RejectionReason]] = Counter()
        self.details: dict[tuple[str, RejectionReason], str] = {}
        self.tracks: dict[str, TrackHistory] = {}
        self.times_ms: defaultdict[str, list[float]] = defaultdict(list)

    def add(self, processed: ProcessedFrame) -> Sequence[LiveError | None]:
        """Add a frame; return the error of each of its tracks, None where no truth matches."""
        self.frames += 1
        self._start_ns = processed.stamp_ns if self._start_ns is None else self._start_ns
        for stage, value in processed.times_ms.items():
            self.times_ms[stage].append(value)
        published = processed.published
        if published is None:
            self.faults[processed.fault] += 1
            return []
        self.posed += 1
        self.with_objects += bool(published.tracks)
        for rejection in published.result.rejections:
            key = rejection.category, rejection.reason
            self.rejections[key] += 1
            self.details.setdefault(key, rejection.detail)
        errors = self._match(published, processed.truths)
        stamp_s = self.seconds(processed.stamp_ns)
        for track, error in zip(published.tracks, errors, strict=True):
            history = self.tracks.setdefault(track.name, TrackHistory(track.category))
            history.stamps_s.append(stamp_s)
            history.poses.append(track.T_frame_object)
            history.scores.append(track.score)
            history.errors.append(error)
        return errors

    def seconds(self, stamp_ns: int) -> float:
        """Return the time since the first frame, seconds."""
        return 1e-9 * (stamp_ns - (self._start_ns or 0))

    def keep_if_worst(self, processed: ProcessedFrame, image: ByteArray) -> None:
        """Keep the annotated image of the frame that was added last, if it is among the worst."""
        badness, reason = self._judge(processed)
        entry = badness, -self.frames, WorstFrame(badness, self.seconds(processed.stamp_ns), reason, image)
        if badness <= 0.0:
            return
        if len(self._worst) < WORST_FRAMES:
            heapq.heappush(self._worst, entry)
        elif entry[:2] > self._worst[0][:2]:
            heapq.heapreplace(self._worst, entry)

    @property
    def worst_frames(self) -> list[WorstFrame]:
        """Return the worst frames, the worst first."""
        return [frame for *_, frame in sorted(self._worst, key=lambda item: item[:2], reverse=True)]

    def jitter(self) -> dict[str, Jitter]:
        """Return the spread of the poses of each track with at least two of them, in the published frame."""
        return {
            name: pose_jitter(np.array(track.poses), self._categories[track.category].symmetry.axial_y)
            for name, track in self.tracks.items()
            if len(track.poses) > 1
        }

    def errors(self) -> dict[str, CategoryErrors]:
        """Return the errors by category; empty if the truth is not known."""
        if not self.has_truths:
            return {}
        names = sorted({track.category for track in self.tracks.values()} | set(self._missed))
        return {name: self._category_errors(name) for name in names}

    def as_record(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "frames": self.frames,
            "frames_posed": self.posed,
            "frames_with_objects": self.with_objects,
            "faults": dict(self.faults),
            "rejections": [
                {"category": category, "reason": reason.name.lower(), "count": count, "example": self.details[key]}
                for key, count in self.rejections.most_common()
                for category, reason in [key]
            ],
            "tracks": {
                name: {"category": track.category, "poses": len(track.poses)} for name, track in self.tracks.items()
            },
            "jitter": {name: asdict(value) for name, value in self.jitter().items()},
            "times_ms_median": {stage: float(np.median(values)) for stage, values in self.times_ms.items()},
            "errors": {name: asdict(value) for name, value in self.errors().items()},
        }

    def _match(
        self, published: PublishedFrame, truths: tuple[RecordedObject, ...] | None
    ) -> Sequence[LiveError | None]:
        tracks = published.tracks_camera
        if truths is None:
            return [None] * len(tracks)
        self.has_truths = True
        posed = [PublishedObject(t.name, t.category, t.T_frame_object, t.size, t.score) for t in tracks]
        true = [TrueObject(t.category, t.T_camera_object, t.scores.get(HANDLE_VISIBLE, 1.0) > 0.5) for t in truths]
        errors = match_errors(posed, true, self._categories)
        found = Counter(item.category for item, error in zip(posed, errors, strict=True) if error is not None)
        visible = Counter(t.category for t in truths if t.scores[t.category] >= MIN_VISIBLE)
        self._missed.update(visible - found)
        return errors

    def _judge(self, processed: ProcessedFrame) -> tuple[float, str]:
        """Return how bad the last frame is, and why."""
        assert processed.published is not None
        rejected = [r for r in processed.published.result.rejections if r.reason is not RejectionReason.LOW_SCORE]
        badness, reasons = float(len(rejected)), [f"{r.category}: {r.short_reason}" for r in rejected[:3]]
        for track in processed.published.tracks:
            history = self.tracks[track.name]
            error = history.errors[-1]
            if error is not None:
                worse = error.translation_cm / _BAD_CM + error.rotation_deg / _BAD_DEG
                text = f"{track.name}: {error.translation_cm:.1f} cm, {error.rotation_deg:.0f}° off"
            elif self.has_truths and processed.truths is not None:
                worse, text = 1.0, f"{track.name}: no true object"
            else:
                worse, text = self._step(history, track.name)
            if worse >= 1.0:
                badness += worse
                reasons.append(text)
        return badness, "; ".join(reasons)

    def _step(self, history: TrackHistory, name: str) -> tuple[float, str]:
        """Return how much a track moved since the frame before."""
        if len(history.poses) < 2:
            return 0.0, ""
        axial = self._categories[history.category].symmetry.axial_y
        step = pose_jitter(np.array(history.poses[-2:]), axial)
        moved_cm, turned_deg = 0.1 * step.position_step_mm, step.angle_step_deg
        return moved_cm / _BAD_CM + turned_deg / _BAD_DEG, f"{name}: jumps by {moved_cm:.1f} cm, {turned_deg:.0f}°"

    def _category_errors(self, category: str) -> CategoryErrors:
        tracks = [track for track in self.tracks.values() if track.category == category]
        matched = [e for e in itertools.chain.from_iterable(track.errors for track in tracks) if e is not None]
        poses = sum(len(track.poses) for track in tracks)
        if not matched:
            return CategoryErrors(poses, 0, self._missed[category], None, None, None, None)
        cm, deg = (np.array([getattr(e, name) for e in matched]) for name in ("translation_cm", "rotation_deg"))
        figures = (float(np.percentile(values, q)) for values in (cm, deg) for q in (50, 90))
        return CategoryErrors(poses, len(matched), self._missed[category], *figures)


def stage_table(times_ms: Mapping[str, Sequence[float]]) -> list[tuple[str, float, float]]:
    """Return median and 95th percentile of each stage, milliseconds."""
    table = []
    for name, values in times_ms.items():
        median, high = np.percentile(values, [50, 95])
        table.append((name, float(median), float(high)))
    return table
