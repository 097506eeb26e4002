"""Statistics of depth images that distinguish cameras: noise of planes, and widths of shadows and other holes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipose_ros.types import FloatArray

_HALF = 7
"""Half side of the patches in which planes are fitted, pixels."""
_LAGS = (1, 2, 4)
_JUMP_M = 0.05
_MAX_HOLE_PX = 60


@dataclass(frozen=True, slots=True)
class DepthStatistics:
    """Statistics of the depth images of one camera.

    Attributes:
        plane_mm: Quantiles of 10, 25 and 50 % of the standard deviation of inverse depth about planes within 15 x 15
            pixels, as millimetres of depth at 1 m.
        correlation: Correlation of these deviations 1, 2 and 4 pixels apart in a row.
        left_shadow_mm: Median width of holes left of near surfaces, over f (1 / z_near - 1 / z_far), millimetres.
        right_shadow_mm: The same right of near surfaces.
        hole_px: Median width of holes within a surface, pixels.
        invalid: Share of pixels without depth.
    """

    plane_mm: tuple[float, ...]
    correlation: tuple[float, ...]
    left_shadow_mm: float
    right_shadow_mm: float
    hole_px: float
    invalid: float


def measure_statistics(images: Sequence[FloatArray], focal_px: float, max_m: float = 1.5) -> DepthStatistics:
    """Measure the statistics of depth images of a camera.

    Args:
        images: ``(H, W)`` depth, metres; 0 is invalid.
        focal_px: Focal length, pixels.
        max_m: Depth beyond is left out, metres.
    """
    near = [np.where(image <= max_m, image, 0.0) for image in images]
    deviations, correlations, left, right, holes = [], [], [], [], list[float]()
    for image in near:
        for residual in _fit_planes(image):
            deviations.append(float(residual.std()))
            power = max(float((residual**2).mean()), 1e-20)
            correlations.append([float((residual[:, :-k] * residual[:, k:]).mean()) / power for k in _LAGS])
        for width, before, after in _find_holes(image):
            parallax = focal_px * abs(1.0 / after - 1.0 / before)
            if after < before - _JUMP_M:
                left.append(width / parallax)
            elif before < after - _JUMP_M:
                right.append(width / parallax)
            else:
                holes.append(width)
    return DepthStatistics(
        plane_mm=tuple(1e3 * np.percentile(deviations or [np.nan], [10, 25, 50])),
        correlation=tuple(np.median(np.array(correlations or [[np.nan] * len(_LAGS)]), axis=0)),
        left_shadow_mm=1e3 * float(np.median(left or [np.nan])),
        right_shadow_mm=1e3 * float(np.median(right or [np.nan])),
        hole_px=float(np.median(holes or [np.nan])),
        invalid=float(np.mean([(image <= 0).mean() for image in images])),
    )


def _fit_planes(image: FloatArray) -> list[FloatArray]:
    """Return the deviations ``(15, 15)`` of inverse depth from a plane in patches without holes and steps."""
    axis = np.arange(-_HALF, _HALF + 1)
    u, v = np.meshgrid(axis, axis)
    basis = np.stack([u.ravel(), v.ravel(), np.ones(u.size)], axis=1)
    projection = basis @ np.linalg.pinv(basis)
    residuals = []
    for row in range(_HALF, image.shape[0] - _HALF, 9):
        for column in range(_HALF, image.shape[1] - _HALF, 9):
            patch = image[row - _HALF : row + _HALF + 1, column - _HALF : column + _HALF + 1]
            # A plane of inverse depth is a plane in space.
            if patch.min() > 0 and np.ptp(patch) < 0.12:
                inverse = 1.0 / patch.ravel()
                residuals.append((inverse - projection @ inverse).reshape(patch.shape))
    return residuals


def _find_holes(image: FloatArray) -> list[tuple[float, float, float]]:
    """Return width, depth before and depth after of each run of invalid pixels within a row."""
    found = []
    for row in image:
        edges = np.diff(np.concatenate([[1], (row > 0).astype(np.int8), [1]]))
        for start, end in zip(np.flatnonzero(edges == -1), np.flatnonzero(edges == 1), strict=True):
            if start > 0 and end < len(row) and end - start <= _MAX_HOLE_PX:
                found.append((float(end - start), float(row[start - 1]), float(row[end])))
    return found
