"""Masks as imperfect as a detector's."""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.types import BoolArray, InstanceMask


def augment_mask(mask: InstanceMask, shape: tuple[int, ...], rng: np.random.Generator) -> InstanceMask | None:
    """A mask as a detector would give it: grown or shrunk, wavy, now and then cut off; None where nothing is left.

    The distance to the true rim is shifted and roughened by smooth noise, and what remains positive is the mask.
    """
    x0, y0, x1, y1 = mask.box
    margin = 10
    left, top = max(x0 - margin, 0), max(y0 - margin, 0)
    right, bottom = min(x1 + margin, shape[1]), min(y1 + margin, shape[0])
    inside = np.zeros((bottom - top, right - left), dtype=np.uint8)
    inside[y0 - top : y1 - top, x0 - left : x1 - left] = mask.mask
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3)
    extent = float(np.sqrt(inside.sum()))
    quality = rng.uniform()
    if quality > 0.25:
        most = min(4.0, 0.05 * extent)
        coarse = rng.standard_normal((inside.shape[0] // 12 + 2, inside.shape[1] // 12 + 2)).astype(np.float32)
        wave = cv2.resize(coarse, inside.shape[::-1], interpolation=cv2.INTER_CUBIC)
        distance += rng.uniform(-most, most) + rng.uniform(0.0, 0.5 * most) * wave
    kept = distance > 0.0
    if quality > 0.88:
        kept &= _half_plane(kept, rng)
    whole = np.zeros(shape, dtype=bool)
    whole[top:bottom, left:right] = kept
    return InstanceMask.from_full(mask.category, mask.score, whole)


def _half_plane(mask: BoolArray, rng: np.random.Generator) -> BoolArray:
    """A half plane that cuts off up to a quarter of the mask."""
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return mask
    angle = rng.uniform(0, 2 * np.pi)
    reach = rows * np.sin(angle) + columns * np.cos(angle)
    limit = np.quantile(reach, 1.0 - rng.uniform(0.03, 0.25))
    v, u = np.mgrid[: mask.shape[0], : mask.shape[1]]
    cut: BoolArray = v * np.sin(angle) + u * np.cos(angle) <= limit
    return cut
