"""Depth sensor model: noise, quantization, occlusion shadows, flying pixels and holes on perfect depth.

Steps on a depth image z ``(H, W)``, metres, for focal length f (pixels) and baseline b (metres); disparity is f b / z:

1. Block matching: grey dilation of the disparity by half the patch radius (near surfaces grow), then bilateral filter.
2. Lateral jitter: each pixel reads z at a normally distributed pixel offset.
3. Flying pixels: on depth edges, some pixels take a value between the near and the far surface.
4. Loss: random edge pixels; pixels occluded in the second view; grazing or dark surfaces; random holes.
5. Axial noise: z (1 + scale_error) + sigma n, with sigma = noise_mm + noise_mm_per_m2 z^2 and n spatially correlated.
6. Quantization: to steps of the disparity, then to steps of the depth image.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from clipose_ros.config import ConfigNode, option
from clipose_ros.data.synthetic.jitter_kernels import read_at_offsets
from clipose_ros.types import BoolArray, FloatArray

EDGE_RATIO = 0.02
"""Depth step, relative to the near depth, above which a pixel lies on an edge."""


@dataclass(frozen=True)
class DepthNoiseConfig(ConfigNode):
    """Parameters of a depth sensor. The defaults resemble a short-range structured-light or stereo camera, 640x480."""

    noise_mm: float = option(0.5, "Standard deviation of depth at zero range, millimetres.", low=0.0, high=100.0)
    noise_mm_per_m2: float = option(
        1.5, "Growth of the standard deviation with squared depth, millimetres per square metre.", low=0.0, high=100.0
    )
    correlation_px: float = option(1.0, "Correlation radius of the noise, pixels.", low=0.0, high=20.0)
    scale_error: float = option(0.0, "Relative error of all depth values.", low=-0.1, high=0.1)
    baseline_m: float = option(
        0.05, "Stereo baseline, metres; pixels occluded in the second view are lost. 0 for none.", low=0.0, high=1.0
    )
    match_px: float = option(
        1.5,
        "Radius of the stereo matching patches, pixels; near surfaces grow at edges, small steps are smoothed.",
        low=0.0,
        high=10.0,
    )
    disparity_step_px: float = option(
        0.05, "Quantization step of the disparity, pixels; 0 for none.", low=0.0, high=1.0
    )
    quantum_mm: float = option(
        1.0, "Quantization step of the depth image, millimetres; 0 for none.", low=0.0, high=100.0
    )
    lateral_px: float = option(0.5, "Standard deviation of the lateral pixel jitter, pixels.", low=0.0, high=10.0)
    flying: float = option(0.25, "Probability that an edge pixel is a flying pixel.", low=0.0, high=1.0)
    edge_loss: float = option(0.3, "Probability that another edge pixel is lost.", low=0.0, high=1.0)
    grazing_deg: float = option(
        80.0, "Angle between ray and surface normal at which half of the pixels are lost, degrees.", low=0.0, high=90.0
    )
    dark_loss: float = option(0.25, "Probability of loss on a black surface.", low=0.0, high=1.0)
    holes: float = option(0.01, "Share of the image lost in small blobs.", low=0.0, high=1.0)
    max_m: float = option(5.0, "Maximum measured depth, metres.", low=0.1, high=100.0)


def random_depth_noise(rng: np.random.Generator) -> DepthNoiseConfig:
    """Draw a sensor between nearly perfect and poor, so that training does not overfit to one sensor."""
    # The exponent makes good sensors slightly more frequent than poor ones.
    severity = rng.uniform() ** 1.3
    stereo = rng.uniform() < 0.7
    return DepthNoiseConfig(
        noise_mm=float(rng.uniform(0.0, 1.2) * severity),
        noise_mm_per_m2=float(rng.uniform(0.3, 4.0) * severity),
        correlation_px=float(rng.uniform(0.0, 5.0 if stereo else 2.0)),
        scale_error=float(rng.normal(0.0, 0.003)),
        baseline_m=float(rng.uniform(0.02, 0.075)) if stereo else 0.0,
        match_px=float(rng.uniform(0.0, 4.5)) if stereo else 0.0,
        disparity_step_px=float(rng.uniform(0.0, 0.12)) if stereo else 0.0,
        quantum_mm=1.0,
        lateral_px=float(rng.uniform(0.0, 1.0) * severity),
        flying=float(rng.uniform(0.0, 0.6) * severity),
        edge_loss=float(rng.uniform(0.0, 0.7) * severity),
        grazing_deg=float(rng.uniform(75, 89)),
        dark_loss=float(rng.uniform(0.0, 0.7) * severity),
        holes=float(rng.uniform(0.0, 0.06) * severity),
    )


def add_depth_noise(
    depth: FloatArray,
    cos_incidence: FloatArray,
    albedo: FloatArray,
    focal_px: float,
    rng: np.random.Generator,
    config: DepthNoiseConfig | None = None,
) -> FloatArray:
    """Simulate the measurement of a perfect depth image.

    Args:
        depth: ``(H, W)`` float32 metres; 0 is invalid.
        cos_incidence: ``(H, W)`` cosine of the angle between ray and surface normal.
        albedo: ``(H, W)`` surface albedo in [0, 1].
        focal_px: Focal length, pixels.
        rng: Random generator; equal states give equal noise.
        config: The sensor; the default one if left out.

    Returns:
        ``(H, W)`` float32 measured depth, metres; 0 is invalid.
    """
    config = config or DepthNoiseConfig()
    matched = _match_blocks(depth, focal_px * config.baseline_m, config.match_px)
    z = _jitter_pixels(matched, rng, config.lateral_px)
    # Edges are detected after matching and jitter, where a real sensor has them.
    near, edge = _detect_edges(z)
    flying = edge & (rng.random(z.shape, np.float32) < config.flying)
    z = np.where(flying, z + (near - z) * rng.random(z.shape, np.float32), z)
    lost = edge & ~flying & (rng.random(z.shape, np.float32) < config.edge_loss)
    lost |= _find_occluded(matched, focal_px * config.baseline_m)
    lost |= _draw_weak_returns(cos_incidence, albedo, rng, config)
    lost |= _draw_holes(z.shape, rng, config.holes)
    sigma = 1e-3 * (config.noise_mm + config.noise_mm_per_m2 * z * z)
    z = z * np.float32(1.0 + config.scale_error) + sigma * _draw_correlated_normal(z.shape, rng, config.correlation_px)
    z = _quantize(z, focal_px * config.baseline_m, config)
    lost |= (depth <= 0.0) | (z <= 0.0) | (z > config.max_m)
    return np.where(lost, 0.0, z).astype(np.float32)


def _match_blocks(depth: FloatArray, focal_baseline: float, radius_px: float) -> FloatArray:
    """Simulate stereo block matching.

    A patch across a depth edge takes the disparity of the near side, so near surfaces grow by about half the patch
    radius. Disparity differences below about one pixel are smoothed within a patch, so thin objects blend into the
    surface below them.
    """
    if focal_baseline <= 0.0 or radius_px < 0.5:
        return depth
    # Invalid pixels get a far depth and therefore a disparity near 0: they lose against every surface.
    disparity = np.float32(focal_baseline) / np.where(depth > 0, depth, np.float32(1e6))
    grown = 2 * round(radius_px / 2) + 1
    near = cv2.dilate(disparity, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grown, grown)))
    smooth = cv2.bilateralFilter(near, 2 * round(radius_px) + 1, 1.0, radius_px)
    return np.where(smooth > 1e-3, focal_baseline / np.maximum(smooth, 1e-3), 0.0).astype(np.float32)


def _jitter_pixels(depth: FloatArray, rng: np.random.Generator, sigma_px: float) -> FloatArray:
    """Read depth at normally distributed pixel offsets, which frays edges."""
    if sigma_px <= 0.0:
        return depth
    offsets = rng.standard_normal((2, *depth.shape), np.float32)
    jittered: FloatArray = read_at_offsets(np.asarray(depth, np.float32), offsets, np.float32(sigma_px))
    return jittered


def _detect_edges(z: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Return the minimum depth in the 3x3 neighbourhood of each pixel and a mask of depth edges."""
    kernel = np.ones((3, 3), np.uint8)
    far = np.where(z > 0, z, np.float32(10.0))  # invalid pixels count as background
    near: FloatArray = np.asarray(cv2.erode(far, kernel), dtype=np.float32)
    return near, np.asarray((cv2.dilate(far, kernel) - near) > EDGE_RATIO * near)


def _find_occluded(depth: FloatArray, focal_baseline: float) -> BoolArray:
    """Return a mask of pixels that are occluded in the second view, from a camera to the right.

    A pixel in column u of the first view appears in column u - f b / z of the second. It is occluded if a pixel further
    right appears at or left of that column. A running minimum from the right tests whole rows at once.
    """
    if focal_baseline <= 0.0:
        return np.zeros(depth.shape, dtype=bool)
    column = np.arange(depth.shape[1], dtype=np.float32) - focal_baseline / np.where(depth > 0, depth, np.float32(1e6))
    nearest = np.minimum.accumulate(column[:, ::-1], axis=1)[:, ::-1]
    hidden = np.zeros(depth.shape, dtype=bool)
    hidden[:, :-1] = nearest[:, 1:] < column[:, :-1] - 0.5
    return hidden


def _draw_weak_returns(
    cos_incidence: FloatArray, albedo: FloatArray, rng: np.random.Generator, config: DepthNoiseConfig
) -> BoolArray:
    """Draw a mask of pixels lost on grazing or dark surfaces, which reflect too little light."""
    # Logistic transitions, 0.025 wide in the cosine, replace a hard limit of the angle.
    middle = np.cos(np.radians(config.grazing_deg))
    grazing = 1.0 / (1.0 + np.exp(np.clip((cos_incidence - middle) / 0.025, -30, 30)))
    dark = config.dark_loss * np.clip(1.0 - albedo / 0.08, 0.0, 1.0)
    return np.asarray(_draw_correlated_uniform(albedo.shape, rng) < 1.0 - (1.0 - grazing) * (1.0 - dark))


def _draw_correlated_uniform(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Draw spatially correlated, approximately uniform numbers in [0, 1], so that losses form patches."""
    normal = _draw_correlated_normal(shape, rng, 1.5)
    return np.asarray(1.0 / (1.0 + np.exp(-1.7 * normal)))  # the logistic function approximates the normal CDF


def _draw_holes(shape: tuple[int, int], rng: np.random.Generator, share: float) -> BoolArray:
    """Draw a mask of small connected holes that cover approximately the given share of the image."""
    if share <= 0.0:
        return np.zeros(shape, dtype=bool)
    # Drawn at half resolution: holes of a real sensor are a few pixels wide.
    half = _draw_correlated_uniform((shape[0] // 2 + 1, shape[1] // 2 + 1), rng)
    return np.asarray(half.repeat(2, 0).repeat(2, 1)[: shape[0], : shape[1]] < share)


def _draw_correlated_normal(shape: tuple[int, int], rng: np.random.Generator, radius_px: float) -> FloatArray:
    """Draw normal noise of unit deviation, ``(H, W)`` float32, correlated within a radius."""
    noise = rng.standard_normal(shape, np.float32)
    if radius_px < 0.3:
        return noise
    smooth = cv2.GaussianBlur(noise, (0, 0), radius_px)
    # Blurring lowers the deviation to the norm of the 2D kernel, which is the squared norm of the 1D kernel.
    kernel = cv2.getGaussianKernel(int(2 * round(4 * radius_px) + 1), radius_px)
    deviation = float((kernel**2).sum())
    return smooth / np.float32(deviation)


def _quantize(z: FloatArray, focal_baseline: float, config: DepthNoiseConfig) -> FloatArray:
    """Quantize depth to steps of the disparity, then to steps of the depth image."""
    if focal_baseline > 0.0 and config.disparity_step_px > 0.0:
        steps = np.rint(focal_baseline / np.maximum(z, 1e-3) / config.disparity_step_px)
        z = focal_baseline / (np.maximum(steps, 1.0) * config.disparity_step_px)
    if config.quantum_mm > 0.0:
        quantum = 1e-3 * config.quantum_mm
        z = np.rint(z / quantum) * quantum
    return z.astype(np.float32)
