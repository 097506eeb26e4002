"""Statistics of a running pose node: frame counts, latency, rate and pose errors by category."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from clipose_ros.categories import CategorySet, Symmetry
from clipose_ros.geometry.symmetry import rotation_error_deg
from clipose_ros.types import FloatArray

MATCH_WITHIN_M = 0.3
"""Largest distance between a published and a true object that are matched, metres. An unmatched pose has no error."""


@dataclass(frozen=True, slots=True, eq=False)
class PublishedObject:
    """One object of a published detection array.

    Attributes:
        name: Track id, such as ``mug_3``.
        category: Name of the category.
        T_camera_object: ``(4, 4)`` pose, object frame into camera frame, metres.
        size: ``(3,)`` full extent, metres.
        score: Confidence, 0 to 1.
    """

    name: str
    category: str
    T_camera_object: FloatArray
    size: FloatArray
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class TrueObject:
    """Ground truth of one object.

    Attributes:
        category: Name of the category.
        T_camera_object: ``(4, 4)`` true pose, object frame into camera frame, metres.
        handle_visible: False for a mug whose handle is hidden; its yaw error is then ignored.
    """

    category: str
    T_camera_object: FloatArray
    handle_visible: bool = True


@dataclass(frozen=True, slots=True)
class LiveError:
    """Error of a published pose against its matched true object: distance of the centres and rotation angle."""

    translation_cm: float
    rotation_deg: float


def match_errors(
    published: Sequence[PublishedObject], true: Sequence[TrueObject], categories: CategorySet
) -> list[LiveError | None]:
    """Match published objects with true objects of their category and compute the pose errors.

    The assignment is one to one and minimizes the sum of the distances between centres.

    Args:
        published: Published objects of a frame.
        true: True objects of the same frame.
        categories: Categories with their symmetries.

    Returns:
        One entry per published object; None if no free true object lies within ``MATCH_WITHIN_M``.
    """
    errors: list[LiveError | None] = [None] * len(published)
    if not published or not true:
        return errors
    positions = np.array([p.T_camera_object[:3, 3] for p in published])
    distances = np.linalg.norm(positions[:, None] - np.array([t.T_camera_object[:3, 3] for t in true])[None], axis=-1)
    other_category = np.array([[p.category != t.category for t in true] for p in published])
    costs = np.where(other_category | (distances > MATCH_WITHIN_M), 1e3, distances)
    for row, column in zip(*linear_sum_assignment(costs), strict=True):
        if costs[row, column] <= MATCH_WITHIN_M:
            errors[row] = _error(published[row], true[column], categories, float(distances[row, column]))
    return errors


def _error(published: PublishedObject, true: TrueObject, categories: CategorySet, distance_m: float) -> LiveError:
    symmetry = categories[published.category].symmetry if true.handle_visible else Symmetry(axial_y=True)
    angle = rotation_error_deg(published.T_camera_object[:3, :3], true.T_camera_object[:3, :3], symmetry)
    return LiveError(100.0 * distance_m, angle)


@dataclass(frozen=True, slots=True)
class CategorySummary:
    """Statistics of one category.

    Attributes:
        count: Published poses.
        matched: Published poses that were matched with a true object.
        translation_error_cm_median: Median distance of the matched centres; None if nothing was matched.
        rotation_error_deg_median: Median rotation error of the matched poses; None if nothing was matched.
    """

    count: int
    matched: int
    translation_error_cm_median: float | None
    rotation_error_deg_median: float | None


@dataclass(frozen=True, slots=True)
class LiveSummary:
    """Statistics of a run. The attribute names are the keys of ``summary.json``.

    Attributes:
        frames_in: Frames that left the camera.
        frames_posed: Frames with at least one published object.
        dropped: Frames without any answer, not even an empty one.
        rate_hz: Rate of answered frames; None for fewer than two.
        latency_ms_p50: Median time from image stamp to arrival of the answer; None without answers.
        latency_ms_p95: 95th percentile of the same.
        latency_ms_p99: 99th percentile of the same.
        categories: Statistics by name of the category.
    """

    frames_in: int
    frames_posed: int
    dropped: int
    rate_hz: float | None
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    latency_ms_p99: float | None
    categories: Mapping[str, CategorySummary]

    @property
    def frames_answered(self) -> int:
        """Return the number of frames with an answer, empty answers included."""
        return self.frames_in - self.dropped

    @property
    def has_matches(self) -> bool:
        """Return True if any published object was matched with a true one; never the case without ground truth."""
        return any(category.matched for category in self.categories.values())

    @property
    def objects_per_answer(self) -> float:
        """Return the mean number of published objects per answered frame."""
        return sum(category.count for category in self.categories.values()) / max(self.frames_answered, 1)

    def as_record(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, values: Mapping[str, Any]) -> LiveSummary:
        """Build from the values of ``as_record``; other keys are ignored.

        Raises:
            KeyError: A key is missing.
        """
        categories = {name: CategorySummary(**category) for name, category in values["categories"].items()}
        return cls(**{field.name: values[field.name] for field in fields(cls)} | {"categories": categories})


class LiveStatistics:
    """Collects the frames and answers of a run; ``summary`` returns the statistics at any time.

    A frame counts as posed if at least one object was published for it. It counts as dropped if nothing was published,
    not even an empty list: the frame was skipped for a newer one, was lost in transport, or could not be used.
    """

    def __init__(self) -> None:
        self._frames_in: set[int] = set()
        self._answered: dict[int, float] = {}
        self._posed = 0
        self._counts: dict[str, int] = {}
        self._errors: dict[str, list[LiveError]] = {}

    def add_frame(self, stamp_ns: int) -> None:
        """Count a frame that left the camera.

        Args:
            stamp_ns: Stamp of the image, nanoseconds.
        """
        self._frames_in.add(stamp_ns)

    def add_answer(self, stamp_ns: int, published_ns: int, published: Sequence[PublishedObject]) -> None:
        """Count the published objects of a frame; a second answer to the same frame is ignored.

        Args:
            stamp_ns: Stamp of the frame, nanoseconds.
            published_ns: Time of arrival, nanoseconds of the same clock.
            published: Objects of the answer, possibly none.
        """
        if stamp_ns in self._answered:
            return
        self._answered[stamp_ns] = (published_ns - stamp_ns) * 1e-6
        self._posed += bool(published)
        for item in published:
            self._counts[item.category] = self._counts.get(item.category, 0) + 1

    def add_errors(self, published: Sequence[PublishedObject], errors: Iterable[LiveError | None]) -> None:
        """Add the errors of the objects of an answered frame, one entry per object."""
        for item, error in zip(published, errors, strict=True):
            if error is not None:
                self._errors.setdefault(item.category, []).append(error)

    def summary(self) -> LiveSummary:
        """Return the statistics so far.

        Frames later than the last answer are not counted, since their answers may still be on the way.
        """
        last = max(self._answered, default=0)
        known = {stamp for stamp in self._frames_in if stamp <= last} if self._answered else self._frames_in
        frames_in = known | self._answered.keys()
        latencies = list(self._answered.values())
        return LiveSummary(
            frames_in=len(frames_in),
            frames_posed=self._posed,
            dropped=len(frames_in - self._answered.keys()),
            rate_hz=_rate_hz(self._answered),
            latency_ms_p50=_percentile(latencies, 50),
            latency_ms_p95=_percentile(latencies, 95),
            latency_ms_p99=_percentile(latencies, 99),
            categories={name: self._category(name) for name in sorted(self._counts)},
        )

    def _category(self, name: str) -> CategorySummary:
        errors = self._errors.get(name, [])
        return CategorySummary(
            count=self._counts[name],
            matched=len(errors),
            translation_error_cm_median=_percentile([e.translation_cm for e in errors], 50),
            rotation_error_deg_median=_percentile([e.rotation_deg for e in errors], 50),
        )


def _rate_hz(stamps_ns: Iterable[int]) -> float | None:
    """Return stamps per second between the first and the last; None for fewer than two."""
    ordered = sorted(stamps_ns)
    return round((len(ordered) - 1) / (1e-9 * (ordered[-1] - ordered[0])), 3) if len(ordered) > 1 else None


def _percentile(values: Sequence[float], percent: float) -> float | None:
    """Return a percentile rounded to three decimals; None for no values."""
    return round(float(np.percentile(values, percent)), 3) if values else None
