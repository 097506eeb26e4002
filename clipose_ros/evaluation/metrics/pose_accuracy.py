"""Pose errors of a set of objects, and how many stay below the field's thresholds.

Accuracy here is the share of given objects posed within a threshold: it knows no detection score, so it is not the
NOCS protocol's AP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from clipose_ros.categories import CategorySet, Symmetry
from clipose_ros.geometry.symmetry import rotation_error_deg
from clipose_ros.types import FloatArray

THRESHOLDS = ((5.0, 2.0), (5.0, 5.0), (10.0, 2.0), (10.0, 5.0), (10.0, 10.0))
"""Degrees and centimetres."""


@dataclass(frozen=True)
class PoseError:
    """How far one pose is off.

    Attributes:
        category: Name of the category.
        rotation_deg: Of the y axis alone where any turn about y looks the same.
        translation_cm: Between the centres.
        size_percent: Mean over the sides of the relative error, per cent.
    """

    category: str
    rotation_deg: float
    translation_cm: float
    size_percent: float


@dataclass(frozen=True)
class Accuracy:
    """Errors of one category, or the mean over categories."""

    count: int
    rotation_deg_median: float
    translation_cm_median: float
    size_percent_median: float
    within: dict[str, float]
    """Per cent of objects within ``5deg2cm`` and so on."""


def pose_error(
    category: str,
    symmetry: Symmetry,
    T_estimate: FloatArray,
    T_true: FloatArray,
    size: FloatArray,
    true_size: FloatArray,
) -> PoseError:
    """Errors of a pose ``(4, 4)`` and size ``(3,)`` against the truth; metres in."""
    return PoseError(
        category,
        rotation_error_deg(T_estimate[:3, :3], T_true[:3, :3], symmetry),
        100.0 * float(np.linalg.norm(T_estimate[:3, 3] - T_true[:3, 3])),
        100.0 * float(np.mean(np.abs(size - true_size) / true_size)),
    )


def summarize(errors: Sequence[PoseError], categories: CategorySet) -> dict[str, Accuracy]:
    """Accuracy by category, in the set's order, and under ``mean`` the mean over the categories that occur."""
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


def as_records(table: dict[str, Accuracy]) -> dict[str, Any]:
    """Plain values for JSON."""
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
