"""Masks of detectors that predict prototypes, such as YOLACT and YOLO: a mask is a weighted sum of prototype images.

For each instance, the sum is computed in the cells of the prototypes below its box, enlarged to the pixels of the box
by bilinear interpolation, and compared with zero. The network's input is the image, scaled and centred on a padded
canvas.

References:
    D. Bolya et al., YOLACT: real-time instance segmentation, ICCV 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from clipose_ros.types import BoolArray, FloatArray

_MARGIN = 2
"""Cells around a box that interpolation at its border needs."""


@dataclass(frozen=True, slots=True)
class InputFit:
    """Position of an image in the padded input of a network.

    Attributes:
        scale: ``(x, y)`` size of an image pixel, input pixels.
        offset: ``(x, y)`` upper left corner of the image, input pixels.
    """

    scale: tuple[float, float]
    offset: tuple[int, int]

    @classmethod
    def of_shapes(cls, image: tuple[int, int], padded: tuple[int, int]) -> InputFit:
        """Compute the fit of an image of shape ``(H, W)`` that is centred in an input of shape ``(H, W)``."""
        gain = min(padded[0] / image[0], padded[1] / image[1])
        size = [max(round(side * gain), 1) for side in image]
        top, left = (round((padded[axis] - size[axis]) / 2 - 0.1) for axis in (0, 1))
        return cls((size[1] / image[1], size[0] / image[0]), (left, top))

    def to_image(self, boxes: FloatArray) -> FloatArray:
        """Convert ``(N, 4)`` boxes (x0, y0, x1, y1) from input pixels to image pixels."""
        offset = np.array([*self.offset, *self.offset], boxes.dtype)
        return np.asarray((boxes - offset) / np.array([*self.scale, *self.scale], boxes.dtype))


def compute_mask(
    prototypes: FloatArray, coefficients: FloatArray, box: tuple[int, int, int, int], stride: float, fit: InputFit
) -> BoolArray:
    """Compute the mask of an instance in its box.

    Args:
        prototypes: ``(C, h, w)`` of the padded input.
        coefficients: ``(C,)`` weights.
        box: ``(x0, y0, x1, y1)`` inside the image, pixels, not empty; the ends are exclusive.
        stride: Size of a cell of the prototypes, input pixels.
        fit: Position of the image in the input.

    Returns:
        ``(y1 - y0, x1 - x0)`` bool.
    """
    # The centre of image pixel u lies at cell (scale (u + 0.5) + offset) / stride - 0.5.
    scale = [each / stride for each in fit.scale]
    first = [scale[axis] * (box[axis] + 0.5) + fit.offset[axis] / stride - 0.5 for axis in (0, 1)]
    last = [first[axis] + scale[axis] * (box[axis + 2] - box[axis] - 1) for axis in (0, 1)]
    columns, rows = (
        slice(max(math.floor(first[axis]) - _MARGIN, 0), max(math.ceil(last[axis]) + _MARGIN, 1)) for axis in (0, 1)
    )
    window = prototypes[:, rows, columns]
    logits = (coefficients @ window.reshape(len(window), -1)).reshape(window.shape[1:])
    to_cells = np.array(
        [[scale[0], 0.0, first[0] - columns.start], [0.0, scale[1], first[1] - rows.start]], dtype=np.float64
    )
    enlarged = cv2.warpAffine(
        logits, to_cells, (box[2] - box[0], box[3] - box[1]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    mask: BoolArray = enlarged > 0.0
    return mask
