"""One instance per thing: detections that show the same pixels again are dropped."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from clipose_ros.types import InstanceMask


def without_repeats(instances: Iterable[InstanceMask], threshold: float) -> list[InstanceMask]:
    """Drop instances that repeat a better one.

    Detectors compare boxes, which coarse (quantised) boxes often slip through; the masks tell. Within a category an
    instance is a repeat when the better one covers more than ``threshold`` of the smaller of the two, so that a part of
    a thing is not taken for another thing. Between categories the shared part is compared with both together, so that a
    mug standing in a bowl remains.

    Args:
        instances: Best first.
        threshold: Share of pixels in [0, 1]; 1 drops nothing.

    Returns:
        Those that remain, in the same order.
    """
    kept: list[InstanceMask] = []
    for instance in instances:
        if not any(_overlap(instance, better) > threshold for better in kept):
            kept.append(instance)
    return kept


def shared_pixels(a: InstanceMask, b: InstanceMask) -> int:
    """How many pixels two masks have in common."""
    x0, y0, x1, y1 = max(a.box[0], b.box[0]), max(a.box[1], b.box[1]), min(a.box[2], b.box[2]), min(a.box[3], b.box[3])
    if x0 >= x1 or y0 >= y1:
        return 0
    parts = [m.mask[y0 - m.box[1] : y1 - m.box[1], x0 - m.box[0] : x1 - m.box[0]] for m in (a, b)]
    return int(np.count_nonzero(parts[0] & parts[1]))


def _overlap(a: InstanceMask, b: InstanceMask) -> float:
    """Shared pixels over those of the smaller mask, or of both together where the categories differ."""
    if not (shared := shared_pixels(a, b)):
        return 0.0
    areas = int(np.count_nonzero(a.mask)), int(np.count_nonzero(b.mask))
    return shared / (min(areas) if a.category == b.category else sum(areas) - shared)
