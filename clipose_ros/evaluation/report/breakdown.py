"""Pose accuracy by category and by visibility, distance and viewpoint."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from clipose_ros.data.samples import CloudSamples
from clipose_ros.evaluation.metrics.pose_accuracy import PoseError
from clipose_ros.evaluation.runs.stored_clouds import PosedClouds
from clipose_ros.model.score_calibration import CORRECT_CM, CORRECT_DEG
from clipose_ros.types import BoolArray, FloatArray

ALL = "all"


@dataclass(frozen=True, slots=True)
class Cell:
    """Accuracy of one group of objects.

    Attributes:
        count: Number of objects.
        percent: Percentage with a correct pose; None for no objects.
    """

    count: int
    percent: float | None


Breakdown = Mapping[str, Mapping[str, Mapping[str, Cell]]]
"""Cells by factor, bin and category; ``all`` contains the objects of all categories."""


def breakdown(posed: PosedClouds) -> Breakdown:
    """Compute the accuracy by visible fraction, distance, viewpoint and visibility of the handle, each by category."""
    samples = posed.samples
    is_correct = find_correct(posed.errors)
    names = samples.categories.names
    groups = {name: samples.category_index == place for place, name in enumerate(names)}
    groups = {name: in_category for name, in_category in groups.items() if in_category.any()}
    groups[ALL] = np.ones(len(samples), dtype=bool)
    return {
        factor: {
            label: {name: _cell(is_correct, in_bin & in_category) for name, in_category in groups.items()}
            for label, in_bin in bins
        }
        for factor, bins in _factors(samples).items()
    }


def find_correct(errors: Sequence[PoseError]) -> BoolArray:
    """Return which poses are within ``CORRECT_DEG`` and ``CORRECT_CM`` ``(B,)``."""
    return np.array([e.rotation_deg <= CORRECT_DEG and e.translation_cm <= CORRECT_CM for e in errors], dtype=bool)


def breakdown_records(factors: Breakdown) -> dict[str, object]:
    """Return plain values for JSON."""
    return {
        factor: {label: {name: asdict(cell) for name, cell in cells.items()} for label, cells in bins.items()}
        for factor, bins in factors.items()
    }


def _cell(is_correct: BoolArray, chosen: BoolArray) -> Cell:
    count = int(chosen.sum())
    return Cell(count, 100.0 * float(is_correct[chosen].mean()) if count else None)


def _factors(samples: CloudSamples) -> dict[str, list[tuple[str, BoolArray]]]:
    """Return the bins of each factor: label and mask ``(S,)`` of the clouds in the bin."""
    R, t = samples.T_camera_object[:, :3, :3].astype(np.float64), samples.T_camera_object[:, :3, 3].astype(np.float64)
    distance = np.linalg.norm(t, axis=1)
    towards_camera = np.einsum("sji,sj->si", R, -t) / distance[:, None]
    elevation = np.degrees(np.arcsin(np.clip(towards_camera[:, 1], -1.0, 1.0)))
    turn = np.degrees(np.arctan2(np.abs(towards_camera[:, 2]), towards_camera[:, 0]))
    has_front = np.array([not category.symmetry.axial_y for category in samples.categories])[samples.category_index]
    is_mug = np.array([name == "mug" for name in samples.categories.names])[samples.category_index]
    return {
        "visible share of the outline": _binned(samples.visible_fraction, (0.5, 0.75, 0.95)),
        "distance, m": _binned(distance, (0.6, 0.9, 1.3)),
        "elevation over the object's xz plane, degrees": _binned(elevation, (0.0, 30.0, 60.0)),
        "turn about y from the front (+x), degrees": [
            (label, in_bin & has_front) for label, in_bin in _binned(turn, (45.0, 90.0, 135.0))
        ],
        "handle of a mug": [
            ("visible", samples.handle_visible & is_mug),
            ("hidden", ~samples.handle_visible & is_mug),
        ],
    }


def _binned(values: FloatArray, limits: Sequence[float]) -> list[tuple[str, BoolArray]]:
    """Return label and mask of each bin: below the first limit, between limits, and from the last limit."""
    bins: list[tuple[str, BoolArray]] = [(f"below {limits[0]:g}", np.asarray(values < limits[0]))]
    for low, high in itertools.pairwise(limits):
        bins.append((f"{low:g} to {high:g}", np.asarray((values >= low) & (values < high))))
    bins.append((f"from {limits[-1]:g}", np.asarray(values >= limits[-1])))
    return bins
