"""Image-based light: radiance from all directions, from a panorama file or drawn at random.

A panorama is equirectangular with z up: row 0 looks up, the last row down; columns run over the azimuth. Rough surfaces
reflect a blurred panorama: level k of a pyramid is 2^k times smaller. Diffuse surfaces receive the irradiance, which
nine spherical harmonics describe (Ramamoorthi and Hanrahan, 2001)::

    E(n) / pi = sum_lm  A_l / pi  L_lm  Y_lm(n),   A_l / pi = 1, 2/3, 1/4   for l = 0, 1, 2
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from clipose_ros.data.synthetic.assets.textures import random_colour
from clipose_ros.errors import DataError
from clipose_ros.types import FloatArray

LEVELS = 6
"""Levels of the pyramid of blurred panoramas."""
_COSINE_LOBE = np.repeat([1.0, 2.0 / 3.0, 0.25], [1, 3, 5])
"""``(9,)`` factors A_l / pi of the spherical harmonics."""


class Environment:
    """Light from all directions.

    Args:
        panorama: ``(H, 2H, 3)`` float32 linear radiance. It is scaled to a white table of radiance 1.
        yaw_rad: Rotation of the panorama about z, radians.
    """

    def __init__(self, panorama: FloatArray, yaw_rad: float = 0.0) -> None:
        self._yaw = yaw_rad
        self._levels = [np.asarray(panorama, dtype=np.float32)]
        for _ in range(LEVELS - 1):
            level = self._levels[-1]
            # Columns wrap around.
            wide = cv2.GaussianBlur(np.concatenate([level[:, -8:], level, level[:, :8]], axis=1), (0, 0), 1.5)
            self._levels.append(np.asarray(wide[::2, 8:-8:2], dtype=np.float32))
        coarse = self._levels[2]
        directions, solid_angles = _pixel_directions(coarse.shape[0])
        weighted = coarse.reshape(-1, 3) * solid_angles[:, None]
        self._harmonics = _COSINE_LOBE[:, None] * (_harmonics(directions).T @ weighted)
        up = float(self.irradiance(np.array([[0.0, 0.0, 1.0]])).mean())
        scale = np.float32(1.0 / max(up, 1e-6))
        self._levels = [level * scale for level in self._levels]
        self._harmonics = self._harmonics * scale
        luminance = weighted.mean(axis=1)
        self._directions, self._shares = self._rotate(directions, 1.0), luminance / luminance.sum()

    def radiance(self, directions: FloatArray, roughness: float = 0.0) -> FloatArray:
        """Return the radiance ``(N, 3)`` from directions ``(N, 3)``, blurred by a roughness in [0, 1]."""
        level = self._levels[round(min(max(roughness, 0.0), 1.0) * (LEVELS - 1))]
        height, width = level.shape[:2]
        d = self._rotate(np.asarray(directions, dtype=np.float32), -1.0)
        azimuth = np.arctan2(d[:, 1], d[:, 0]) / (2 * np.pi) % 1.0
        elevation = np.arccos(np.clip(d[:, 2] / np.maximum(np.linalg.norm(d, axis=1), 1e-9), -1.0, 1.0)) / np.pi
        x, y = (azimuth * width - 0.5).astype(np.float32), (elevation * height - 0.5).astype(np.float32)
        # remap handles images of at most 32767 rows, so the values are laid out as a square.
        side = int(np.ceil(np.sqrt(len(x)))) if len(x) else 1
        pad = side * side - len(x)
        maps = [np.pad(values, (0, pad)).reshape(side, side) for values in (x, y)]
        found = cv2.remap(level, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return np.asarray(found.reshape(-1, 3)[: len(x)], dtype=np.float32)

    def irradiance(self, normals: FloatArray) -> FloatArray:
        """Return the radiance ``(N, 3)`` of white diffuse surfaces with unit normals ``(N, 3)``."""
        values = _harmonics(self._rotate(np.asarray(normals, dtype=np.float32), -1.0)) @ self._harmonics
        return np.asarray(np.maximum(values, 0.02), dtype=np.float32)

    def draw_light_directions(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw unit directions ``(count, 3)`` with a probability proportional to the light that comes from them."""
        chosen = rng.choice(len(self._shares), count, p=self._shares)
        jittered = self._directions[chosen] + rng.normal(0.0, 0.03, (count, 3))
        return np.asarray(jittered / np.linalg.norm(jittered, axis=1, keepdims=True), dtype=np.float32)

    def _rotate(self, directions: FloatArray, sign: float) -> FloatArray:
        """Rotate directions about z by the yaw, or back."""
        c, s = np.float32(np.cos(self._yaw)), np.float32(sign * np.sin(self._yaw))
        R = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=np.float32)
        rotated: FloatArray = directions @ R.T
        return rotated


def read_environment(path: Path, yaw_rad: float = 0.0) -> Environment:
    """Read a panorama of linear radiance (.hdr).

    Raises:
        DataError: The file is not such a panorama.
    """
    return Environment(_read_panorama(path), yaw_rad)


@lru_cache(maxsize=24)
def _read_panorama(path: Path) -> FloatArray:
    """Read a file to ``(H, 2H, 3)`` radiance, RGB, z up."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.float32 or image.ndim != 3 or image.shape[1] != 2 * image.shape[0]:
        raise DataError(f"'{path}' is no panorama of radiance: expected an .hdr file twice as wide as high")
    # The sun itself would turn reflections into single white pixels.
    return np.clip(np.nan_to_num(image[..., 2::-1]), 0.0, 200.0)


def random_environment(rng: np.random.Generator) -> Environment:
    """Draw a room: ceiling, walls and floor of random colours with a few lamps and windows."""
    height, width = 128, 256
    walls = [0.25 + 0.5 * random_colour(rng) for _ in range(int(rng.integers(2, 5)))]
    panorama = np.repeat(np.array(walls), -(-width // len(walls)), axis=0)[None, :width].repeat(height, axis=0)
    panorama[: height // 4] = 0.7 + 0.3 * random_colour(rng)
    panorama[height // 2 + 12 :] = 0.5 * random_colour(rng)
    panorama = np.ascontiguousarray(panorama * rng.uniform(0.2, 0.6), dtype=np.float32)
    for _ in range(int(rng.integers(1, 6))):
        top, left = int(rng.integers(4, 56)), int(rng.integers(0, width))
        size = rng.integers(5, 40, 2)
        tint = 1.0 + rng.uniform(-0.15, 0.15) * np.array([1.0, 0.1, -1.0])
        columns = np.arange(left, left + size[0]) % width
        panorama[top : top + size[1], columns] = rng.uniform(2.0, 15.0) * tint
    return Environment(np.asarray(cv2.GaussianBlur(panorama, (0, 0), 1.5), dtype=np.float32), rng.uniform(0, 2 * np.pi))


@lru_cache(maxsize=4)
def _pixel_directions(height: int) -> tuple[FloatArray, FloatArray]:
    """Return the directions ``(N, 3)`` and solid angles ``(N,)`` of the pixels of a panorama, divided by pi."""
    elevation = (np.arange(height) + 0.5) / height * np.pi
    azimuth = (np.arange(2 * height) + 0.5) / height * np.pi
    polar, around = np.meshgrid(elevation, azimuth, indexing="ij")
    directions = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1)
    return directions.reshape(-1, 3), (np.sin(polar) * (np.pi / height) ** 2).ravel()


def _harmonics(d: FloatArray) -> FloatArray:
    """Return the first nine real spherical harmonics ``(N, 9)`` of unit directions ``(N, 3)``."""
    x, y, z = d.T
    columns = [
        np.full(len(d), 0.282095),
        *(0.488603 * y, 0.488603 * z, 0.488603 * x),
        *(1.092548 * x * y, 1.092548 * y * z, 0.315392 * (3 * z * z - 1), 1.092548 * x * z),
        0.546274 * (x * x - y * y),
    ]
    return np.stack(columns, axis=1)
