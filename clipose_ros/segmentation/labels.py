"""Instances from a label image, as simulators and annotated recordings give it."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import find_objects

from clipose_ros.categories import CategorySet
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.types import InstanceMask, RgbdFrame

LABEL_BASE = 1000
"""A label is category id x LABEL_BASE + instance; 0 is the background."""


class LabelSegmenter:
    """Cuts a label image into instances; every score is 1, since a label is no guess."""

    def __init__(self, config: SegmentationConfig, categories: CategorySet) -> None:
        self._categories = categories
        self._max_instances = config.max_instances

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Take over ``max_instances``; labels have no scores to threshold."""
        self._max_instances = config.max_instances

    def segment(self, frame: RgbdFrame) -> list[InstanceMask]:
        """The instances of ``frame.labels``, largest first.

        Raises:
            SegmentationError: The frame has no labels, or values whose category id is unknown; the message lists them.
        """
        if frame.labels is None:
            raise SegmentationError(
                "backend 'labels' needs a label image with every frame, got none: publish segmentation/labels "
                f"(16UC1, category id x {LABEL_BASE} + instance), or choose another segmentation.backend"
            )
        boxes = find_objects(frame.labels.astype(np.int32))
        values = [value for value, box in enumerate(boxes, start=1) if box is not None]
        names = self._categories_of(values)
        instances = []
        for value, name in zip(values, names, strict=True):
            rows, columns = boxes[value - 1]
            mask = frame.labels[rows, columns] == value
            instances.append(InstanceMask(name, 1.0, (columns.start, rows.start, columns.stop, rows.stop), mask))
        instances.sort(key=lambda instance: -np.count_nonzero(instance.mask))
        return instances[: self._max_instances]

    def _categories_of(self, values: list[int]) -> list[str]:
        """The category name of every label value, or SegmentationError with those that have none."""
        found = [self._categories.by_id(value // LABEL_BASE) for value in values]
        wrong = [value for value, category in zip(values, found, strict=True) if category is None]
        if wrong:
            known = ", ".join(f"{category.id} {category.name}" for category in self._categories)
            shown = ", ".join(map(str, wrong[:10])) + (f" and {len(wrong) - 10} more" if len(wrong) > 10 else "")
            raise SegmentationError(
                f"label values must be 0 (background) or category id x {LABEL_BASE} + instance with an id of {known}; "
                f"got {shown}: label everything else 0"
            )
        return [category.name for category in found if category is not None]
