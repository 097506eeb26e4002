"""Recall and precision of detected masks and estimated poses over all visible objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from clipose_ros.categories import Category, CategorySet
from clipose_ros.evaluation.metrics.average_precision import descending, greedy_matches
from clipose_ros.evaluation.metrics.nocs_protocol import axially_symmetric, pose_errors
from clipose_ros.evaluation.results_file import NocsFrame
from clipose_ros.model.score_calibration import CORRECT_CM, CORRECT_DEG
from clipose_ros.segmentation.overlap import count_shared_pixels
from clipose_ros.types import BoolArray, FloatArray, InstanceMask

MASK_IOU = 0.5
"""A mask detects an object of its category if its IoU with the visible pixels of the object is larger."""
TABLE_HEAD = ("objects", "masks", "recall", "precision", "poses", "recall", "precision")
"""Columns of ``DetectionRecall.row``: recall and precision of masks, then of poses, per cent."""
DESCRIPTION = (
    f"Detected masks and estimated poses. A mask is correct at IoU > {MASK_IOU:g} with an object of its category, a "
    f"pose within {CORRECT_DEG:g} degrees and {CORRECT_CM:g} cm. Recall is relative to all objects, precision to all "
    "masks or poses."
)
"""Explanation of the columns for tables and reports."""


@dataclass(frozen=True, slots=True)
class DetectionRecall:
    """Counts of one category or of all categories.

    Attributes:
        objects: True objects.
        detections: Predicted masks.
        detected: Objects matched with a correct mask.
        poses: Estimated poses.
        posed: Objects matched with a correct pose.
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
        """Return counts and percentages in the order of ``TABLE_HEAD``."""
        mask_recall, mask_precision, pose_recall, pose_precision = self.shares().values()
        return self.objects, self.detections, mask_recall, mask_precision, self.poses, pose_recall, pose_precision

    def shares(self) -> dict[str, float | None]:
        """Return recall and precision of masks and poses, per cent; None where the denominator is zero."""
        return {
            "mask_recall": _percent(self.detected, self.objects),
            "mask_precision": _percent(self.detected, self.detections),
            "pose_recall": _percent(self.posed, self.objects),
            "pose_precision": _percent(self.posed, self.poses),
        }

    def as_record(self) -> dict[str, float | None]:
        """Return plain values for JSON."""
        return asdict(self) | self.shares()


def count_detections(
    frame: NocsFrame, masks: Sequence[InstanceMask], true_masks: Sequence[InstanceMask], categories: CategorySet
) -> dict[str, DetectionRecall]:
    """Count detections and poses of one view by category.

    Args:
        frame: Truths and poses.
        masks: Detected masks.
        true_masks: Visible pixels of each truth of the frame.
        categories: Counted categories.
    """
    counts = {}
    for category in categories:
        # In descending order of scores, in which greedy_matches assigns.
        detected = sorted((m for m in masks if m.category == category.name), key=lambda m: -m.score)
        true = [m for m in true_masks if m.category == category.name]
        iou = np.array([[mask_iou(m, t) for t in true] for m in detected]).reshape(len(detected), len(true))
        poses, posed = _count_poses(frame, category)
        counts[category.name] = DetectionRecall(
            len(true), len(detected), _count_matches(-iou, iou > MASK_IOU), poses, posed
        )
    return counts


def sum_counts(counts: Iterable[Mapping[str, DetectionRecall]], categories: CategorySet) -> dict[str, DetectionRecall]:
    """Sum counts over views: by category, and over all categories under ``all``."""
    table = dict.fromkeys(categories.names, DetectionRecall())
    for view_counts in counts:
        table = {name: subtotal + view_counts[name] for name, subtotal in table.items()}
    return table | {"all": sum(table.values(), DetectionRecall())}


def mask_iou(a: InstanceMask, b: InstanceMask) -> float:
    """Return the intersection over union of two masks."""
    shared = count_shared_pixels(a, b)
    return shared / max(int(np.count_nonzero(a.mask)) + int(np.count_nonzero(b.mask)) - shared, 1)


def _count_poses(frame: NocsFrame, category: Category) -> tuple[int, int]:
    """Return the number of poses of a category and the number of truths with a correct pose."""
    true = frame.truths.class_ids == category.id
    predicted = np.flatnonzero(frame.predictions.class_ids == category.id)
    predicted = predicted[descending(frame.scores[predicted])]
    degrees, cm = pose_errors(
        frame.predictions.S_camera_object[predicted],
        frame.truths.S_camera_object[true],
        axially_symmetric(category, frame.handle_visible[true]),
    )
    return len(predicted), _count_matches(degrees + cm, (degrees <= CORRECT_DEG) & (cm <= CORRECT_CM))


def _count_matches(cost: FloatArray, admissible: BoolArray) -> int:
    """Return the number of one-to-one matches when each row in turn takes the admissible column of least cost."""
    return int((greedy_matches(np.argsort(cost, axis=-1, kind="stable"), admissible[None]) >= 0).sum())


def _percent(part: int, whole: int) -> float | None:
    return 100.0 * part / whole if whole else None
