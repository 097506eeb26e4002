"""Masks with the errors of the shipped detector, whose masks were compared with 148 true ones on rendered tables.

=============================================== ==================== ====================
quantiles of 10, 25, 50, 75 and 90 %            detector             here
=============================================== ==================== ====================
intersection over union                         .80 .89 .94 .97 .98  .84 .90 .94 .96 .98
spread of the outline, pixels                   1.3 1.6 1.9 5.5 19   1.1 1.4 1.9 2.8 5.7
foreign pixels, per cent of the object's        0.9 2 4 8 16         0.3 1 4 8 15
missing pixels, per cent of the object's        0.4 0.7 1 3 6        0.2 0.6 2 4 8
=============================================== ==================== ====================

The outline is that of a coarse image: the mask is smoothed with the radius of a cell of the detector's masks. To the
signed distance from the outline, an offset, which mostly grows the mask, and smooth noise are added. One of seven masks
gets a blob of its surroundings, one of twelve loses a blob.
"""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.types import BoolArray, FloatArray

CELL_PX = 6.0
"""Size of a cell of the detector's masks, pixels of a 640x480 image."""
BLEED_SHARE, LOSS_SHARE = 0.14, 0.08
"""Shares of masks with a large part of their surroundings, and without a large part of the object."""


def distort_mask(visible: BoolArray, rng: np.random.Generator) -> BoolArray:
    """Distort a true mask as the shipped detector does.

    Args:
        visible: ``(H, W)`` visible pixels of the object, at least one.
        rng: Random generator; equal states give equal masks.

    Returns:
        ``(H, W)`` bool; may be empty if the object is small.
    """
    area = float(np.count_nonzero(visible))
    side = float(np.sqrt(area))
    # A coarse outline: small objects keep more of their form than cells of a fixed size would leave.
    radius = min(0.4 * CELL_PX * float(rng.uniform(0.6, 1.2)), 0.06 * side)
    soft = cv2.GaussianBlur(visible.astype(np.float32), (0, 0), max(radius, 0.3))
    coarse = (soft > 0.5).astype(np.uint8)
    distance = cv2.distanceTransform(coarse, cv2.DIST_L2, 3) - cv2.distanceTransform(1 - coarse, cv2.DIST_L2, 3)
    limit = min(1.0, 0.02 * side)
    offset = rng.normal(0.5, 1.1) * limit
    mask = distance + offset + rng.uniform(1.0, 3.0) * limit * _draw_wave(visible.shape, rng) > 0.0
    if rng.uniform() < BLEED_SHARE:
        mask |= _draw_blob(visible, area * float(np.exp(rng.uniform(np.log(0.03), np.log(0.25)))), rng)
    if rng.uniform() < LOSS_SHARE:
        mask &= ~_draw_blob(visible, area * float(np.exp(rng.uniform(np.log(0.05), np.log(0.35)))), rng)
    return np.asarray(mask)


def _draw_wave(shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Draw smooth noise ``(H, W)`` of about unit deviation: normal values on a grid of cells, interpolated."""
    step = 1.8 * CELL_PX
    coarse = rng.standard_normal((int(shape[0] / step) + 2, int(shape[1] / step) + 2)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC))


def _draw_blob(visible: BoolArray, area: float, rng: np.random.Generator) -> BoolArray:
    """Draw an ellipse of an area, pixels, centred at a random pixel of the outline of a mask."""
    inner = cv2.erode(visible.astype(np.uint8), np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero(visible & (inner == 0))
    k = int(rng.integers(len(rows)))
    aspect, angle = float(rng.uniform(1.0, 2.5)), rng.uniform(0.0, np.pi)
    # The half that lies beyond the outline counts.
    minor = np.sqrt(2.0 * area / np.pi / aspect)
    v, u = np.arange(visible.shape[0])[:, None] - rows[k], np.arange(visible.shape[1]) - columns[k]
    along, across = u * np.cos(angle) + v * np.sin(angle), v * np.cos(angle) - u * np.sin(angle)
    return np.asarray((along / (aspect * minor)) ** 2 + (across / minor) ** 2 < 1.0)
