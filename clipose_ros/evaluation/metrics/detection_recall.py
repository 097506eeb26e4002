"""What a robot gets of the objects before it: how many are detected, how many posed right, and how much is false."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from clipose_ros.categories import Category, CategorySet
from clipose_ros.evaluation.metrics.average_precision import descending, greedy_matches
from clipose_ros.evaluation.metrics.nocs_protocol import axially_symmetric, pose_errors
from clipose_ros.evaluation.report.breakdown import CENTIMETRES, DEGREES
from clipose_ros.evaluation.results_file import NocsFrame
from clipose_ros.segmentation.overlap import shared_pixels
from clipose_ros.types import BoolArray, FloatArray, InstanceMask

MASK_IOU = 0.5
"""A detection finds an object of its category whose visible pixels it overlaps by more."""
HEAD = ("objects", "masks", "recall", "precision", "poses", "recall", "precision")
"""Of tables: masks with their recall and precision, poses with theirs, per cent."""
FOUND = (
    f"What the robot gets. Masks are right at IoU > {MASK_IOU:g} with an object of their category, poses within "
    f"{DEGREES:g} degrees and {CENTIMETRES:g} cm. Recall is the share of all objects, precision that of what was given."
)


@dataclass(frozen=True, slots=True)
class DetectionRecall:
    """Counts of one category, or of all.

    Attributes:
        objects: There are.
        detections: Masks.
        detected: Objects found by a mask.
        poses: Those given out.
        posed: Objects found by a pose that is right.
    """

    objects: int = 0
    detections: int = 0
    detected: int = 0
    poses: int = 0
    posed: int = 0

    def __add__(self, other: DetectionRecall) -> DetectionRecall:
        return DetectionRecall(*(getattr(self, spec.name) + getattr(other, spec.name) for spec in fields(self)))

    @property
    def row(self) -> tuple[int | float | None, ...]:
        """Counts and shares in the order of ``HEAD``."""
        mask_recall, mask_precision, pose_recall, pose_precision = self.shares().values()
        return self.objects, self.detections, mask_recall, mask_precision, self.poses, pose_recall, pose_precision

    def shares(self) -> dict[str, float | None]:
        """Per cent; None of nothing."""
        return {
            "mask_recall": _percent(self.detected, self.objects),
            "mask_precision": _percent(self.detected, self.detections),
            "pose_recall": _percent(self.posed, self.objects),
            "pose_precision": _percent(self.posed, self.poses),
        }

    def as_record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | self.shares()


def count_found(
    frame: NocsFrame, masks: Sequence[InstanceMask], true_masks: Sequence[InstanceMask], categories: CategorySet
) -> dict[str, DetectionRecall]:
    """Counts of one view, by category.

    Args:
        frame: Truths and poses.
        masks: What was detected.
        true_masks: The visible pixels of each of the frame's truths.
        categories: Where to count.
    """
    found = {}
    for category in categories:
        mine = sorted((m for m in masks if m.category == category.name), key=lambda m: -m.score)
        true = [m for m in true_masks if m.category == category.name]
        iou = np.array([[mask_iou(m, t) for t in true] for m in mine]).reshape(len(mine), len(true))
        poses, posed = _posed(frame, category)
        found[category.name] = DetectionRecall(len(true), len(mine), _matched(-iou, iou > MASK_IOU), poses, posed)
    return found


def total(counts: Iterable[Mapping[str, DetectionRecall]], categories: CategorySet) -> dict[str, DetectionRecall]:
    """The sum over views, by category, and under ``all`` that over categories."""
    table = dict.fromkeys(categories.names, DetectionRecall())
    for of_view in counts:
        table = {name: found + of_view[name] for name, found in table.items()}
    return table | {"all": sum(table.values(), DetectionRecall())}


def mask_iou(a: InstanceMask, b: InstanceMask) -> float:
    """Pixels that two masks share over those of both together."""
    shared = shared_pixels(a, b)
    return shared / max(int(np.count_nonzero(a.mask)) + int(np.count_nonzero(b.mask)) - shared, 1)


def _posed(frame: NocsFrame, category: Category) -> tuple[int, int]:
    """Poses of a category, and how many truths got a right one."""
    true = frame.truths.class_ids == category.id
    mine = np.flatnonzero(frame.predictions.class_ids == category.id)
    mine = mine[descending(frame.scores[mine])]
    degrees, cm = pose_errors(
        frame.predictions.S_camera_object[mine],
        frame.truths.S_camera_object[true],
        axially_symmetric(category, frame.handle_visible[true]),
    )
    return len(mine), _matched(degrees + cm, (degrees <= DEGREES) & (cm <= CENTIMETRES))


def _matched(cost: FloatArray, admissible: BoolArray) -> int:
    """How many pairs are made, one to one, when each row in turn takes the cheapest column it may."""
    return int((greedy_matches(np.argsort(cost, axis=-1, kind="stable"), admissible[None]) >= 0).sum())


def _percent(part: int, whole: int) -> float | None:
    return 100.0 * part / whole if whole else None
