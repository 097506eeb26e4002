"""The backend ``labels``: instances from a label image of a simulator or of an annotated recording."""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation.base import SegmenterSpec
from clipose_ros.types import LABEL_BASE, InstanceMask, LabelArray, Rejection, RejectionReason, RgbdFrame


class LabelSegmenter:
    """Segmenter that splits a label image into instances with a score of 1."""

    def __init__(self, config: SegmentationConfig, categories: CategorySet) -> None:
        self._categories = categories
        self._max_instances = config.max_instances

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Apply ``max_instances``; labels have no scores, so that the thresholds are ignored."""
        self._max_instances = config.max_instances

    def segment(self, frame: RgbdFrame) -> list[InstanceMask | Rejection]:
        """Return the instances of ``frame.labels``, largest first, and one rejection for all values without a category.

        Only the ``max_instances`` largest instances are copied, so that memory is bounded for any label image.

        Raises:
            SegmentationError: The frame has no labels.
        """
        if frame.labels is None:
            raise SegmentationError(
                "backend 'labels' needs a label image with every frame, got none: publish segmentation/labels "
                f"(16UC1, category id x {LABEL_BASE} + instance), or choose another segmentation.backend"
            )
        names = {category.id: category.name for category in self._categories}
        known: dict[int, str] = {}
        unknown: list[int] = []
        for value in _label_values(frame.labels):
            name = names.get(value // LABEL_BASE)
            if name is None:
                unknown.append(value)
            else:
                known[value] = name
        instances: list[InstanceMask] = []
        for value in _keep_largest(frame.labels, list(known), self._max_instances):
            mask = frame.labels == value
            x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
            box = (x, y, x + width, y + height)
            instances.append(InstanceMask(known[value], 1.0, box, mask[y : y + height, x : x + width].copy()))
        instances.sort(key=lambda instance: -np.count_nonzero(instance.mask))
        return [*instances, *([self._reject(unknown)] if unknown else [])]

    def _reject(self, unknown: list[int]) -> Rejection:
        """Return a rejection that lists label values without a category, and the known categories."""
        known = ", ".join(f"{category.id} {category.name}" for category in self._categories)
        shown = ", ".join(map(str, unknown[:10])) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
        detail = f"expected 0 (background) or category id x {LABEL_BASE} + instance with an id of {known}; got {shown}"
        return Rejection("object of unknown category", RejectionReason.UNKNOWN_LABEL, detail)


LABELS = SegmenterSpec(lambda config, categories, device: LabelSegmenter(config, categories))
"""The backend ``labels``; it has no network, so the device is ignored."""


def _keep_largest(labels: LabelArray, values: list[int], number: int) -> list[int]:
    """Return the values that cover the most pixels, in the order given; of equal areas, the lower value is kept."""
    if len(values) <= number:  # counting all pixels takes longer than finding the values
        return values
    areas = np.bincount(labels.ravel())[values]
    return [values[index] for index in sorted(np.argsort(-areas, kind="stable")[:number].tolist())]


def _label_values(labels: LabelArray) -> list[int]:
    """Return the values of a label image in ascending order, without the background."""
    # Sorting the first pixels of all runs is much faster than sorting all pixels: runs are long, and each value starts
    # at least one, at the left edge or after a change along a row.
    changes = labels[:, 1:] != labels[:, :-1]
    starts = np.concatenate([labels[:, 0], labels[:, 1:][changes]])
    # Counting is faster than sorting: noise starts a run at every pixel.
    return [value for value in np.flatnonzero(np.bincount(starts)).tolist() if value]
