"""Masks of objects from their bounding boxes and the depth image.

1. The supporting plane is fitted to the depth around the box. Under a pinhole camera, a plane has an inverse depth that
   is affine in the pixel: 1/z = a u + b v + c. RANSAC draws three pixels at a time.
2. Pixels of the box that lie in front of the plane are candidates; without a plane, all valid pixels are.
3. Candidates are divided where the depth jumps. The part with the most pixels in the middle of the box is the object.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from clipose_ros.types import BoolArray, FloatArray, IndexArray

Box = tuple[int, int, int, int]
_MARGIN = 0.3  # width of the surroundings that show the plane, as a fraction of the side of the box
_MIN_MARGIN_PX = 8
_RING_PIXELS = 600  # pixels of the surroundings that are used
_TRIALS = 96  # samples of three pixels: with half of the pixels on the plane, all of them fail with probability 3e-6
_MIN_INLIERS = 0.3  # a plane that holds a smaller part of the surroundings is none
_CLEARANCE_M = 0.006  # distance from the plane of pixels that belong to an object
_GAP_M = 0.015  # largest step in depth between neighbouring pixels of one surface
_NOISE_PER_M = 0.004  # depth noise at 1 m, metres; grows with depth squared
_MIDDLE = 0.25  # rim of the box that is not its middle, as a fraction of its sides


def box_mask(depth: FloatArray, box: Box) -> BoolArray:
    """Segment the object in a bounding box by depth.

    Args:
        depth: ``(H, W)`` depth along the optical axis, metres; invalid pixels are not finite or <= 0.
        box: Pixel box (x0, y0, x1, y1) of the object, ends exclusive, not empty and inside the image.

    Returns:
        ``(y1 - y0, x1 - x0)`` bool; pixels without depth are False, and all are if the box has no object in it.
    """
    x0, y0, x1, y1 = box
    z = depth[y0:y1, x0:x1].astype(np.float64)
    candidates = np.isfinite(z) & (z > 0.0)
    plane = _fit_plane(depth, box)
    if plane is not None:
        u, v = np.arange(x0, x1), np.arange(y0, y1)[:, None]
        inverse = plane[0] * u + plane[1] * v + plane[2]
        with np.errstate(divide="ignore"):
            # Where the inverse depth is not positive, the plane lies behind the horizon: every pixel is in front of it.
            plane_z = np.where(inverse > 0.0, 1.0 / inverse, np.inf)
        candidates &= z < plane_z - _CLEARANCE_M - _noise_m(z)
    return _central_part(np.where(candidates, z, np.inf))


def _noise_m(z: FloatArray) -> FloatArray:
    """Return the depth noise at depths, metres."""
    return np.asarray(_NOISE_PER_M * z * z)


def _fit_plane(depth: FloatArray, box: Box) -> FloatArray | None:
    """Fit the plane (a, b, c) of the inverse depth around a box; None if the surroundings show none."""
    pixels = _surroundings(depth, box)
    if len(pixels) < 3:
        return None
    v, u = pixels.T
    inverse = 1.0 / depth[v, u].astype(np.float64)
    design = np.column_stack([u, v, np.ones(len(u))])
    # A step of dz in depth is one of dz / z^2 in inverse depth.
    tolerance = (_CLEARANCE_M + _noise_m(1.0 / inverse)) * inverse**2
    samples = np.random.default_rng(len(pixels)).integers(0, len(pixels), (_TRIALS, 3))
    drawn = design[samples]
    regular = np.abs(np.linalg.det(drawn)) > 1.0  # twice the area of the triangle in the image, pixels
    if not regular.any():
        return None
    planes = np.linalg.solve(drawn[regular], inverse[samples[regular], None])[..., 0]
    inliers = np.abs(planes @ design.T - inverse) < tolerance
    best = inliers[inliers.sum(axis=1).argmax()]
    if best.sum() < max(_MIN_INLIERS * len(pixels), 3):
        return None
    weights = 1.0 / tolerance[best]
    fitted, *_ = np.linalg.lstsq(design[best] * weights[:, None], inverse[best] * weights, rcond=None)
    return np.asarray(fitted)


def _surroundings(depth: FloatArray, box: Box) -> IndexArray:
    """Return valid pixels ``(N, 2)`` (row, column) of a frame around a box, evenly spread."""
    x0, y0, x1, y1 = box
    margin = max(_MIN_MARGIN_PX, math.ceil(_MARGIN * max(x1 - x0, y1 - y0)))
    left, top = max(x0 - margin, 0), max(y0 - margin, 0)
    window = depth[top : y1 + margin, left : x1 + margin]
    usable = np.isfinite(window) & (window > 0.0)
    usable[y0 - top : y1 - top, x0 - left : x1 - left] = False
    pixels = np.argwhere(usable)
    step = max(1, len(pixels) // _RING_PIXELS)
    return np.asarray(pixels[::step] + np.array([top, left]), dtype=np.int64)


def _central_part(z: FloatArray) -> BoolArray:
    """Return the connected surface with the most pixels in the middle; ``z`` is infinite outside of candidates."""
    candidates = np.isfinite(z)
    height, width = z.shape
    # The nearest of the four neighbours decides: a pixel far behind one of them is cut off, the near one remains.
    nearest = cv2.erode(z, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), borderType=cv2.BORDER_REPLICATE)
    with np.errstate(invalid="ignore"):
        smooth = candidates & (z - nearest < _GAP_M + _noise_m(z))
    _, parts = cv2.connectedComponents(smooth.astype(np.uint8), connectivity=4)
    rim_y, rim_x = int(_MIDDLE * height), int(_MIDDLE * width)
    middle = parts[rim_y : height - rim_y, rim_x : width - rim_x]
    areas = np.bincount(middle.ravel(), minlength=2)
    areas[0] = 0
    if not areas.any():
        return np.zeros(z.shape, dtype=bool)
    return np.asarray(parts == areas.argmax())
