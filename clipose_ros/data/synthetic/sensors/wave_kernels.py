"""Compiled loops of time-of-flight cameras; ``time_of_flight`` has the method and the same steps in NumPy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from clipose_ros.model.numba_cache import ensure_writable_cache
from clipose_ros.types import FloatArray

ensure_writable_cache(Path(__file__).parent)


class Patches(NamedTuple):
    """P patches of surfaces; all arrays are float32.

    Attributes:
        points: ``(P, 3)`` positions, metres.
        normals: ``(P, 3)`` unit normals; zeros for no surface.
        ray: ``(P,)`` distance to the camera, metres.
        area: ``(P,)`` area, square metres.
        emitted: ``(P,)`` light that a patch reflects.
    """

    points: FloatArray
    normals: FloatArray
    ray: FloatArray
    area: FloatArray
    emitted: FloatArray


@njit(cache=True, nogil=True)
def sum_bounces(patches: Patches, wave_number: np.float32) -> NDArray[np.complex64]:
    """Return the complex irradiance ``(P,)`` of the patches by the others, with the phase of the longer path."""
    count = len(patches.ray)
    light = np.zeros(count, dtype=np.complex64)
    points, normals = patches.points, patches.normals
    for i in range(count):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
        real, imaginary = 0.0, 0.0
        for j in range(count):
            dx, dy, dz = points[j, 0] - x, points[j, 1] - y, points[j, 2] - z
            receiver = dx * nx + dy * ny + dz * nz
            emitter = -(dx * normals[j, 0] + dy * normals[j, 1] + dz * normals[j, 2])
            # Few pairs of patches face each other.
            if receiver <= 0.0 or emitter <= 0.0:
                continue
            squared = dx * dx + dy * dy + dz * dz
            spread = max(squared * (math.pi * squared + patches.area[j]), 1e-12)
            strength = receiver * emitter / spread * math.pi * patches.emitted[j]
            phase = 0.5 * wave_number * (patches.ray[j] + math.sqrt(squared) - patches.ray[i])
            real += strength * math.cos(phase)
            imaginary += strength * math.sin(phase)
        light[i] = real + 1j * imaginary
    return light


class WaveSums(NamedTuple):
    """Means of the waves over the four corners of each pixel, ``(H, W)`` each; float32 or complex64.

    Attributes:
        direct: Wave of the light that was reflected once.
        strength: Amplitude.
        carrier: Albedo with the phase of the distance.
        distance: Distance along the rays, metres.
    """

    direct: NDArray[np.complex64]
    strength: FloatArray
    carrier: NDArray[np.complex64]
    distance: FloatArray


@njit(cache=True, nogil=True)
def sum_waves(ray: FloatArray, albedo: FloatArray, cosine: FloatArray, wave_number: np.float32) -> WaveSums:
    """Average the waves of the corners of pixels.

    Args:
        ray: ``(H + 1, W + 1)`` float32 distances of the corners along their rays, metres; 0 for no surface.
        albedo: ``(H + 1, W + 1)`` float32 albedo.
        cosine: ``(H + 1, W + 1)`` float32 cosine of the incidence.
        wave_number: Change of the phase with the distance, radians per metre.
    """
    height, width = ray.shape[0] - 1, ray.shape[1] - 1
    direct, carrier = np.empty((height, width), dtype=np.complex64), np.empty((height, width), dtype=np.complex64)
    strength, distance = np.empty((height, width), dtype=np.float32), np.empty((height, width), dtype=np.float32)
    # Waves at the corners of the row above and of the present row.
    corners, total = np.zeros((2, width + 1, 7), dtype=np.float32), np.zeros(7, dtype=np.float32)
    for row in range(height + 1):
        present, above = corners[row % 2], corners[(row + 1) % 2]
        for column in range(width + 1):
            r, a = ray[row, column], albedo[row, column]
            if r <= 0.0:
                present[column, :] = 0.0
                continue
            x, y = np.cos(wave_number * r), np.sin(wave_number * r)
            amplitude = a * cosine[row, column] / max(r * r, np.float32(1e-4))
            present[column, 0], present[column, 1], present[column, 2] = amplitude * x, amplitude * y, amplitude
            present[column, 3], present[column, 4], present[column, 5], present[column, 6] = a * x, a * y, r, 1.0
        if row == 0:
            continue
        for column in range(width):
            for m in range(7):
                total[m] = np.float32(0.25) * (
                    above[column, m] + above[column + 1, m] + present[column, m] + present[column + 1, m]
                )
            direct[row - 1, column] = total[0] + 1j * total[1]
            strength[row - 1, column] = total[2]
            carrier[row - 1, column] = total[3] + 1j * total[4]
            distance[row - 1, column] = total[5] / max(total[6], np.float32(1e-6))
    return WaveSums(direct, strength, carrier, distance)


class Decoding(NamedTuple):
    """Numbers of a camera, float32.

    Attributes:
        wave_number: Change of the phase with the distance, radians per metre.
        offset_m: Constant error of the depth, metres.
        quantum_m: Quantization step of the depth, metres; 0 for none.
        min_coherence: Smallest ratio of the length of the summed wave to the sum of lengths.
        min_amplitude: Smallest amplitude.
        min_m: Smallest depth, metres.
        max_m: Largest depth, metres.
    """

    wave_number: np.float32
    offset_m: np.float32
    quantum_m: np.float32
    min_coherence: np.float32
    min_amplitude: np.float32
    min_m: np.float32
    max_m: np.float32


@njit(cache=True, nogil=True)
def decode_waves(
    real: FloatArray, imaginary: FloatArray, waves: WaveSums, stretch: FloatArray, decoding: Decoding
) -> FloatArray:
    """Return the depth ``(H, W)`` float32 of the measured waves, metres; 0 where it is lost.

    Args:
        real: ``(H, W)`` float32 real part of the measured wave.
        imaginary: ``(H, W)`` float32 imaginary part.
        waves: Waves without noise.
        stretch: ``(H, W)`` float32 ratio of the distance along the ray to the depth.
        decoding: Numbers of the camera.
    """
    height, width = real.shape
    depth = np.zeros((height, width), dtype=np.float32)
    for row in range(height):
        for column in range(width):
            x, y = real[row, column], imaginary[row, column]
            strength, direct = waves.strength[row, column], waves.direct[row, column]
            if strength <= 0.0 or x * x + y * y < decoding.min_amplitude**2:
                continue
            if direct.real**2 + direct.imag**2 < (decoding.min_coherence * strength) ** 2:
                continue
            angle = math.atan2(y, x)
            # Several frequencies resolve whole periods in a real camera.
            periods = np.rint((decoding.wave_number * waves.distance[row, column] - angle) / (2.0 * math.pi))
            distance = (angle + 2.0 * math.pi * periods) / decoding.wave_number
            z = distance / stretch[row, column] + decoding.offset_m
            if decoding.quantum_m > 0.0:
                z = np.rint(z / decoding.quantum_m) * decoding.quantum_m
            if decoding.min_m <= z <= decoding.max_m:
                depth[row, column] = z
    return depth
