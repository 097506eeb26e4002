"""Pose errors of given objects and the percentage within the usual thresholds.

The percentage is over all given objects and ignores detection scores, so it is not the average precision of the NOCS
protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from clipose_ros.categories import CategorySet, Symmetry
from clipose_ros.geometry.symmetry import rotation_error_deg
from clipose_ros.types import FloatArray

THRESHOLDS = ((5.0, 2.0), (5.0, 5.0), (10.0, 2.0), (10.0, 5.0), (10.0, 10.0))
"""Thresholds of rotation and translation error: degrees and centimetres."""


@dataclass(frozen=True)
class PoseError:
    """Errors of one pose.

    Attributes:
        category: Name of the category.
        rotation_deg: Rotation error, degrees; for objects symmetric about y the angle between the y axes.
        translation_cm: Distance between the centres, centimetres.
        size_percent: Relative size error, mean over the three sides, per cent.
    """

    category: str
    rotation_deg: float
    translation_cm: float
    size_percent: float


@dataclass(frozen=True)
class Accuracy:
    """Errors of one category, or the mean over categories.

    Attributes:
        count: Number of objects.
        rotation_deg_median: Median rotation error, degrees.
        translation_cm_median: Median distance between the centres, centimetres.
        size_percent_median: Median relative size error, per cent.
        within: Percentage of objects within each threshold, by name such as ``5deg2cm``.
    """

    count: int
    rotation_deg_median: float
    translation_cm_median: float
    size_percent_median: float
    within: dict[str, float]


def pose_error(
    category: str,
    symmetry: Symmetry,
    T_estimate: FloatArray,
    T_true: FloatArray,
    size: FloatArray,
    true_size: FloatArray,
) -> PoseError:
    """Compute the errors of a pose ``(4, 4)`` and a size ``(3,)`` against the truth, all in metres."""
    return PoseError(
        category,
        rotation_error_deg(T_estimate[:3, :3], T_true[:3, :3], symmetry),
        100.0 * float(np.linalg.norm(T_estimate[:3, 3] - T_true[:3, 3])),
        100.0 * float(np.mean(np.abs(size - true_size) / true_size)),
    )


def summarize(errors: Sequence[PoseError], categories: CategorySet) -> dict[str, Accuracy]:
    """Return the accuracy by category in the order of the set, and the mean over occurring categories as ``mean``."""
    table = {}
    for name in categories.names:
        if chosen := [e for e in errors if e.category == name]:
            table[name] = _accuracy(chosen)
    if table:
        rows = list(table.values())
        table["mean"] = Accuracy(
            count=sum(row.count for row in rows),
            rotation_deg_median=float(np.mean([row.rotation_deg_median for row in rows])),
            translation_cm_median=float(np.mean([row.translation_cm_median for row in rows])),
            size_percent_median=float(np.mean([row.size_percent_median for row in rows])),
            within={key: float(np.mean([row.within[key] for row in rows])) for key in rows[0].within},
        )
    return table


def as_records(table: Mapping[str, Accuracy]) -> dict[str, object]:
    """Return plain values for JSON."""
    return {name: asdict(row) for name, row in table.items()}


def _accuracy(errors: Sequence[PoseError]) -> Accuracy:
    rotation = np.array([e.rotation_deg for e in errors])
    translation = np.array([e.translation_cm for e in errors])
    within = {
        f"{degrees:g}deg{cm:g}cm": 100.0 * float(np.mean((rotation <= degrees) & (translation <= cm)))
        for degrees, cm in THRESHOLDS
    }
    size = float(np.median([e.size_percent for e in errors]))
    return Accuracy(len(errors), float(np.median(rotation)), float(np.median(translation)), size, within)
