"""Figures of a running system: what went in, what came out, how late and how far off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from clipose_ros.categories import CategorySet, Symmetry
from clipose_ros.geometry.symmetry import rotation_error_deg
from clipose_ros.types import FloatArray

MATCH_WITHIN_M = 0.3
"""A pose farther than this from every true object of its category gets no error; it is counted all the same."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenObject:
    """A published object.

    Attributes:
        name: Its id over frames, such as ``mug_3``.
        category: Name of the category.
        T_camera_object: ``(4, 4)`` pose.
        size: ``(3,)`` full extent, metres.
        score: In [0, 1].
    """

    name: str
    category: str
    T_camera_object: FloatArray
    size: FloatArray
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class TrueObject:
    """An object as it really is, in the same camera frame. While a mug's handle is hidden, its yaw is not judged."""

    category: str
    T_camera_object: FloatArray
    handle_visible: bool = True


@dataclass(frozen=True, slots=True)
class LiveError:
    """How far a published pose is off."""

    translation_cm: float
    rotation_deg: float


def match_errors(
    seen: Sequence[SeenObject], true: Sequence[TrueObject], categories: CategorySet
) -> list[LiveError | None]:
    """Errors of published objects against the nearest true ones of their category, one to one.

    Args:
        seen: Published objects of a frame.
        true: True objects of the same frame.
        categories: Where symmetries come from.

    Returns:
        One entry per seen object; None where no true object lies within ``MATCH_WITHIN_M``.
    """
    errors: list[LiveError | None] = [None] * len(seen)
    if not seen or not true:
        return errors
    positions = np.array([s.T_camera_object[:3, 3] for s in seen])
    distances = np.linalg.norm(positions[:, None] - np.array([t.T_camera_object[:3, 3] for t in true])[None], axis=-1)
    foreign = np.array([[s.category != t.category for t in true] for s in seen])
    costs = np.where(foreign | (distances > MATCH_WITHIN_M), 1e3, distances)
    for row, column in zip(*linear_sum_assignment(costs), strict=True):
        if costs[row, column] <= MATCH_WITHIN_M:
            errors[row] = _error(seen[row], true[column], categories, float(distances[row, column]))
    return errors


def _error(seen: SeenObject, true: TrueObject, categories: CategorySet, distance_m: float) -> LiveError:
    symmetry = categories[seen.category].symmetry if true.handle_visible else Symmetry(axial_y=True)
    angle = rotation_error_deg(seen.T_camera_object[:3, :3], true.T_camera_object[:3, :3], symmetry)
    return LiveError(100.0 * distance_m, angle)


class LiveStatistics:
    """Collects over a run; ``summary`` gives the figures at any time.

    A frame counts as posed when at least one object was published for it, as dropped when nothing was, not even an
    empty list: it was skipped for a newer one, lost on the way, or could not be used.
    """

    def __init__(self) -> None:
        self._frames_in: set[int] = set()
        self._answered: dict[int, float] = {}
        self._posed = 0
        self._counts: dict[str, int] = {}
        self._errors: dict[str, list[LiveError]] = {}

    def frame(self, stamp_ns: int) -> None:
        """A frame left the camera."""
        self._frames_in.add(stamp_ns)

    def answer(self, stamp_ns: int, published_ns: int, seen: Sequence[SeenObject]) -> None:
        """The objects of a frame were published, at that time of the same clock."""
        if stamp_ns in self._answered:
            return
        self._answered[stamp_ns] = (published_ns - stamp_ns) * 1e-6
        self._posed += bool(seen)
        for item in seen:
            self._counts[item.category] = self._counts.get(item.category, 0) + 1

    def errors(self, seen: Sequence[SeenObject], errors: Iterable[LiveError | None]) -> None:
        """Errors of the objects of an answered frame."""
        for item, error in zip(seen, errors, strict=True):
            if error is not None:
                self._errors.setdefault(item.category, []).append(error)

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON; ``rate_hz`` is of answered frames. None where there are too few for a figure.

        Frames later than the last answer are not counted: they may still be on their way.
        """
        last = max(self._answered, default=0)
        known = {stamp for stamp in self._frames_in if stamp <= last} if self._answered else self._frames_in
        frames_in = known | self._answered.keys()
        latencies = list(self._answered.values())
        return {
            "frames_in": len(frames_in),
            "frames_posed": self._posed,
            "dropped": len(frames_in - self._answered.keys()),
            "rate_hz": _rate_hz(self._answered),
            "latency_ms_p50": _percentile(latencies, 50),
            "latency_ms_p95": _percentile(latencies, 95),
            "latency_ms_p99": _percentile(latencies, 99),
            "categories": {name: self._category(name) for name in sorted(self._counts)},
        }

    def _category(self, name: str) -> Mapping[str, Any]:
        errors = self._errors.get(name, [])
        return {
            "count": self._counts[name],
            "matched": len(errors),
            "translation_error_cm_median": _percentile([e.translation_cm for e in errors], 50),
            "rotation_error_deg_median": _percentile([e.rotation_deg for e in errors], 50),
        }


def _rate_hz(stamps_ns: Iterable[int]) -> float | None:
    """Stamps per second between the first and the last, None of fewer than two."""
    ordered = sorted(stamps_ns)
    return round((len(ordered) - 1) / (1e-9 * (ordered[-1] - ordered[0])), 3) if len(ordered) > 1 else None


def _percentile(values: Sequence[float], percent: float) -> float | None:
    """A percentile to three decimals, None of nothing."""
    return round(float(np.percentile(values, percent)), 3) if values else None
