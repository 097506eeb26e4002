"""The backend ``labels``: instances from a label image of a simulator or of an annotated recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from clipose_ros.categories import CategorySet
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import ConfigError, SegmentationError, quoted
from clipose_ros.segmentation.base import SegmenterSpec
from clipose_ros.segmentation.class_map import parse_class_map
from clipose_ros.types import LABEL_BASE, BoolArray, InstanceMask, LabelArray, Rejection, RejectionReason, RgbdFrame

_MAX_BINS = 2**20
"""Largest range of values that are counted in bins; values of a wider range are sorted, which bounds the memory."""


class LabelSegmenter:
    """Segmenter that splits a label image into instances with a score of 1.

    Args:
        config: Table of values, their kind, and the number of instances.
        categories: Categories that values may mean.

    Raises:
        ConfigError: ``config.label_ids`` is malformed or names an unknown category.
    """

    def __init__(self, config: SegmentationConfig, categories: CategorySet) -> None:
        self._categories = categories
        self._table = parse_label_ids(config.label_ids, categories)
        self._names = {category.id: category.name for category in categories}
        self._semantic = config.semantic_labels
        self._max_instances = config.max_instances
        self._table_fits = False

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Apply ``max_instances``; labels have no scores, so that the thresholds are ignored."""
        self._max_instances = config.max_instances

    def segment(self, frame: RgbdFrame) -> list[InstanceMask | Rejection]:
        """Return the instances of ``frame.labels``, largest first, and one rejection for all values without a category.

        Only the ``max_instances`` largest instances are copied, so that memory is bounded for any label image. Values
        outside a table are ignored; they are rejected only until the first value of the table is seen.

        Raises:
            SegmentationError: The frame has no labels.
        """
        labels = frame.labels
        if labels is None:
            raise SegmentationError(
                "backend 'labels' needs a label image with every frame, got none: publish segmentation/labels "
                f"(16UC1, category id x {LABEL_BASE} + instance), or choose another segmentation.backend"
            )
        values = _label_values(labels)
        known = {value: name for value in values if (name := self._category_of(value)) is not None}
        unknown = [value for value in values if value not in known]
        instances: list[InstanceMask] = []
        for value in _keep_largest(labels, list(known), self._max_instances):
            mask = labels == value
            instances += (
                _split(known[value], mask, self._max_instances) if self._semantic else [_crop(known[value], mask)]
            )
            instances.sort(key=lambda instance: -np.count_nonzero(instance.mask))
            del instances[self._max_instances :]
        self._table_fits |= bool(self._table and known)
        return [*instances, *([self._reject(unknown)] if unknown and not self._table_fits else [])]

    def _category_of(self, value: int) -> str | None:
        """Return the name of the category of a label value; None if it has none."""
        return self._table.get(value) if self._table else self._names.get(value // LABEL_BASE)

    def _reject(self, unknown: list[int]) -> Rejection:
        """Return a rejection that lists label values without a category, and the values that have one."""
        if self._table:
            entries = ", ".join(f"{value} {name}" for value, name in list(self._table.items())[:10])
            expected = f"0 (background) or a value of segmentation.label_ids ({entries})"
        else:
            entries = ", ".join(f"{category.id} {category.name}" for category in self._categories)
            expected = f"0 (background) or category id x {LABEL_BASE} + instance with an id of {entries}"
        shown = ", ".join(map(str, unknown[:10])) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
        return Rejection(
            "object of unknown category", RejectionReason.UNKNOWN_LABEL, f"expected {expected}; got {shown}"
        )


LABELS = SegmenterSpec(lambda config, categories, device: LabelSegmenter(config, categories))
"""The backend ``labels``; it has no network, so the device is ignored."""


def parse_label_ids(entries: Sequence[str], categories: CategorySet) -> Mapping[int, str]:
    """Parse ``value:category`` entries.

    Args:
        entries: Entries of ``segmentation.label_ids``; may be empty.
        categories: Categories that entries may name.

    Returns:
        Category name by label value.

    Raises:
        ConfigError: An entry has no colon, names an unknown category or a value that is not one of a label image, or a
            value is mapped twice.
    """
    if not entries:
        return {}
    table: dict[int, str] = {}
    for text, category in parse_class_map(entries, categories, "segmentation.label_ids", "7:mug").items():
        value = int(text) if text.isdecimal() and text.isascii() and len(text) <= 10 else 0
        if not 0 < value < 2**31:
            raise ConfigError(f"'segmentation.label_ids' needs values from 1 to {2**31 - 1}, got {quoted(text)}")
        if value in table:
            raise ConfigError(f"'segmentation.label_ids' maps {value} twice: to '{table[value]}' and '{category}'")
        table[value] = category
    return table


def _crop(category: str, mask: BoolArray) -> InstanceMask:
    """Return the instance of a mask ``(H, W)`` that is not empty."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return InstanceMask(category, 1.0, (x, y, x + width, y + height), mask[y : y + height, x : x + width].copy())


def _split(category: str, mask: BoolArray, number: int) -> list[InstanceMask]:
    """Return the largest connected areas of a mask ``(H, W)``, at most ``number``; corners connect."""
    whole = _crop(category, mask)  # the areas of the box alone: it is much smaller than the image
    left, top = whole.box[:2]
    _, areas, stats, _ = cv2.connectedComponentsWithStats(whole.mask.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    order = 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:number]  # 0 is the background
    instances = []
    for index in order.tolist():
        x, y, width, height = stats[index, : cv2.CC_STAT_AREA].tolist()
        area = areas[y : y + height, x : x + width] == index
        instances.append(InstanceMask(category, 1.0, (left + x, top + y, left + x + width, top + y + height), area))
    return instances


def _keep_largest(labels: LabelArray, values: list[int], number: int) -> list[int]:
    """Return the values that cover the most pixels, in the order given; of equal areas, the lower value is kept."""
    if len(values) <= number:  # counting all pixels takes longer than finding the values
        return values
    present, counts = _count_values(labels.ravel())
    areas = counts[np.searchsorted(present, values)]
    return [values[index] for index in sorted(np.argsort(-areas, kind="stable")[:number].tolist())]


def _label_values(labels: LabelArray) -> list[int]:
    """Return the values of a label image in ascending order, without the background."""
    # Sorting the first pixels of all runs is much faster than sorting all pixels: runs are long, and each value starts
    # at least one, at the left edge or after a change along a row.
    changes = labels[:, 1:] != labels[:, :-1]
    starts = np.concatenate([labels[:, 0], labels[:, 1:][changes]])
    return [value for value in _count_values(starts)[0].tolist() if value]


def _count_values(values: LabelArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the different values ``(N,)`` in ascending order, and how often each occurs ``(N,)``."""
    low, high = int(values.min()), int(values.max())
    if high - low >= _MAX_BINS:
        different, counts = np.unique(values, return_counts=True)
        return different.astype(np.int64), counts.astype(np.int64)
    # Counting is faster than sorting: noise starts a run at every pixel.
    bins = np.bincount(values.astype(np.int64) - low)
    present = np.flatnonzero(bins)
    return present + low, bins[present]
