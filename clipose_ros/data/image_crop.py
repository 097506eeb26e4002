"""Square crops around objects: the input of CLIP's image tower."""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.errors import DegenerateInputError
from clipose_ros.types import BoolArray, ByteArray

CROP_MARGIN = 0.1
"""Margin on each side of the crop, relative to the larger side of the object's pixel box."""


def crop_object_image(rgb: ByteArray, mask: BoolArray, side: int) -> ByteArray:
    """Crop the square around an object and resize it. Beyond the image border, the border pixels are repeated.

    Args:
        rgb: ``(H, W, 3)`` uint8 image.
        mask: ``(H, W)`` bool, pixels of the object.
        side: Side of the crop after resizing, pixels.

    Returns:
        ``(side, side, 3)`` uint8 with the object at the centre.

    Raises:
        DegenerateInputError: The mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise DegenerateInputError("a crop needs at least 1 pixel of the object, got an empty mask")
    low = np.array([columns[0], rows[0]])
    extent = np.array([columns[-1], rows[-1]]) + 1 - low
    length = int(np.ceil(extent.max() * (1.0 + 2.0 * CROP_MARGIN)))
    x0, y0 = np.floor(low + (extent - length) / 2.0).astype(int)
    # Clipped indices repeat the border pixels where the square extends beyond the image.
    inside_y = np.clip(np.arange(y0, y0 + length), 0, rgb.shape[0] - 1)
    inside_x = np.clip(np.arange(x0, x0 + length), 0, rgb.shape[1] - 1)
    square = np.ascontiguousarray(rgb[np.ix_(inside_y, inside_x)])
    # Area averaging avoids aliasing when the crop shrinks; it would give blocks when it grows.
    method = cv2.INTER_AREA if length > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (side, side), interpolation=method), dtype=np.uint8)
