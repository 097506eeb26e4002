"""Mask augmentation: true masks are deformed to resemble the output of a detector.

The mask is the set of pixels with positive signed distance d to its outline, in pixels. Augmentation adds to d::

    d' = d + u + v w,    u ~ U(-a, a),    v ~ U(0, a / 2),    a = min(4, 0.05 sqrt(area))

with w a smooth noise field: normal values on a grid of 12 pixels, interpolated cubically. The offset u grows or shrinks
the mask, the noise makes its outline wavy. 25 % of the masks keep their outline; 12 % lose a half plane.
"""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.types import BoolArray, InstanceMask


def augment_mask(mask: InstanceMask, shape: tuple[int, ...], rng: np.random.Generator) -> InstanceMask | None:
    """Grow or shrink a mask, make its outline wavy and sometimes cut off a part.

    Args:
        mask: The true mask.
        shape: Height and width of the image, pixels.
        rng: Random generator.

    Returns:
        The augmented mask with the same category and score, or None if no pixel is left.
    """
    # Only the window around the mask is processed: distance transforms of whole images would dominate the time.
    x0, y0, x1, y1 = mask.box
    margin = 10  # more than the largest growth
    left, top = max(x0 - margin, 0), max(y0 - margin, 0)
    right, bottom = min(x1 + margin, shape[1]), min(y1 + margin, shape[0])
    inside = np.zeros((bottom - top, right - left), dtype=np.uint8)
    inside[y0 - top : y1 - top, x0 - left : x1 - left] = mask.mask
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 3)
    extent = float(np.sqrt(inside.sum()))
    # One draw decides both branches: below 0.25 the outline is kept, above 0.88 a half plane is cut off as well.
    quality = rng.uniform()
    if quality > 0.25:
        amplitude = min(4.0, 0.05 * extent)
        coarse = rng.standard_normal((inside.shape[0] // 12 + 2, inside.shape[1] // 12 + 2)).astype(np.float32)
        wave = cv2.resize(coarse, inside.shape[::-1], interpolation=cv2.INTER_CUBIC)
        distance += rng.uniform(-amplitude, amplitude) + rng.uniform(0.0, 0.5 * amplitude) * wave
    kept = distance > 0.0
    if quality > 0.88:
        kept &= _cut_half_plane(kept, rng)
    whole = np.zeros(shape, dtype=bool)
    whole[top:bottom, left:right] = kept
    return InstanceMask.from_full(mask.category, mask.score, whole)


def _cut_half_plane(mask: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Draw a half plane that cuts off 3 to 25 % of a mask; return the pixels that are kept, ``(H, W)`` bool."""
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return mask
    angle = rng.uniform(0, 2 * np.pi)
    projection = rows * np.sin(angle) + columns * np.cos(angle)
    limit = np.quantile(projection, 1.0 - rng.uniform(0.03, 0.25))
    v, u = np.mgrid[: mask.shape[0], : mask.shape[1]]
    kept: BoolArray = v * np.sin(angle) + u * np.cos(angle) <= limit
    return kept
