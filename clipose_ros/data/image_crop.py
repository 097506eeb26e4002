"""The square image of one object, as CLIP's image tower sees it."""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.errors import DegenerateInputError
from clipose_ros.types import BoolArray, ByteArray

MARGIN = 0.1
"""Width of the surroundings on each side, as a share of the object's larger extent in the image."""


def crop_object_image(rgb: ByteArray, mask: BoolArray, side: int) -> ByteArray:
    """Cut the square around an object's pixels out of an image; what lies outside the image repeats its edge.

    Args:
        rgb: ``(H, W, 3)`` uint8.
        mask: ``(H, W)`` bool, the object's pixels.
        side: Pixels of the result's side.

    Returns:
        ``(side, side, 3)`` uint8, the object in its middle.

    Raises:
        DegenerateInputError: The mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise DegenerateInputError("the image of an object needs at least one of its pixels, got an empty mask")
    low = np.array([columns[0], rows[0]])
    extent = np.array([columns[-1], rows[-1]]) + 1 - low
    length = int(np.ceil(extent.max() * (1.0 + 2.0 * MARGIN)))
    x0, y0 = np.floor(low + (extent - length) / 2.0).astype(int)
    inside_y = np.clip(np.arange(y0, y0 + length), 0, rgb.shape[0] - 1)
    inside_x = np.clip(np.arange(x0, x0 + length), 0, rgb.shape[1] - 1)
    square = np.ascontiguousarray(rgb[np.ix_(inside_y, inside_x)])
    method = cv2.INTER_AREA if length > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (side, side), interpolation=method), dtype=np.uint8)
