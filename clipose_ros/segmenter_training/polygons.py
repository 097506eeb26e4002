"""The outline of a mask as one closed polygon, the form in which detectors are taught."""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.types import BoolArray, FloatArray

MIN_AREA_PX = 8.0
"""Smaller parts and holes are passed over."""


def outline(mask: BoolArray, tolerance_px: float = 0.6) -> FloatArray:
    """One closed path around all parts and holes of a mask.

    Parts and holes are joined by bridges that are walked there and back, so that filling by the even-odd rule gives the
    mask again, but for the width of a bridge.

    Args:
        mask: ``(H, W)``.
        tolerance_px: How far the path may leave the pixels' rim.

    Returns:
        ``(N, 2)`` float64 columns and rows of pixel centres; empty where no part has an area.
    """
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    wide = sorted((ring for ring in found if cv2.contourArea(ring) >= MIN_AREA_PX), key=cv2.contourArea, reverse=True)
    rings = [cv2.approxPolyDP(ring, tolerance_px, True)[:, 0].astype(np.float64) for ring in wide]
    if not rings:
        return np.empty((0, 2))
    path: FloatArray = rings[0]
    for ring in rings[1:]:
        path = _joined(path, ring)
    return path


def _joined(path: FloatArray, ring: FloatArray) -> FloatArray:
    """The path with a detour from its nearest corner to the ring, around it and back."""
    distance = np.linalg.norm(path[:, None] - ring[None], axis=2)
    leave, enter = np.unravel_index(int(distance.argmin()), distance.shape)
    around = np.roll(ring, -int(enter), axis=0)
    return np.concatenate([path[: leave + 1], around, around[:1], path[leave:]])
