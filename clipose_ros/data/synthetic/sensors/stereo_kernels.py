"""Compiled loops of stereo and structured-light cameras; ``triangulation`` has the method.

They round as NumPy does: no multiplication is contracted with an addition.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numba import njit

from clipose_ros.model.numba_cache import ensure_writable_cache
from clipose_ros.types import BoolArray, ByteArray, FloatArray

ensure_writable_cache(Path(__file__).parent)


@njit(cache=True, nogil=True)
def add_shot_noise(image: FloatArray, normal: FloatArray, noise: np.float32) -> tuple[FloatArray, FloatArray]:
    """Return an image ``(H, W)`` with shot noise, and its square; all arrays are float32.

    Args:
        image: Brightness.
        normal: Normally distributed numbers.
        noise: Deviation of the noise at a brightness of 0.75.
    """
    noisy, squared = np.empty_like(image), np.empty_like(image)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            # Shot noise grows with the square root of the brightness.
            scale = noise * np.sqrt(np.float32(0.25) + image[row, column])
            value = image[row, column] + scale * normal[row, column]
            noisy[row, column], squared[row, column] = value, value * value
    return noisy, squared


@njit(cache=True, nogil=True)
def normalize_contrast(image: FloatArray, mean: FloatArray, squared_mean: FloatArray) -> tuple[ByteArray, FloatArray]:
    """Return 8-bit values of equal local contrast, and the contrast, ``(H, W)`` each.

    Args:
        image: ``(H, W)`` float32 brightness.
        mean: Its local mean.
        squared_mean: Local mean of its square.
    """
    grey, contrast = np.empty(image.shape, dtype=np.uint8), np.empty_like(image)
    zero, one, least = np.float32(0.0), np.float32(255.0), np.float32(1e-3)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            average = mean[row, column]
            deviation = np.sqrt(max(squared_mean[row, column] - average * average, zero))
            scaled = np.float32(128.0) + np.float32(48.0) * (image[row, column] - average) / max(deviation, least)
            grey[row, column], contrast[row, column] = np.uint8(min(max(scaled, zero), one)), deviation
    return grey, contrast


@njit(cache=True, nogil=True)
def find_hidden(disparity: FloatArray) -> BoolArray:
    """Return a mask ``(H, W)`` of pixels that a nearer surface hides in the second image.

    Column u of the first image appears in column u - d of the second. It is hidden if a column further right appears at
    or left of that place.

    Args:
        disparity: ``(H, W)`` float32, pixels; negative for none.
    """
    height, width = disparity.shape
    hidden = np.zeros((height, width), dtype=np.bool_)
    for row in range(height):
        leftmost = np.float32(1e6)
        for column in range(width - 1, -1, -1):
            d = disparity[row, column]
            place = np.float32(column) - d if d >= 0.0 else np.float32(1e6)
            hidden[row, column] = leftmost < place - np.float32(0.5)
            leftmost = min(leftmost, place)
    return hidden
