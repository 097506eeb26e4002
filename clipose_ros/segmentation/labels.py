"""Instances from a label image, as simulators and annotated recordings give it."""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation.base import SegmenterSpec
from clipose_ros.types import LABEL_BASE, InstanceMask, LabelArray, Rejection, RejectionReason, RgbdFrame


class LabelSegmenter:
    """Cuts a label image into instances; every score is 1, since a label is no guess."""

    def __init__(self, config: SegmentationConfig, categories: CategorySet) -> None:
        self._categories = categories
        self._max_instances = config.max_instances

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Take over ``max_instances``; labels have no scores to threshold."""
        self._max_instances = config.max_instances

    def segment(self, frame: RgbdFrame) -> list[InstanceMask | Rejection]:
        """The instances of ``frame.labels``, largest first, then one rejection for all values that mean no category.

        Raises:
            SegmentationError: The frame has no labels.
        """
        if frame.labels is None:
            raise SegmentationError(
                "backend 'labels' needs a label image with every frame, got none: publish segmentation/labels "
                f"(16UC1, category id x {LABEL_BASE} + instance), or choose another segmentation.backend"
            )
        instances: list[InstanceMask] = []
        wrong: list[int] = []
        for value in _values(frame.labels):
            category = self._categories.by_id(value // LABEL_BASE)
            if category is None:
                wrong.append(value)
                continue
            mask = frame.labels == value
            x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
            box = (x, y, x + width, y + height)
            instances.append(InstanceMask(category.name, 1.0, box, mask[y : y + height, x : x + width].copy()))
        instances.sort(key=lambda instance: -np.count_nonzero(instance.mask))
        return [*instances[: self._max_instances], *([self._rejected(wrong)] if wrong else [])]

    def _rejected(self, wrong: list[int]) -> Rejection:
        """Say which values mean nothing, and which would."""
        known = ", ".join(f"{category.id} {category.name}" for category in self._categories)
        shown = ", ".join(map(str, wrong[:10])) + (f" and {len(wrong) - 10} more" if len(wrong) > 10 else "")
        detail = f"expected 0 (background) or category id x {LABEL_BASE} + instance with an id of {known}; got {shown}"
        return Rejection("thing of unknown category", RejectionReason.UNKNOWN_LABEL, detail)


LABELS = SegmenterSpec(lambda config, categories, device: LabelSegmenter(config, categories))
"""The backend ``labels``, which computes on no device."""


def _values(labels: LabelArray) -> list[int]:
    """Labels that occur, in order, without the background: each starts a row, or begins somewhere in one."""
    begins = labels[:, 1:] != labels[:, :-1]
    found = np.unique(np.concatenate([labels[:, 0], labels[:, 1:][begins]]))
    return [value for value in found.tolist() if value]
