"""What a depth sensor makes of perfect depth: noise, steps, shadows, flying pixels, holes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from clipose_ros.config import ConfigNode, option
from clipose_ros.types import BoolArray, FloatArray

EDGE = 0.02
"""Relative depth step that counts as an edge."""


@dataclass(frozen=True)
class DepthNoiseConfig(ConfigNode):
    """A depth sensor. The defaults are like a short-range structured-light or stereo camera at 640x480."""

    noise_mm: float = option(0.5, "Standard deviation of depth near the camera, millimetres.", low=0.0, high=100.0)
    noise_mm_per_m2: float = option(
        1.5, "Growth of that deviation with the square of depth, millimetres per square metre.", low=0.0, high=100.0
    )
    correlation_px: float = option(1.0, "How far neighbouring pixels share their noise, pixels.", low=0.0, high=20.0)
    scale_error: float = option(0.0, "Relative error of all depth.", low=-0.1, high=0.1)
    baseline_m: float = option(
        0.05, "Distance of the two eyes; its shadow is lost beside near edges. 0 for none.", low=0.0, high=1.0
    )
    match_px: float = option(
        1.5,
        "Radius of the patches that a stereo sensor matches, pixels: near edges grow, small steps and gaps melt away.",
        low=0.0,
        high=10.0,
    )
    disparity_step_px: float = option(
        0.05, "Step of disparity, pixels; 0 leaves only the millimetre steps.", low=0.0, high=1.0
    )
    quantum_mm: float = option(1.0, "Step of the depth image, millimetres; 0 for none.", low=0.0, high=100.0)
    lateral_px: float = option(0.5, "Standard deviation of where a pixel looks, pixels.", low=0.0, high=10.0)
    flying: float = option(0.25, "Chance that a pixel on an edge lies between front and back.", low=0.0, high=1.0)
    edge_loss: float = option(0.3, "Chance that a pixel on an edge is lost.", low=0.0, high=1.0)
    grazing_deg: float = option(
        80.0, "Half of the pixels are lost where the surface is seen at this angle off its normal.", low=0.0, high=90.0
    )
    dark_loss: float = option(0.25, "Chance of loss on a black surface.", low=0.0, high=1.0)
    holes: float = option(0.01, "Share of the image lost in small blobs.", low=0.0, high=1.0)
    max_m: float = option(5.0, "Farthest depth measured, metres.", low=0.1, high=100.0)


def random_depth_noise(rng: np.random.Generator) -> DepthNoiseConfig:
    """A sensor from nearly perfect to bad, so that a network learns none of them by heart."""
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
    """Measured depth of a perfect depth image.

    Args:
        depth: ``(H, W)`` float32 metres, 0 where there is nothing.
        cos_incidence: ``(H, W)`` cosine of the angle between ray and surface normal.
        albedo: ``(H, W)`` in [0, 1], how much light the surface gives back.
        focal_px: Focal length, pixels, from which disparity follows.
        rng: Equal states give equal noise.
        config: The sensor.

    Returns:
        ``(H, W)`` float32 metres; 0 where the sensor has no answer.
    """
    config = config or DepthNoiseConfig()
    matched = _matched(depth, focal_px * config.baseline_m, config.match_px)
    z = _jittered(matched, rng, config.lateral_px)
    near, edge = _edges(z)
    flying = edge & (rng.random(z.shape, np.float32) < config.flying)
    z = np.where(flying, z + (near - z) * rng.random(z.shape, np.float32), z)
    lost = edge & ~flying & (rng.random(z.shape, np.float32) < config.edge_loss)
    lost |= _shadowed(matched, focal_px * config.baseline_m)
    lost |= _faint(cos_incidence, albedo, rng, config)
    lost |= _blobs(z.shape, rng, config.holes)
    sigma = 1e-3 * (config.noise_mm + config.noise_mm_per_m2 * z * z)
    z = z * np.float32(1.0 + config.scale_error) + sigma * _grain(z.shape, rng, config.correlation_px)
    z = _stepped(z, focal_px * config.baseline_m, config)
    lost |= (depth <= 0.0) | (z <= 0.0) | (z > config.max_m)
    return np.where(lost, 0.0, z).astype(np.float32)


def _matched(depth: FloatArray, focal_baseline: float, radius_px: float) -> FloatArray:
    """Depth as found by matching patches of two images.

    A patch that reaches over an edge takes the near side's disparity, so near things grow by about half its radius;
    within a patch, differences of disparity below a pixel or so even out: objects melt into the table they stand on.
    """
    if focal_baseline <= 0.0 or radius_px < 0.5:
        return depth
    disparity = np.float32(focal_baseline) / np.where(depth > 0, depth, np.float32(1e6))
    grown = 2 * round(radius_px / 2) + 1
    near = cv2.dilate(disparity, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grown, grown)))
    smooth = cv2.bilateralFilter(near, 2 * round(radius_px) + 1, 1.0, radius_px)
    return np.where(smooth > 1e-3, focal_baseline / np.maximum(smooth, 1e-3), 0.0).astype(np.float32)


def _jittered(depth: FloatArray, rng: np.random.Generator, sigma_px: float) -> FloatArray:
    """Depth read at places that are off by a normal error, so that edges fray."""
    if sigma_px <= 0.0:
        return depth
    height, width = depth.shape
    shift = np.rint(sigma_px * rng.standard_normal((2, height, width), np.float32)).astype(np.int32)
    rows = np.clip(np.arange(height, dtype=np.int32)[:, None] + shift[0], 0, height - 1)
    columns = np.clip(np.arange(width, dtype=np.int32) + shift[1], 0, width - 1)
    jittered: FloatArray = depth[rows, columns]
    return jittered


def _edges(z: FloatArray) -> tuple[FloatArray, BoolArray]:
    """The nearest depth around each pixel, and which pixels lie on a depth edge."""
    kernel = np.ones((3, 3), np.uint8)
    far = np.where(z > 0, z, np.float32(10.0))
    near: FloatArray = np.asarray(cv2.erode(far, kernel), dtype=np.float32)
    return near, np.asarray((cv2.dilate(far, kernel) - near) > EDGE * near)


def _shadowed(depth: FloatArray, focal_baseline: float) -> BoolArray:
    """Pixels that the second eye (to the right) cannot see.

    A pixel in column u appears there in column u - f b / z. It is hidden when some pixel further right appears at or
    left of that, which a running minimum from the right tells for the whole row at once.
    """
    if focal_baseline <= 0.0:
        return np.zeros(depth.shape, dtype=bool)
    column = np.arange(depth.shape[1], dtype=np.float32) - focal_baseline / np.where(depth > 0, depth, np.float32(1e6))
    nearest = np.minimum.accumulate(column[:, ::-1], axis=1)[:, ::-1]
    hidden = np.zeros(depth.shape, dtype=bool)
    hidden[:, :-1] = nearest[:, 1:] < column[:, :-1] - 0.5
    return hidden


def _faint(
    cos_incidence: FloatArray, albedo: FloatArray, rng: np.random.Generator, config: DepthNoiseConfig
) -> BoolArray:
    """Pixels from which too little light comes back: seen at a grazing angle, or dark."""
    middle = np.cos(np.radians(config.grazing_deg))
    grazing = 1.0 / (1.0 + np.exp(np.clip((cos_incidence - middle) / 0.025, -30, 30)))
    dark = config.dark_loss * np.clip(1.0 - albedo / 0.08, 0.0, 1.0)
    return np.asarray(_patchy(albedo.shape, rng) < 1.0 - (1.0 - grazing) * (1.0 - dark))


def _patchy(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Roughly uniform numbers in [0, 1] of which neighbours are alike, so that losses come in patches."""
    grain = _grain(shape, rng, 1.5)
    return np.asarray(1.0 / (1.0 + np.exp(-1.7 * grain)))


def _blobs(shape: tuple[int, int], rng: np.random.Generator, share: float) -> BoolArray:
    """Small connected holes that cover about the given share."""
    if share <= 0.0:
        return np.zeros(shape, dtype=bool)
    return (
        _patchy((shape[0] // 2 + 1, shape[1] // 2 + 1), rng).repeat(2, 0).repeat(2, 1)[: shape[0], : shape[1]] < share
    )


def _grain(shape: tuple[int, int], rng: np.random.Generator, radius_px: float) -> FloatArray:
    """Normal noise of unit deviation, ``(H, W)`` float32, alike within a radius."""
    noise = rng.standard_normal(shape, np.float32)
    if radius_px < 0.3:
        return noise
    smooth = cv2.GaussianBlur(noise, (0, 0), radius_px)
    kernel = cv2.getGaussianKernel(int(2 * round(4 * radius_px) + 1), radius_px)
    deviation = float((kernel**2).sum())
    return smooth / np.float32(deviation)


def _stepped(z: FloatArray, focal_baseline: float, config: DepthNoiseConfig) -> FloatArray:
    """Depth in the steps of disparity and of the depth image."""
    if focal_baseline > 0.0 and config.disparity_step_px > 0.0:
        steps = np.rint(focal_baseline / np.maximum(z, 1e-3) / config.disparity_step_px)
        z = focal_baseline / (np.maximum(steps, 1.0) * config.disparity_step_px)
    if config.quantum_mm > 0.0:
        quantum = 1e-3 * config.quantum_mm
        z = np.rint(z / quantum) * quantum
    return z.astype(np.float32)
