"""Conversion of a mask to one closed polygon, and its line in a label file of YOLO segmentation models."""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.types import BoolArray, FloatArray

MIN_AREA_PX = 8.0
"""Parts and holes with a smaller area are ignored."""


def mask_to_polygon(mask: BoolArray, tolerance_px: float = 0.6) -> FloatArray:
    """Return one closed polygon around all parts and holes of a mask.

    Parts and holes are joined by bridges that are followed in both directions. Filling the polygon by the even-odd rule
    therefore reproduces the mask, except for the width of the bridges.

    Args:
        mask: ``(H, W)``.
        tolerance_px: Largest distance of the polygon from the mask's contour, pixels.

    Returns:
        ``(N, 2)`` float64 columns and rows of pixel centres; empty if no part is large enough.
    """
    # RETR_CCOMP returns outer contours and holes; a hole is one more ring under the even-odd rule.
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    large = (contour for contour in contours if cv2.contourArea(contour) >= MIN_AREA_PX)
    rings = [
        cv2.approxPolyDP(contour, tolerance_px, True)[:, 0].astype(np.float64)
        for contour in sorted(large, key=cv2.contourArea, reverse=True)
    ]
    if not rings:
        return np.empty((0, 2))
    # From large to small: a bridge connects each ring with the nearest corner of the polygon so far.
    polygon: FloatArray = rings[0]
    for ring in rings[1:]:
        polygon = _join_ring(polygon, ring)
    return polygon


def format_label(number: int, polygon: FloatArray, width: int, height: int) -> str:
    """Return the line of an object in a label file: class number, then x and y relative to the size of the image.

    Args:
        number: Class number.
        polygon: ``(N, 2)`` columns and rows of pixel centres.
        width: Image width, pixels.
        height: Image height, pixels.
    """
    # Pixel centres are integers here; the label format counts from the corner of the image.
    relative = (polygon + 0.5) / (width, height)
    return " ".join([str(number), *(f"{value:.5f}" for value in relative.ravel())])


def _join_ring(polygon: FloatArray, ring: FloatArray) -> FloatArray:
    """Insert a detour into a polygon: from its corner nearest to the ring, once around the ring, and back."""
    distance = np.linalg.norm(polygon[:, None] - ring[None], axis=2)
    leave, enter = np.unravel_index(int(distance.argmin()), distance.shape)
    around = np.roll(ring, -int(enter), axis=0)
    return np.concatenate([polygon[: leave + 1], around, around[:1], polygon[leave:]])
