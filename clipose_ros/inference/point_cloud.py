"""Extraction of an object's point cloud from the depth under its mask."""

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

_CANDIDATES = 2  # pixels drawn per point; trimming never removes half of them
_MARGIN = 0.25  # fraction of the visible side that is added to the bound in median deviations
_GAP_M = 0.015  # largest gap in depth within one surface, metres
_RUN = 0.003  # fraction of the points that must lie within a gap; flying pixels are sparser, a bottle's flank denser
_NOISE_PER_M = 0.003  # depth step and noise of a structured-light sensor at 1 m, metres; grows with depth squared


def extract_cloud(frame: RgbdFrame, instance: InstanceMask, config: CloudConfig) -> ObjectCloud | Rejection:
    """Back-project the depth under a mask and sample the network's points from it.

    The rim of the mask, invalid and out-of-range depth, and outliers are left out. The points are in random order,
    because the network pools by keeping the first ones. If there are fewer pixels than points, pixels are repeated
    cyclically. Equal input gives equal points.

    Args:
        frame: Frame with the depth image.
        instance: Mask of the object.
        config: Number of points, depth range and trimming.

    Returns:
        ``config.points`` points, float32, metres, camera optical frame; or a rejection with the number of valid pixels.
    """
    x0, y0, x1, y1 = instance.box
    depth = np.ascontiguousarray(frame.depth[y0:y1, x0:x1])
    usable = (depth >= config.depth_min_m) & (depth <= config.depth_max_m)  # False for NaN
    inner = np.flatnonzero(usable & _erode(instance.mask, config.erode_px))
    usable &= instance.mask
    # a thin mask keeps its rim: erosion would leave too few pixels
    pixels = inner if inner.size >= config.min_points else np.flatnonzero(usable)
    if pixels.size < config.min_points:
        return _reject(instance, config, depth, pixels.size)
    rng = np.random.default_rng(pixels.size)  # seeded by the frame alone: equal input gives equal points
    pixels = _sample_evenly(pixels, _CANDIDATES * config.points, rng)
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


def _erode(mask: BoolArray, radius_px: int) -> BoolArray:
    """Return the mask without its rim, where depth bleeds from one surface to the next."""
    if radius_px == 0:
        return mask
    kernel = np.ones((2 * radius_px + 1, 2 * radius_px + 1), np.uint8)
    inner = cv2.erode(mask.view(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return inner.view(np.bool_)


def _sample_evenly(pixels: FlatIndexArray, count: int, rng: np.random.Generator) -> FlatIndexArray:
    """Draw at most ``count`` pixels, one from each of ``count`` equal intervals, so that they cover the whole mask."""
    if pixels.size <= count:
        return pixels
    starts = np.arange(count + 1) * pixels.size // count
    return pixels[starts[:-1] + (rng.random(count) * np.diff(starts)).astype(np.int64)]


def _depth_bounds(z: FloatArray, deviations: float, side_rad: float) -> tuple[float, float]:
    """Return the nearest and the farthest depth that belongs to the object, metres.

    All depth within ``deviations`` median deviations of the median, plus a margin, belongs to the object. Depth beyond
    belongs to it if it continues without a gap. The lid of a laptop or the flank of a bottle seen end-on does; flying
    pixels and the wall behind do not.

    Args:
        z: Depths, metres.
        deviations: Number of median deviations.
        side_rad: Angle that the object's visible side subtends, radians.
    """
    ordered = np.sort(z).astype(np.float64)
    middle = ordered.size // 2
    median = float(ordered[middle])
    side_m = side_rad * median  # side of a square with the visible area
    noise = _NOISE_PER_M * median * median
    # The half of the values nearest to the median is contiguous in sorted order: the window of the smallest radius.
    deviation = float(np.maximum(median - ordered[: ordered.size - middle], ordered[middle:] - median).min())
    bound = deviations * deviation + _MARGIN * side_m + noise
    step = max(1, round(_RUN * ordered.size))
    gap = _GAP_M + noise
    first, last = ordered.searchsorted([median - bound, median + bound])
    return -_run_end(-ordered[first::-1], step, gap), _run_end(ordered[last - 1 :], step, gap)


def _run_end(tail: FloatArray, step: int, gap: float) -> float:
    """Return the last sorted value of the first run: within a run, each ``gap`` contains ``step`` values."""
    ahead = np.full(tail.size, np.inf)
    ahead[:-step] = tail[step:]
    return float(tail[np.argmax(ahead - tail > gap)])


def _reject(instance: InstanceMask, config: CloudConfig, depth: FloatArray, usable: int) -> Rejection:
    """Return a rejection that counts the mask's pixels with usable depth and with any depth."""
    valid = depth[instance.mask & np.isfinite(depth) & (depth > 0.0)]
    median = f" (median {np.median(valid):.4g} m)" if valid.size else ""
    detail = (
        f"{usable} of {int(instance.mask.sum())} mask pixels have depth from {config.depth_min_m} to "
        f"{config.depth_max_m} m, {valid.size} have any{median}, and {config.min_points} are needed"
    )
    reason = RejectionReason.TOO_FEW_POINTS if usable else RejectionReason.NO_DEPTH
    return Rejection(instance.category, reason, detail, instance)
