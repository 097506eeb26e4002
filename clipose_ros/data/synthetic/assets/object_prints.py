"""Procedural pictures on objects: screens, displays, decals with transparency, ends of cans, ribs and pottery."""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.data.synthetic.assets.collage import draw_collage
from clipose_ros.data.synthetic.assets.printed_labels import (
    decode,
    draw_emblem,
    draw_name,
    draw_page,
    encode_colour,
)
from clipose_ros.data.synthetic.assets.textures import random_colour
from clipose_ros.types import ByteArray, FloatArray


def draw_screen(rng: np.random.Generator, width: int = 320, height: int = 200) -> FloatArray:
    """Draw the picture of a lit screen ``(H, W, 3)``: a wallpaper with windows, or a page of text."""
    if rng.uniform() < 0.25:
        return draw_page(rng, width, height)
    canvas: ByteArray = np.ascontiguousarray((255 * draw_wallpaper(rng, width, height)).astype(np.uint8))
    for _ in range(int(rng.integers(0, 3))):
        w, h = int(width * rng.uniform(0.3, 0.8)), int(height * rng.uniform(0.35, 0.8))
        left, top = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        canvas[top : top + h, left : left + w] = int(rng.choice([30, 235, 250]))
        canvas[top : top + 9, left : left + w] = encode_colour(random_colour(rng))
        inside: ByteArray = np.ascontiguousarray(canvas[top + 10 : top + h, left : left + w])
        for y in range(12, inside.shape[0] - 2, 9):
            length = int(rng.uniform(0.2, 0.9) * w)
            cv2.line(inside, (6, y), (6 + length, y), (int(rng.uniform(60, 170)),) * 3, int(rng.integers(1, 4)))
        canvas[top + 10 : top + h, left : left + w] = inside
    if rng.uniform() < 0.7:  # the task bar
        canvas[-11:] = int(rng.choice([25, 60, 225]))
        for x in range(int(rng.integers(4, 120)), int(rng.integers(140, width)), 14):
            canvas[-9:-2, x : x + 8] = encode_colour(random_colour(rng))
    return decode(canvas)


def draw_wallpaper(rng: np.random.Generator, width: int, height: int) -> FloatArray:
    """Draw a smooth wallpaper or the picture of a collage, ``(H, W, 3)`` sRGB in [0, 1]."""
    if rng.uniform() < 0.3:
        return np.asarray(cv2.GaussianBlur(draw_collage((height, width), rng), (0, 0), 1.5), dtype=np.float32)
    coarse = rng.uniform(0.0, 1.0, (2, 3, 3)).astype(np.float32) * rng.uniform(0.2, 1.0, 3).astype(np.float32)
    return np.clip(np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)), 0.0, 1.0)


def draw_decal(rng: np.random.Generator, width: int = 192, height: int = 128) -> FloatArray:
    """Draw an emblem, a name or both on transparent ground, ``(H, W, 4)``."""
    canvas: ByteArray = np.zeros((height, width, 3), dtype=np.uint8)
    kind = rng.uniform()
    if kind < 0.65:
        draw_emblem(canvas, encode_colour(np.maximum(random_colour(rng), 0.02)), rng)
    if kind > 0.4:
        draw_name(canvas, encode_colour(np.maximum(random_colour(rng), 0.02)), rng)
    return np.dstack([decode(canvas), (canvas.max(axis=2) > 0).astype(np.float32)])


def draw_name_plate(rng: np.random.Generator, width: int = 160, height: int = 40) -> FloatArray:
    """Draw the name of a maker in light or dark letters on transparent ground, ``(H, W, 4)``."""
    canvas: ByteArray = np.zeros((height, width, 3), dtype=np.uint8)
    draw_name(canvas, (255, 255, 255), rng, upright=True)
    ink = np.full(3, rng.uniform(0.6, 0.9) if rng.uniform() < 0.8 else rng.uniform(0.01, 0.1), dtype=np.float32)
    return np.dstack([np.broadcast_to(ink, (height, width, 3)), canvas[..., 0] / np.float32(255.0)]).astype(np.float32)


def draw_camera_back(rng: np.random.Generator, width: int = 192, height: int = 120) -> FloatArray:
    """Draw display and buttons of a camera's back on transparent ground, ``(H, W, 4)``."""
    canvas: ByteArray = np.zeros((height, width, 4), dtype=np.uint8)
    cv2.rectangle(canvas, (14, 18), (128, 106), (8, 8, 10, 255), -1)
    if rng.uniform() < 0.5:
        picture = (255 * draw_wallpaper(rng, 102, 76)).astype(np.uint8)
        canvas[24:100, 20:122, :3] = picture
    ink = int(rng.uniform(60, 200))
    cv2.circle(canvas, (160, 76), 17, (ink, ink, ink, 255), int(rng.choice([-1, 3])))
    for y in rng.uniform(20, 112, int(rng.integers(2, 6))).astype(int).tolist():
        cv2.circle(canvas, (int(rng.integers(138, 184)), y), 5, (ink, ink, ink, 255), -1)
    return np.dstack([decode(canvas[..., :3]), canvas[..., 3] / np.float32(255.0)])


def draw_can_end(rng: np.random.Generator, has_tab: bool, size: int = 128) -> FloatArray:
    """Draw beads of a can's end, and the tab and opening of a beverage can, on transparent ground, ``(H, W, 4)``."""
    canvas: ByteArray = np.zeros((size, size, 4), dtype=np.uint8)
    middle = size // 2
    for radius in [50, 44] if has_tab else rng.uniform(20, 58, int(rng.integers(2, 5))).astype(int).tolist():
        grey = int(rng.uniform(70, 120))
        cv2.circle(canvas, (middle, middle), radius, (grey, grey, grey, 170), 2, cv2.LINE_AA)
    if has_tab:
        grey = int(rng.uniform(40, 100))
        cv2.ellipse(canvas, (middle, middle - 22), (17, 21), 0, 0, 360, (grey, grey, grey, 200), 3, cv2.LINE_AA)
        colour = encode_colour(random_colour(rng)) if rng.uniform() < 0.3 else (215, 215, 215)
        cv2.ellipse(canvas, (middle, middle + 12), (11, 23), 0, 0, 360, (*colour, 255), -1, cv2.LINE_AA)
        cv2.circle(canvas, (middle, middle + 20), 6, (60, 60, 60, 255), -1, cv2.LINE_AA)
        cv2.circle(canvas, (middle, middle - 4), 4, (110, 110, 110, 255), -1, cv2.LINE_AA)
    return np.dstack([decode(canvas[..., :3]), canvas[..., 3] / np.float32(255.0)])


def draw_ribs(count: int, depth: float) -> FloatArray:
    """Draw dark gaps between ribs around a cap or the ring of a lens, on transparent ground, ``(1, W, 4)``."""
    wave = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(8 * count) / 8.0)
    image = np.zeros((1, 8 * count, 4), dtype=np.float32)
    image[..., 3] = depth * wave
    return image


def draw_pottery(rng: np.random.Generator, width: int = 512, height: int = 96) -> FloatArray:
    """Draw rings, waves or a repeated motif of one colour on transparent ground, ``(H, W, 4)``."""
    canvas: ByteArray = np.zeros((height, width), dtype=np.uint8)
    kind = int(rng.integers(4))
    if kind == 0:
        for y in rng.uniform(0, height, int(rng.integers(1, 4))).astype(int).tolist():
            canvas[y : y + int(rng.integers(2, 14))] = 255
    elif kind == 1:
        phase = 2 * np.pi * np.arange(width) / width * rng.integers(4, 16)
        level = (height * (0.5 + 0.25 * np.sin(phase))).astype(int)
        canvas[np.abs(np.arange(height)[:, None] - level[None]) < rng.uniform(3, 12)] = 255
    else:
        count = int(rng.integers(5, 18))
        for k in range(count):
            at = (int((k + 0.5) * width / count), height // 2)
            radius = int(min(0.35 * width / count, 0.4 * height) * rng.uniform(0.6, 1.0))
            if kind == 2:
                cv2.circle(canvas, at, radius, 255, -1, cv2.LINE_AA)
            else:
                for angle in range(0, 180, 60):
                    cv2.ellipse(canvas, at, (radius, radius // 3), angle, 0, 360, 255, -1, cv2.LINE_AA)
    image = np.empty((height, width, 4), dtype=np.float32)
    image[..., :3], image[..., 3] = random_colour(rng), canvas / np.float32(255.0)
    return image
