"""Recall and precision of detected objects in photographs, by the IoU of their boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.evaluation.metrics.average_precision import greedy_matches
from clipose_ros.evaluation.metrics.detection_recall import mask_iou
from clipose_ros.segmentation.overlap import count_shared_pixels
from clipose_ros.types import FloatArray, InstanceMask

BOX_IOU = 0.5
"""A detection finds an object of its category if the IoU of their boxes is at least this."""
_MIN_IGNORED_RATIO = 0.5  # a detection with more of its pixels on an ignored object is left out
_Z95 = 1.959964  # two-sided 95 % quantile of the normal distribution


@dataclass(frozen=True, slots=True)
class BoxDetection:
    """Counts of one category, or sums over several.

    Attributes:
        images: Evaluated images.
        objects: True objects.
        detections: Detections, without those of ignored objects.
        found: Objects with a detection of their category.
        iou_sum: Sum of the mask IoU over the found objects.
    """

    images: int = 0
    objects: int = 0
    detections: int = 0
    found: int = 0
    iou_sum: float = 0.0

    def __add__(self, other: BoxDetection) -> BoxDetection:
        return BoxDetection(*(getattr(self, spec.name) + getattr(other, spec.name) for spec in fields(self)))

    @property
    def recall(self) -> float | None:
        """Return the share of the objects that are found, in [0, 1]; None without objects."""
        return self.found / self.objects if self.objects else None

    @property
    def precision(self) -> float | None:
        """Return the share of the detections that find an object, in [0, 1]; None without detections."""
        return self.found / self.detections if self.detections else None

    @property
    def false_per_image(self) -> float | None:
        """Return the number of false detections per image; None without images."""
        return (self.detections - self.found) / self.images if self.images else None

    @property
    def mask_iou(self) -> float | None:
        """Return the mean mask IoU of the found objects; None if none is found."""
        return self.iou_sum / self.found if self.found else None

    def as_record(self) -> dict[str, object]:
        """Return plain values for JSON, with the 95 % intervals of recall and precision."""
        return asdict(self) | {
            "recall": self.recall,
            "recall_interval": wilson_interval(self.found, self.objects),
            "precision": self.precision,
            "precision_interval": wilson_interval(self.found, self.detections),
            "false_per_image": self.false_per_image,
            "mask_iou": self.mask_iou,
        }


def count_boxes(
    detections: Sequence[InstanceMask],
    truths: Sequence[InstanceMask],
    ignored: Sequence[InstanceMask],
    categories: CategorySet,
) -> dict[str, BoxDetection]:
    """Count the detections of one image by category.

    Detections take objects of their category in descending order of scores, each the one with the largest IoU. A
    detection that takes none and lies mostly on an ignored object is left out.

    Args:
        detections: Detected instances.
        truths: Objects that should be found.
        ignored: Objects of which detections are neither right nor false.
        categories: Counted categories.
    """
    counts = {}
    for category in categories:
        detected = sorted((d for d in detections if d.category == category.name), key=lambda d: -d.score)
        true = [t for t in truths if t.category == category.name]
        iou = np.array([[box_iou(d.box, t.box) for t in true] for d in detected]).reshape(len(detected), len(true))
        matches = _match(iou)
        left_out = sum(match < 0 and _is_ignored(d, ignored) for d, match in zip(detected, matches, strict=True))
        pairs = [(d, true[match]) for d, match in zip(detected, matches, strict=True) if match >= 0]
        counts[category.name] = BoxDetection(
            1, len(true), len(detected) - left_out, len(pairs), sum(mask_iou(d, t) for d, t in pairs)
        )
    return counts


def box_iou(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Return the intersection over union of two pixel boxes (x0, y0, x1, y1), ends exclusive."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def wilson_interval(hits: int, trials: int) -> tuple[float, float] | None:
    """Return the Wilson score interval of a share at 95 % confidence, in [0, 1]; None without trials.

    References:
        E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if not trials:
        return None
    share, weight = hits / trials, _Z95**2 / trials
    centre = (share + weight / 2.0) / (1.0 + weight)
    half = _Z95 * math.sqrt(share * (1.0 - share) / trials + weight / (4.0 * trials)) / (1.0 + weight)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _match(iou: FloatArray) -> list[int]:
    """Return the column that each row takes in turn, or -1."""
    if not iou.size:
        return [-1] * len(iou)
    matches = greedy_matches(np.argsort(-iou, axis=-1, kind="stable"), (iou >= BOX_IOU)[None])
    return [int(match) for match in matches[0]]


def _is_ignored(detection: InstanceMask, ignored: Sequence[InstanceMask]) -> bool:
    """Return True if a detection lies mostly on an ignored object, or their boxes agree."""
    pixels = np.count_nonzero(detection.mask)
    return any(
        box_iou(detection.box, other.box) >= BOX_IOU
        or count_shared_pixels(detection, other) > _MIN_IGNORED_RATIO * pixels
        for other in ignored
    )
