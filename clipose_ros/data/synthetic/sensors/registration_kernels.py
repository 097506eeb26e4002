"""Compiled loop of the registration of depth images; ``registration`` describes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numba import njit

from clipose_ros.model.numba_cache import ensure_writable_cache
from clipose_ros.types import FloatArray

ensure_writable_cache(Path(__file__).parent)


@njit(cache=True, nogil=True)
def draw_pixels(depth: FloatArray, K: FloatArray, K_colour: FloatArray, T: FloatArray, image: FloatArray) -> None:
    """Draw depth pixels as squares; nearer ones cover farther ones.

    Args:
        depth: ``(H, W)`` float32 depth, metres.
        K: ``(4,)`` fx, fy, cx, cy of the depth image.
        K_colour: ``(4,)`` fx, fy, cx, cy of the result.
        T: ``(3, 4)`` pose ``T_colour_depth``.
        image: ``(height, width)`` float32 result, zeros; nearer pixels replace farther ones.
    """
    height, width = image.shape
    half_u, half_v = K_colour[0] / K[0] / 2, K_colour[1] / K[1] / 2
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            z = np.float64(depth[row, column])
            if z <= 0.0:
                continue
            x, y = (column - K[2]) / K[0] * z, (row - K[3]) / K[1] * z
            ahead = T[2, 0] * x + T[2, 1] * y + T[2, 2] * z + T[2, 3]
            if ahead <= 0.02:
                continue
            u = (T[0, 0] * x + T[0, 1] * y + T[0, 2] * z + T[0, 3]) / ahead * K_colour[0] + K_colour[2]
            v = (T[1, 0] * x + T[1, 1] * y + T[1, 2] * z + T[1, 3]) / ahead * K_colour[1] + K_colour[3]
            moved = np.float32(ahead)
            for i in range(max(int(np.rint(v - half_v)), 0), min(int(np.rint(v + half_v)), height - 1) + 1):
                for j in range(max(int(np.rint(u - half_u)), 0), min(int(np.rint(u + half_u)), width - 1) + 1):
                    if image[i, j] == 0.0 or moved < image[i, j]:
                        image[i, j] = moved
