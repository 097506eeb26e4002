"""Depth cameras that triangulate: stereo with or without an active pattern, and structured light.

The camera's own matching is carried out, so its errors need no model of their own. For a window of the infrared image:

1. Cast the window. The second image is wider by the search range of the disparity d = f b / z.
2. Light each surface: ambient light, plus the dot pattern of the projector, weaker with squared distance. Structured
   light needs the projector: where an object blocks it, there is no pattern.
3. Second image: of a camera a baseline to the right (stereo), or the pattern itself (structured light).
4. Normalize the contrast of both within 15 pixels, add noise, match with semi-global block matching (OpenCV), and check
   left against right.
5. Quantize the disparity, add the calibration error, and convert it to depth.

Edges fatten because a patch holds two surfaces, holes appear where the second view is blocked or the contrast is too
low, and neighbouring errors are alike because their patches overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from clipose_ros.config import ConfigNode, option
from clipose_ros.data.synthetic.sensors.lighting import TILE_PX, Lamp, SurfaceScene, look_up_pattern
from clipose_ros.data.synthetic.sensors.stereo_kernels import add_shot_noise, find_hidden, normalize_contrast
from clipose_ros.types import BoolArray, ByteArray, CameraIntrinsics, FloatArray

_RANGE_STEP = 16
_MAX_RANGE_PX = 96
_CONTRAST_RADIUS_PX = 7
_SHIFT = 16  # OpenCV returns disparities in sixteenths of a pixel


@dataclass(frozen=True)
class TriangulationSensor(ConfigNode):
    """Parameters of a stereo or structured-light camera."""

    is_stereo: bool = option(True, "True for two cameras, False for one camera and the known pattern.")
    baseline_m: float = option(
        0.05, "Distance from the first camera to the second, or to the projector, metres.", low=0.001, high=1.0
    )
    pattern: float = option(
        2.0, "Brightness of the dots on a white surface at 1 m; 0 for no projector.", low=0.0, high=10.0
    )
    dots: float = option(0.1, "Dots of the pattern per pixel.", low=0.0001, high=0.5)
    ambient: float = option(0.5, "Brightness of the ambient light on a white surface.", low=0.0, high=10.0)
    noise: float = option(0.006, "Standard deviation of the image noise, brightness.", low=0.0, high=1.0)
    block_px: int = option(7, "Side of the matching patches, pixels; odd.", low=3, high=21)
    smoothness: float = option(1.0, "Factor of the penalties of the semi-global matching.", low=0.0, high=10.0)
    uniqueness: int = option(3, "Margin by which the best match must be better than others, per cent.", low=0, high=50)
    min_contrast: float = option(0.004, "Lowest contrast that is matched, brightness.", low=0.0, high=1.0)
    disparity_step_px: float = option(1 / 32, "Quantization step of the disparity, pixels.", low=0.001, high=1.0)
    disparity_error_px: float = option(
        0.0, "Constant error of the disparity by calibration, pixels.", low=-2.0, high=2.0
    )
    smooth_px: float = option(
        2.0, "Radius of the edge-preserving smoothing of the disparity, pixels.", low=0.0, high=10.0
    )
    quantum_mm: float = option(
        1.0, "Quantization step of the depth image, millimetres; 0 for none.", low=0.0, high=10.0
    )
    min_m: float = option(0.15, "Smallest measured depth, metres.", low=0.01, high=10.0)
    max_m: float = option(5.0, "Largest measured depth, metres.", low=0.1, high=100.0)


class _Search(NamedTuple):
    """Range of the disparities that are compared.

    Attributes:
        smallest: Smallest disparity, whole pixels.
        size: Number of disparities, a multiple of 16.
    """

    smallest: int
    size: int


def measure_by_triangulation(
    scene: SurfaceScene,
    T_world_camera: FloatArray,
    window: CameraIntrinsics,
    sensor: TriangulationSensor,
    rng: np.random.Generator,
) -> FloatArray:
    """Measure the depth of a window of the infrared image.

    Args:
        scene: The scene.
        T_world_camera: ``(4, 4)`` pose of the first camera, optical frame, metres.
        window: Intrinsics of the window.
        sensor: The camera.
        rng: Random generator; equal states give equal depth.

    Returns:
        ``(H, W)`` float32 depth, metres; 0 is invalid.
    """
    view = scene.view(T_world_camera, window)
    focal_baseline = window.fx * sensor.baseline_m
    search = _choose_search(view.depth, focal_baseline)
    if search is None:
        return np.zeros(view.depth.shape, dtype=np.float32)
    wide = _shift(window, -search.size, window.width + search.size)
    offset = rng.uniform(0.0, TILE_PX, 2)
    # The projector of a stereo camera lies between both cameras; its own shadows are hardly seen by them.
    place = (0.5 if sensor.is_stereo else 1.0) * sensor.baseline_m
    light = sensor.ambient, sensor.pattern, sensor.dots, offset, not sensor.is_stereo
    lamp = Lamp(T_world_camera, place, window.fx, *light)
    lit = view.light(lamp)
    # OpenCV matches no column that is less than the range from the left side: columns without content are added.
    first = np.pad(lit, ((0, 0), (search.size, 0)), mode="reflect" if search.size < lit.shape[1] else "edge")
    # A point in column u of the first image lies in column u - d of the second, so its window starts earlier.
    beside = _shift(wide, -search.smallest, wide.width)
    if sensor.is_stereo:
        T_world_second = T_world_camera.copy()
        T_world_second[:3, 3] += sensor.baseline_m * T_world_camera[:3, 0]
        second = scene.view(T_world_second, beside).light(lamp)
    else:
        second = _draw_pattern(beside, sensor, offset)
    grey, contrast = _normalize(first, sensor.noise, rng)
    other, _ = _normalize(second, sensor.noise if sensor.is_stereo else 0.0, rng)
    disparity = _match(grey, other, search, sensor, scene.is_compiled)[:, -view.depth.shape[1] :]
    valid = (disparity >= search.smallest) & (contrast[:, search.size :] >= sensor.min_contrast)
    return _to_depth(disparity, valid, focal_baseline, sensor)


def _choose_search(depth: FloatArray, focal_baseline: float) -> _Search | None:
    """Return the range of the disparities of a window with a margin; None if it is empty."""
    seen = depth[depth > 0]
    if not seen.size:
        return None
    nearest = int(np.ceil(focal_baseline / float(seen.min()))) + 3
    first = max(int(np.floor(focal_baseline / float(seen.max()))) - 3, 0)
    count = -(-(nearest - first) // _RANGE_STEP) * _RANGE_STEP
    # Of a very deep window, the nearest surfaces are measured.
    count = min(count, _MAX_RANGE_PX)
    return _Search(max(nearest - count, 0), count)


def _shift(window: CameraIntrinsics, left: int, width: int) -> CameraIntrinsics:
    """Return the window of a given width whose first column is ``left`` columns to the right."""
    return CameraIntrinsics(window.fx, window.fy, window.cx - left, window.cy, width, window.height)


def _draw_pattern(window: CameraIntrinsics, sensor: TriangulationSensor, offset: FloatArray) -> FloatArray:
    """Return the pattern ``(H, W)`` in the pixels of a window of the projector."""
    u = np.arange(window.width, dtype=np.float32) - np.float32(window.cx) + np.float32(offset[0])
    v = (np.arange(window.height, dtype=np.float32) - np.float32(window.cy)) * np.float32(window.fx / window.fy)
    columns, rows = np.meshgrid(u, v + np.float32(offset[1]))
    return look_up_pattern(columns, rows, sensor.dots)


def _normalize(image: FloatArray, noise: float, rng: np.random.Generator) -> tuple[ByteArray, FloatArray]:
    """Add noise and normalize the local contrast; return 8-bit values and the contrast, ``(H, W)`` each."""
    normal = rng.standard_normal(image.shape, np.float32) if noise > 0.0 else np.zeros_like(image)
    image, squared = add_shot_noise(image, normal, np.float32(noise))
    side = (2 * _CONTRAST_RADIUS_PX + 1,) * 2
    result: tuple[ByteArray, FloatArray] = normalize_contrast(image, cv2.blur(image, side), cv2.blur(squared, side))
    return result


def _match(
    first: ByteArray, second: ByteArray, search: _Search, sensor: TriangulationSensor, is_cut: bool
) -> FloatArray:
    """Return the disparity ``(H, W)`` of a pair, pixels; less than ``search.smallest`` where there is no match.

    Args:
        first: First image.
        second: Second image.
        search: Range of the disparities.
        sensor: The camera.
        is_cut: True to cut off the columns on the left that have no match, and save their refinement.
    """
    area = sensor.block_px**2
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=search.size,
        blockSize=sensor.block_px,
        P1=round(8 * area * sensor.smoothness),
        P2=round(32 * area * sensor.smoothness) + 1,
        disp12MaxDiff=1,
        preFilterCap=31,
        uniquenessRatio=sensor.uniqueness,
        speckleWindowSize=40,
        speckleRange=2,
        mode=cv2.StereoSGBM_MODE_SGBM_3WAY,
    )
    cut = search.size if is_cut else 0
    found: FloatArray = matcher.compute(first, second)[:, cut:].astype(np.float32) / _SHIFT
    matched = (found >= 0.0) & ~find_hidden(found)
    found = _refine(first[:, cut:], second, np.maximum(found, 0.0), matched, sensor.block_px)
    if sensor.smooth_px >= 0.5:
        # Smoothing keeps steps of more than about a pixel.
        side = 2 * round(2 * sensor.smooth_px) + 1
        kept = np.where(matched, found, -1e3).astype(np.float32)
        found = np.asarray(cv2.bilateralFilter(kept, side, 0.4, sensor.smooth_px), dtype=np.float32)
    return np.where(matched, found + search.smallest, -1.0).astype(np.float32)


def _refine(first: ByteArray, second: ByteArray, found: FloatArray, matched: BoolArray, block_px: int) -> FloatArray:
    """Refine disparities ``(H, W)`` by three Gauss-Newton steps (Lucas and Kanade).

    The second image may have more columns, on the left.

    Within a patch with the weights w, the gradient g and the difference e of the first image to the second, moved by
    the disparity, the step is sum(w g e) / sum(w g^2). The semi-global matching itself prefers whole pixels, which real
    cameras do not.
    """
    left, right = (cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.6) for image in (first, second))
    height, width = found.shape
    shift = second.shape[1] - width
    u, v = np.meshgrid(np.arange(shift, shift + width, dtype=np.float32), np.arange(height, dtype=np.float32))
    side = (block_px, block_px)
    start, weight = found, matched.astype(np.float32)
    slope = cv2.Sobel(left, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    for _ in range(3):
        columns = np.asarray(u - found, dtype=np.float32)
        moved = cv2.remap(right, columns, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        gradient = 0.5 * (slope + cv2.Sobel(moved, cv2.CV_32F, 1, 0, ksize=3, scale=0.125))
        weighted = weight * gradient
        # The image moves to the right as the disparity grows, so a larger disparity lowers the brightness by g.
        step = cv2.blur(weighted * (moved - left), side) / (cv2.blur(weighted * gradient, side) + 1.0)
        found = start + np.clip(found + np.clip(step, -0.5, 0.5) - start, -1.0, 1.0)
    return found.astype(np.float32)


def _to_depth(
    disparity: FloatArray, valid: BoolArray, focal_baseline: float, sensor: TriangulationSensor
) -> FloatArray:
    """Quantize the disparity ``(H, W)`` and convert it to depth, metres; 0 where it is not valid."""
    step = sensor.disparity_step_px
    measured = np.rint(disparity / step) * step + sensor.disparity_error_px
    z = focal_baseline / np.maximum(measured, 0.05)
    if sensor.quantum_mm > 0.0:
        z = np.rint(z / (1e-3 * sensor.quantum_mm)) * (1e-3 * sensor.quantum_mm)
    return np.where(valid & (z >= sensor.min_m) & (z <= sensor.max_m), z, 0.0).astype(np.float32)
