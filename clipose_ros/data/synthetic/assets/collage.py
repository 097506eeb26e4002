"""Collages of coloured patches, gradients and letters, as print and background."""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.data.synthetic.assets.textures import random_colour
from clipose_ros.types import ByteArray, FloatArray

_LETTERS = np.array(list("ABCDEFGHIKLMNOPRSTUVWXYZabcdefghiklmnoprstuvwxyz0123456789&%.-"))


def draw_collage(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Draw overlapping coloured patches, gradients and letters, ``(H, W, 3)`` float32 in [0, 1]."""
    height, width = shape
    coarse = rng.uniform(0.0, 1.0, (*rng.integers(2, 9, 2), 3)).astype(np.float32)
    canvas = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    base = 102.0 * np.clip(canvas, 0, 1) + 153.0 * _linear_to_srgb(random_colour(rng))
    pixels: ByteArray = np.ascontiguousarray(base.astype(np.uint8))
    for _ in range(int(rng.integers(3, 25))):
        _draw_patch(pixels, rng)
    return pixels.astype(np.float32) / 255.0


def _draw_patch(canvas: ByteArray, rng: np.random.Generator) -> None:
    """Draw one polygon, ellipse, line or word of random colour, place and size into a canvas."""
    height, width = canvas.shape[:2]
    colour = tuple(int(v) for v in 255.0 * _linear_to_srgb(random_colour(rng)))
    position = rng.uniform(0, 1, 2) * (width, height)
    size = np.exp(rng.uniform(np.log(0.03), np.log(0.4))) * width
    start = position.astype(int).tolist()
    kind = rng.integers(4)
    if kind == 0:
        corners = position + size * rng.uniform(-1, 1, (int(rng.integers(3, 6)), 2))
        cv2.fillPoly(canvas, [corners.astype(np.int32)], colour)
    elif kind == 1:
        axes = (size * rng.uniform(0.2, 1.0, 2)).astype(int) + 1
        thickness = -1 if rng.uniform() < 0.6 else int(rng.integers(1, 8))
        cv2.ellipse(canvas, start, axes.tolist(), rng.uniform(0, 180), 0, 360, colour, thickness)
    elif kind == 2:
        end = position + size * rng.uniform(-1, 1, 2)
        cv2.line(canvas, start, end.astype(int).tolist(), colour, int(rng.integers(1, 7)))
    else:
        text = "".join(rng.choice(_LETTERS, int(rng.integers(2, 9))))
        scale, font = float(size / 60.0 + 0.25), int(rng.integers(0, 8))
        cv2.putText(canvas, text, start, font, scale, colour, int(rng.integers(1, 4)))


def _linear_to_srgb(linear: FloatArray) -> FloatArray:
    """Encode linear values with a gamma of 2.2."""
    encoded: FloatArray = (np.clip(linear, 0.0, 1.0) ** (1.0 / 2.2)).astype(np.float32)
    return encoded
