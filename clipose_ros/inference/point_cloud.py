"""From a mask's depth to the points that the network sees."""

from __future__ import annotations

import math

import cv2
import numpy as np

from clipose_ros.config import CloudConfig
from clipose_ros.geometry.camera import backproject_pixels
from clipose_ros.types import (
    BoolArray,
    FlatIndexArray,
    FloatArray,
    InstanceMask,
    ObjectCloud,
    Rejection,
    RejectionReason,
    RgbdFrame,
)

_CANDIDATES = 2  # pixels looked at per point wanted; trimming never takes half of them
_MARGIN = 0.25  # of the visible side: depth this near the median deviations' bound is never an outlier
_GAP_M = 0.015  # stretch of depth along which a surface must go on
_RUN = 0.003  # of the points: as many must lie in such a stretch; flying pixels are sparser, a bottle's flank is denser
_GRAIN_PER_M = 0.003  # depth step and noise of a structured-light sensor, metres at 1 m; grows with the square of depth


def extract_cloud(frame: RgbdFrame, instance: InstanceMask, config: CloudConfig) -> ObjectCloud | Rejection:
    """Back-project the depth under a mask and sample the network's points from it.

    The rim of the mask, invalid and out-of-range depth and outliers are left out. The points come in random order,
    since the network pools by keeping the first ones; fewer pixels than points are repeated cyclically. Equal input
    gives equal points.

    Args:
        frame: Where the depth is.
        instance: Which pixels.
        config: Number of points, range and trimming.

    Returns:
        ``config.points`` points, float32, metres, camera optical frame; or the reason why there are too few, with the
        figures.
    """
    x0, y0, x1, y1 = instance.box
    depth = np.ascontiguousarray(frame.depth[y0:y1, x0:x1])
    usable = (depth >= config.depth_min_m) & (depth <= config.depth_max_m)  # False for NaN
    inner = np.flatnonzero(usable & _eroded(instance.mask, config.erode_px))
    usable &= instance.mask
    # a mask so thin keeps its rim
    pixels = inner if inner.size >= config.min_points else np.flatnonzero(usable)
    if pixels.size < config.min_points:
        return _rejected(instance, config, depth, pixels.size)
    rng = np.random.default_rng(pixels.size)
    pixels = _spread(pixels, _CANDIDATES * config.points, rng)
    z = depth.reshape(-1).take(pixels)
    kept = np.arange(z.size)
    if config.outlier_mad > 0.0:
        side_px = math.sqrt(np.count_nonzero(usable))
        near, far = _depth_bounds(z, config.outlier_mad, side_px / frame.intrinsics.fx)
        kept = np.flatnonzero((z >= near) & (z <= far))
    order = np.resize(rng.permutation(kept), config.points)
    v, u = np.divmod(pixels.take(order), x1 - x0)
    points_camera = backproject_pixels(u + x0, v + y0, z.take(order), frame.intrinsics)
    return ObjectCloud(instance, points_camera.astype(np.float32))


def _eroded(mask: BoolArray, radius_px: int) -> BoolArray:
    """The mask without its rim, where depth bleeds from one surface to the next."""
    if radius_px == 0:
        return mask
    kernel = np.ones((2 * radius_px + 1, 2 * radius_px + 1), np.uint8)
    inner = cv2.erode(mask.view(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return inner.view(np.bool_)


def _spread(pixels: FlatIndexArray, most: int, rng: np.random.Generator) -> FlatIndexArray:
    """At most that many of the pixels, one drawn from each of as many equal stretches: they cover the whole mask."""
    if pixels.size <= most:
        return pixels
    starts = np.arange(most + 1) * pixels.size // most
    return pixels[starts[:-1] + (rng.random(most) * np.diff(starts)).astype(np.int64)]


def _depth_bounds(z: FloatArray, deviations: float, side_rad: float) -> tuple[float, float]:
    """Nearest and farthest depth that belongs to the object.

    Within ``deviations`` median deviations of the median plus a margin everything belongs. Beyond, depth belongs as
    long as it goes on without a gap: the lid of a laptop or the flank of a bottle seen end-on does, flying pixels and
    the wall behind do not.
    """
    ordered = np.sort(z).astype(np.float64)
    middle = ordered.size // 2
    median = float(ordered[middle])
    side_m = side_rad * median  # of the square with as much area as is visible
    grain = _GRAIN_PER_M * median * median
    # The half of the values that is nearest to the median lies side by side: no other stretch as long is as narrow.
    deviation = float(np.maximum(median - ordered[: ordered.size - middle], ordered[middle:] - median).min())
    bound = deviations * deviation + _MARGIN * side_m + grain
    step = max(1, round(_RUN * ordered.size))
    gap = _GAP_M + grain
    first, last = ordered.searchsorted([median - bound, median + bound])
    return -_run_end(-ordered[first::-1], step, gap), _run_end(ordered[last - 1 :], step, gap)


def _run_end(tail: FloatArray, step: int, gap: float) -> float:
    """Last of the sorted values that belongs to a run with the first one: ``step`` of them lie in each ``gap``."""
    ahead = np.full(tail.size, np.inf)
    ahead[:-step] = tail[step:]
    return float(tail[np.argmax(ahead - tail > gap)])


def _rejected(instance: InstanceMask, config: CloudConfig, depth: FloatArray, usable: int) -> Rejection:
    """Why this mask gives no cloud."""
    valid = int((np.isfinite(depth) & (depth > 0.0)).sum(where=instance.mask))
    detail = (
        f"{usable} of {int(instance.mask.sum())} mask pixels have depth from {config.depth_min_m} to "
        f"{config.depth_max_m} m, {valid} have any, and {config.min_points} are needed"
    )
    reason = RejectionReason.TOO_FEW_POINTS if usable else RejectionReason.NO_DEPTH
    return Rejection(instance.category, reason, detail, instance)
