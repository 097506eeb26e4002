"""Compiled lateral jitter of depth images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numba import njit

from clipose_ros.model.numba_cache import ensure_writable_cache
from clipose_ros.types import FloatArray

ensure_writable_cache(Path(__file__).parent)


@njit(cache=True, nogil=True)
def read_at_offsets(depth: FloatArray, offsets: FloatArray, scale: np.float32) -> FloatArray:
    """Read depth ``(H, W)`` at the offsets ``(2, H, W)`` times a scale, rounded to whole pixels within the image."""
    height, width = depth.shape
    result = np.empty_like(depth)
    for row in range(height):
        for column in range(width):
            v = row + int(np.rint(scale * offsets[0, row, column]))
            u = column + int(np.rint(scale * offsets[1, row, column]))
            result[row, column] = depth[min(max(v, 0), height - 1), min(max(u, 0), width - 1)]
    return result
