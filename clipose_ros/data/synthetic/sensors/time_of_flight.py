"""Time-of-flight cameras: flying pixels, reflections between surfaces, and noise of weak returns.

A pixel measures the sum of the modulated light that reaches it, as complex numbers a exp(i phi), with the amplitude
a = albedo cos / r^2 at a distance r and the phase phi = 2 pi f path / c:

1. Cast rays at the corners of the pixels. The mean of the waves of four corners gives a depth between both surfaces at
   an edge: a flying pixel.
2. Add light that reaches a pixel by way of a second surface (multipath). One bounce from patch j to patch i carries
   rho_j / pi E_j cos_ji cos_ij area_j / r_ij^2, with the irradiance E_j, over the path r_j + r_ij + r_i. It is computed
   on a coarse grid.
3. Add light scattered within the lens: a share of the mean wave of the window.
4. Add noise and smooth the wave. Pixels below a minimum amplitude, and edge pixels whose corners cancel each other, are
   lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from clipose_ros.config import ConfigNode, option
from clipose_ros.data.synthetic.sensors.lighting import RayImage, SurfaceScene
from clipose_ros.data.synthetic.sensors.wave_kernels import (
    Decoding,
    Patches,
    WaveSums,
    decode_waves,
    sum_bounces,
    sum_waves,
)
from clipose_ros.types import CameraIntrinsics, FloatArray

_LIGHT_M_HZ = 299_792_458.0
_PATCHES = 20
"""Patches along the longer side of a window in the computation of multipath."""

ComplexArray = NDArray[np.complex64]
Number = TypeVar("Number", np.float32, np.complex64)


@dataclass(frozen=True)
class TimeOfFlightSensor(ConfigNode):
    """Parameters of a time-of-flight camera."""

    frequency_mhz: float = option(100.0, "Modulation frequency, megahertz.", low=1.0, high=1000.0)
    noise_mm: float = option(
        0.8, "Standard deviation on a white surface at 1 m, before smoothing, millimetres.", low=0.0, high=100.0
    )
    smooth_px: float = option(0.6, "Radius of the smoothing filter, pixels.", low=0.0, high=5.0)
    multipath: float = option(
        1.0, "Factor of the light that reaches a pixel by way of a second surface.", low=0.0, high=5.0
    )
    scatter: float = option(0.01, "Share of the mean light that the lens scatters onto every pixel.", low=0.0, high=1.0)
    offset_mm: float = option(0.0, "Constant error of the depth, millimetres.", low=-50.0, high=50.0)
    min_amplitude: float = option(
        0.02, "Smallest amplitude that is measured; a white surface at 1 m has 1.", low=0.0, high=1.0
    )
    min_coherence: float = option(
        0.6, "Smallest ratio of the length of the summed wave to the sum of lengths.", low=0.0, high=1.0
    )
    quantum_mm: float = option(
        1.0, "Quantization step of the depth image, millimetres; 0 for none.", low=0.0, high=10.0
    )
    min_m: float = option(0.2, "Smallest measured depth, metres.", low=0.01, high=10.0)
    max_m: float = option(5.0, "Largest measured depth, metres.", low=0.1, high=100.0)


def measure_time_of_flight(
    scene: SurfaceScene,
    T_world_camera: FloatArray,
    window: CameraIntrinsics,
    sensor: TimeOfFlightSensor,
    rng: np.random.Generator,
) -> FloatArray:
    """Measure the depth of a window.

    Args:
        scene: The scene.
        T_world_camera: ``(4, 4)`` camera pose, optical frame, metres.
        window: Intrinsics of the window.
        sensor: The camera.
        rng: Random generator; equal states give equal depth.

    Returns:
        ``(H, W)`` float32 depth, metres; 0 is invalid.
    """
    corners = _corners(window)
    view = scene.view(T_world_camera, corners).find_surfaces()
    wave_number = np.float32(4.0 * np.pi * sensor.frequency_mhz * 1e6 / _LIGHT_M_HZ)
    # A wave travels along the ray, which is longer than the depth along the optical axis.
    if scene.is_compiled:
        rays = view.depth * _stretch(corners)
        waves = sum_waves(rays, view.albedo, view.cosine, wave_number)
    else:
        rays = np.linalg.norm(view.points - T_world_camera[:3, 3].astype(np.float32), axis=-1)
        waves = _sum_waves(view, rays, wave_number)
    total = waves.direct
    if sensor.multipath > 0.0:
        total = total + sensor.multipath * waves.carrier * _bounce(view, rays, wave_number, window, scene.is_compiled)
    total = total + sensor.scatter * total.mean()
    # Noise of the wave, of which one component turns the phase, and the smoothing filter of the camera.
    spread = wave_number * 1e-3 * np.float32(sensor.noise_mm)
    noise = spread * rng.standard_normal((2, *total.shape), np.float32)
    real, imaginary = total.real + noise[0], total.imag + noise[1]
    if sensor.smooth_px > 0.0:
        real, imaginary = _blur(real, sensor.smooth_px), _blur(imaginary, sensor.smooth_px)
    if scene.is_compiled:
        numbers = (
            wave_number, 1e-3 * sensor.offset_mm, 1e-3 * sensor.quantum_mm, sensor.min_coherence, sensor.min_amplitude,
            sensor.min_m, sensor.max_m,
        )  # fmt: skip
        decoding = Decoding(*(np.float32(number) for number in numbers))
        depth: FloatArray = decode_waves(real, imaginary, waves, _stretch(window), decoding)
        return depth
    return _decode_waves(real, imaginary, waves, window, sensor)


def _decode_waves(
    real: FloatArray, imaginary: FloatArray, waves: WaveSums, window: CameraIntrinsics, sensor: TimeOfFlightSensor
) -> FloatArray:
    """Return the depth ``(H, W)`` of the measured waves, as the frozen test sets were made."""
    wave_number = np.float32(4.0 * np.pi * sensor.frequency_mhz * 1e6 / _LIGHT_M_HZ)
    total = real + 1j * imaginary
    amplitude = np.abs(total)
    # Several frequencies resolve whole periods in a real camera.
    periods = np.rint((wave_number * waves.distance - np.angle(total)) / (2.0 * np.pi))
    distance = (np.angle(total) + 2.0 * np.pi * periods) / wave_number
    z = distance / _stretch(window) + 1e-3 * sensor.offset_mm
    if sensor.quantum_mm > 0.0:
        z = np.rint(z / (1e-3 * sensor.quantum_mm)) * (1e-3 * sensor.quantum_mm)
    coherent = np.abs(waves.direct) >= sensor.min_coherence * waves.strength
    kept = coherent & (amplitude >= sensor.min_amplitude) & (z >= sensor.min_m) & (z <= sensor.max_m)
    return np.where(kept & (waves.strength > 0), z, 0.0).astype(np.float32)


def _blur(image: FloatArray, radius_px: float) -> FloatArray:
    """Return an image ``(H, W)`` smoothed by a Gaussian filter."""
    return np.asarray(cv2.GaussianBlur(np.ascontiguousarray(image, dtype=np.float32), (0, 0), radius_px))


def _corners(window: CameraIntrinsics) -> CameraIntrinsics:
    """Return a window whose pixel centres are the corners of the pixels of another one."""
    return CameraIntrinsics(window.fx, window.fy, window.cx + 0.5, window.cy + 0.5, window.width + 1, window.height + 1)


def _stretch(window: CameraIntrinsics) -> FloatArray:
    """Return the ratio ``(H, W)`` of the distance along the ray of a pixel to the depth along the optical axis."""
    u = (np.arange(window.width) - window.cx) / window.fx
    v = (np.arange(window.height) - window.cy) / window.fy
    stretch: FloatArray = np.sqrt(1.0 + u * u + (v * v)[:, None]).astype(np.float32)
    return stretch


def _sum_waves(view: RayImage, rays: FloatArray, wave_number: np.float32) -> WaveSums:
    """Average the waves of the corners of each pixel."""
    hit = view.depth > 0
    strength = np.where(hit, view.albedo * view.cosine / np.maximum(rays * rays, 1e-4), 0.0).astype(np.float32)
    phase = np.exp(1j * wave_number * rays).astype(np.complex64)
    hits = np.maximum(_average(hit.astype(np.float32)), 1e-6)
    return WaveSums(
        direct=_average(strength * phase),
        strength=_average(strength),
        carrier=_average(np.where(hit, view.albedo * phase, 0.0)),
        distance=_average(np.where(hit, rays, 0.0)) / hits,
    )


def _average(values: NDArray[Number]) -> NDArray[Number]:
    """Return the means of an image over the four corners of each pixel, one row and column less."""
    rows = values[1:] + values[:-1]
    means: NDArray[Number] = ((rows[:, 1:] + rows[:, :-1]) * 0.25).astype(values.dtype)
    return means


def _bounce(
    view: RayImage, rays: FloatArray, wave_number: np.float32, window: CameraIntrinsics, is_compiled: bool
) -> ComplexArray:
    """Return the light that reaches the surfaces by way of a second one.

    Light between patches is not blocked by others, which hardly matters within the window of one object.

    Args:
        view: Surfaces at the corners of the pixels.
        rays: Their distances along the rays, metres.
        wave_number: Change of the phase with the distance, radians per metre.
        window: Intrinsics of the pixels.
        is_compiled: True for the compiled sum, which rounds differently.

    Returns:
        ``(H, W)`` complex irradiance, with the phase of the path that exceeds the direct one.
    """
    step = max(max(view.depth.shape) // _PATCHES, 1)
    half = step // 2
    chosen = (slice(half, None, step), slice(half, None, step))
    grid = view.depth[chosen].shape
    points, normals = view.points[chosen].reshape(-1, 3), view.normals[chosen].reshape(-1, 3)
    ray, albedo, cosine = (image[chosen].reshape(-1) for image in (rays, view.albedo, view.cosine))
    hit = ray > 1e-3
    hit &= view.depth[chosen].reshape(-1) > 0
    spacing = step / window.fx  # angle between neighbouring patches, radians
    area = np.where(hit, (ray * spacing) ** 2 / np.maximum(cosine, 0.1), 0.0)
    emitted = albedo / np.pi * cosine / np.maximum(ray * ray, 1e-4) * area * hit
    patches = Patches(points, normals, ray, *(np.asarray(values, np.float32) for values in (area, emitted)))
    light = (sum_bounces if is_compiled else _sum_bounces)(patches, wave_number).reshape(grid)
    size = (window.width, window.height)
    real, imaginary = (
        cv2.resize(np.ascontiguousarray(part, dtype=np.float32), size, interpolation=cv2.INTER_LINEAR)
        for part in (light.real, light.imag)
    )
    return (real + 1j * imaginary).astype(np.complex64)


def _sum_bounces(patches: Patches, wave_number: np.float32) -> ComplexArray:
    """Return the complex irradiance ``(P,)`` of the patches by the others, as the frozen test sets were made."""
    between = patches.points[None] - patches.points[:, None]
    squared = np.einsum("ijk,ijk->ij", between, between)
    length = np.sqrt(squared)
    # cos_ij at the receiver i and cos_ji at the emitter j, both times the length.
    receiver = np.maximum(np.einsum("ijk,ik->ij", between, patches.normals), 0.0)
    emitter = np.maximum(-np.einsum("ijk,jk->ij", between, patches.normals), 0.0)
    transfer = receiver * emitter / np.maximum(squared * (np.pi * squared + patches.area[None]), 1e-12) * np.pi
    detour = patches.ray[None] + length - patches.ray[:, None]
    waves: ComplexArray = transfer * patches.emitted[None] * np.exp(0.5j * wave_number * detour)
    return np.asarray(waves.sum(axis=1))
