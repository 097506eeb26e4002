"""Non-maximum suppression by masks: one instance per object."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from clipose_ros.types import InstanceMask


def suppress_overlaps(instances: Iterable[InstanceMask], threshold: float) -> list[InstanceMask]:
    """Drop instances that overlap an instance with a higher score.

    Detectors suppress duplicates by their boxes, which often fails if the boxes are quantised; masks are more reliable.

    - Same category: overlap = intersection / area of the smaller mask. A part of an object is dropped.
    - Different categories: overlap = intersection / union. A mug that stands in a bowl is kept.

    Args:
        instances: Instances sorted by descending score.
        threshold: Largest overlap of two instances that are kept, in [0, 1]; 1 keeps all.

    Returns:
        The remaining instances in the same order.
    """
    kept: list[InstanceMask] = []
    for instance in instances:
        if not any(_compute_overlap(instance, better) > threshold for better in kept):
            kept.append(instance)
    return kept


def count_shared_pixels(a: InstanceMask, b: InstanceMask) -> int:
    """Count the pixels that two masks have in common."""
    x0, y0, x1, y1 = max(a.box[0], b.box[0]), max(a.box[1], b.box[1]), min(a.box[2], b.box[2]), min(a.box[3], b.box[3])
    if x0 >= x1 or y0 >= y1:
        return 0
    parts = [m.mask[y0 - m.box[1] : y1 - m.box[1], x0 - m.box[0] : x1 - m.box[0]] for m in (a, b)]
    return int(np.count_nonzero(parts[0] & parts[1]))


def _compute_overlap(a: InstanceMask, b: InstanceMask) -> float:
    """Compute the intersection over the smaller mask, or over the union if the categories differ."""
    if not (shared := count_shared_pixels(a, b)):
        return 0.0
    areas = int(np.count_nonzero(a.mask)), int(np.count_nonzero(b.mask))
    return shared / (min(areas) if a.category == b.category else sum(areas) - shared)
