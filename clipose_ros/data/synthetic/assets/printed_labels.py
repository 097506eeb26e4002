"""Procedural print: labels of cans and bottles, covers of cartons and books, cloth, paper and marker boards."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from clipose_ros.data.synthetic.assets.collage import draw_collage
from clipose_ros.data.synthetic.assets.textures import random_colour
from clipose_ros.types import ByteArray, FloatArray

_LETTERS = np.array(list("AABCDEEEFGHIIKLMNOOPRSSTTUVWXYZ"))
_SMALL = np.array(list("aabcdeeefghiiklmnooprssttuvwxyz   "))


def draw_label(rng: np.random.Generator, width: int = 512, height: int = 256) -> FloatArray:
    """Draw the label of a can or bottle: bands, an emblem, a name, small print and a bar code.

    Args:
        rng: Random generator.
        width: Pixels around the body; the left edge continues the right one.
        height: Pixels along the axis.

    Returns:
        ``(height, width, 3)`` float32 linear albedo.
    """
    base, second, ink = (encode_colour(random_colour(rng)) for _ in range(3))
    if np.abs(np.subtract(base, ink)).sum() < 120:
        ink = (250, 250, 245) if sum(base) < 380 else (25, 25, 30)
    canvas: ByteArray = np.full((height, width, 3), base, dtype=np.uint8)
    for _ in range(int(rng.integers(0, 4))):
        low = int(rng.uniform(0, height))
        colour = second if rng.uniform() < 0.5 else encode_colour(random_colour(rng))
        canvas[low : low + int(rng.uniform(4, 0.3 * height))] = colour
    if rng.uniform() < 0.3:
        _draw_waves(canvas, second, rng)
    repeats = int(rng.integers(1, 4))
    panel: ByteArray = np.ascontiguousarray(canvas[:, : width // repeats])
    if rng.uniform() < 0.35:
        _paste_picture(panel, rng)
    if rng.uniform() < 0.6:
        draw_emblem(panel, second, rng)
    draw_name(panel, ink, rng)
    canvas = np.tile(panel, (1, repeats + 1, 1))[:, :width].copy()
    if rng.uniform() < 0.6:
        _draw_small_print(canvas, ink, rng)
    if rng.uniform() < 0.4:
        _draw_bar_code(canvas, rng)
    return decode(canvas)


def draw_cover(rng: np.random.Generator, width: int = 384, height: int = 384) -> FloatArray:
    """Draw a flat print ``(height, width, 3)``: a cover, a page of text, cloth, a poster or a marker board."""
    kinds: list[Callable[[np.random.Generator, int, int], FloatArray]] = [
        draw_label,
        draw_label,
        lambda rng, width, height: decode((255 * draw_collage((height, width), rng)).astype(np.uint8)),
        draw_page,
        _draw_cloth,
        draw_marker_board,
        _draw_keyboard,
    ]
    return kinds[int(rng.integers(len(kinds)))](rng, width, height)


def draw_marker_board(rng: np.random.Generator, width: int = 384, height: int = 384) -> FloatArray:
    """Draw a chessboard, a grid of dots or a grid of square markers, ``(height, width, 3)``."""
    columns, rows = rng.integers(4, 12, 2)
    light, dark = rng.uniform(200, 255), rng.uniform(5, 60)
    canvas: ByteArray = np.full((height, width, 3), light, dtype=np.uint8)
    step_x, step_y = width / columns, height / rows
    kind = rng.integers(3)
    for row in range(rows):
        for column in range(columns):
            left, top = int(column * step_x), int(row * step_y)
            right, bottom = int((column + 1) * step_x), int((row + 1) * step_y)
            if kind == 0 and (row + column) % 2:
                canvas[top:bottom, left:right] = dark
            elif kind == 1:
                radius = int(0.3 * min(step_x, step_y))
                cv2.circle(canvas, ((left + right) // 2, (top + bottom) // 2), radius, (dark,) * 3, -1)
            elif kind == 2:
                bits = np.pad(rng.integers(0, 2, (4, 4)), 1).astype(np.uint8)
                size = (max(int(0.8 * step_x), 6), max(int(0.8 * step_y), 6))
                marker = cv2.resize(bits, size, interpolation=cv2.INTER_NEAREST)
                window = canvas[top : top + size[1], left : left + size[0]]
                window[:] = np.where(marker[: window.shape[0], : window.shape[1], None] > 0, light, dark)
    return decode(canvas)


def draw_page(rng: np.random.Generator, width: int, height: int) -> FloatArray:
    """Draw a printed page: a heading, lines of text and a picture."""
    canvas: ByteArray = np.full((height, width, 3), rng.uniform(200, 255), dtype=np.uint8)
    ink = (int(rng.uniform(0, 90)),) * 3
    if rng.uniform() < 0.6:
        _paste_picture(canvas, rng)
    step = int(rng.integers(9, 24))
    for y in range(step, height, step):
        if rng.uniform() < 0.9:
            text = "".join(rng.choice(_SMALL, int(rng.uniform(0.5, 1.0) * width / step * 2.2)))
            cv2.putText(canvas, text, (8, y), cv2.FONT_HERSHEY_SIMPLEX, step / 34.0, ink, 1, cv2.LINE_AA)
    draw_name(canvas[: height // 3], ink, rng)
    return decode(canvas)


def _draw_cloth(rng: np.random.Generator, width: int, height: int) -> FloatArray:
    """Draw woven cloth: crossing stripes of random colours and fine noise."""
    rows = _draw_stripes(rng, height)
    columns = rows if rng.uniform() < 0.4 and width == height else _draw_stripes(rng, width)
    woven = (rows[:, None] + columns[None]) / 2.0
    return np.asarray(np.clip(woven * rng.normal(1.0, 0.06, (height, width, 1)), 0.01, 0.95), dtype=np.float32)


def _draw_stripes(rng: np.random.Generator, length: int) -> FloatArray:
    """Draw a periodic sequence of colours ``(length, 3)``."""
    colours = np.array([random_colour(rng) for _ in range(int(rng.integers(1, 4)))])
    return np.asarray(colours[(np.arange(length) // int(rng.integers(6, 50))) % len(colours)])


def _draw_keyboard(rng: np.random.Generator, width: int, height: int) -> FloatArray:
    """Draw the keys of a keyboard."""
    key, case = encode_colour(random_colour(rng)), encode_colour(random_colour(rng))
    canvas: ByteArray = np.full((height, width, 3), case, dtype=np.uint8)
    rows, columns = int(rng.integers(4, 7)), int(rng.integers(10, 18))
    for row in range(rows):
        for column in range(columns):
            left, top = int((column + 0.1) * width / columns), int((row + 0.1) * height / rows)
            right, bottom = int((column + 0.9) * width / columns), int((row + 0.9) * height / rows)
            cv2.rectangle(canvas, (left, top), (right, bottom), key, -1)
            middle = ((left + right) // 2 - 3, (top + bottom) // 2 + 3)
            cv2.putText(canvas, str(rng.choice(_LETTERS)), middle, cv2.FONT_HERSHEY_SIMPLEX, 0.35, case, 1)
    return decode(canvas)


def _draw_waves(canvas: ByteArray, colour: tuple[int, ...], rng: np.random.Generator) -> None:
    """Fill the part of a canvas below a wave that closes around the body."""
    height, width = canvas.shape[:2]
    wave = np.sin(np.arange(width) / width * 2 * np.pi * rng.integers(1, 5) + rng.uniform(0, 6))
    level = height * (rng.uniform(0.3, 0.8) + rng.uniform(0.05, 0.2) * wave)
    canvas[np.arange(height)[:, None] > level[None]] = colour


def _paste_picture(canvas: ByteArray, rng: np.random.Generator) -> None:
    """Paste a picture of coloured patches in a rectangle or an ellipse."""
    height, width = canvas.shape[:2]
    h, w = int(rng.uniform(0.3, 0.8) * height), int(rng.uniform(0.4, 0.9) * width)
    top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    picture = (255 * draw_collage((h, w), rng)).astype(np.uint8)
    mask = np.ones((h, w), dtype=np.uint8)
    if rng.uniform() < 0.5:
        mask[:] = 0
        cv2.ellipse(mask, (w // 2, h // 2), (w // 2, h // 2), 0, 0, 360, 1, -1)
    window = canvas[top : top + h, left : left + w]
    window[:] = np.where(mask[..., None] > 0, picture, window)


def draw_emblem(canvas: ByteArray, colour: tuple[int, ...], rng: np.random.Generator) -> None:
    """Draw a filled ellipse or rhombus with an outline."""
    height, width = canvas.shape[:2]
    centre = int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.25, 0.7))
    axes = int(width * rng.uniform(0.15, 0.42)) + 1, int(height * rng.uniform(0.1, 0.35)) + 1
    step = 90 if rng.uniform() < 0.3 else 5
    points = np.asarray(cv2.ellipse2Poly(centre, axes, int(rng.integers(-10, 11)), 0, 360, step), dtype=np.int32)
    cv2.fillPoly(canvas, [points], colour, cv2.LINE_AA)
    cv2.polylines(canvas, [points], True, encode_colour(random_colour(rng)), int(rng.integers(1, 6)), cv2.LINE_AA)


def draw_name(canvas: ByteArray, ink: tuple[int, ...], rng: np.random.Generator, upright: bool = False) -> None:
    """Write a name of one or two lines across a canvas, sometimes from bottom to top unless it is ``upright``."""
    if rng.uniform() < 0.15 and not upright:
        turned: ByteArray = np.ascontiguousarray(np.rot90(canvas))
        _write_lines(turned, ink, rng)
        canvas[:] = np.rot90(turned, -1)
    else:
        _write_lines(canvas, ink, rng)


def _write_lines(canvas: ByteArray, ink: tuple[int, ...], rng: np.random.Generator) -> None:
    """Write one or two lines of letters that fill most of the width."""
    height, width = canvas.shape[:2]
    font, weight = int(rng.choice([0, 1, 2, 3, 4, 6, 7])), int(rng.integers(2, 9))
    y = height * rng.uniform(0.3, 0.6)
    for _ in range(int(rng.integers(1, 3))):
        text = "".join(rng.choice(_LETTERS, int(rng.integers(2, 9))))
        text = text if rng.uniform() < 0.6 else text.capitalize()
        (w, h), _ = cv2.getTextSize(text, font, 1.0, weight)
        scale = min(rng.uniform(0.5, 0.95) * width / max(w, 1), 0.35 * height / max(h, 1))
        x = (width - w * scale) / 2
        cv2.putText(canvas, text, (int(x), int(y)), font, scale, ink, weight, cv2.LINE_AA)
        y += 1.3 * h * scale


def _draw_small_print(canvas: ByteArray, ink: tuple[int, ...], rng: np.random.Generator) -> None:
    """Write a block of small lines, sometimes on a white field."""
    height, width = canvas.shape[:2]
    w, h = int(width * rng.uniform(0.1, 0.25)), int(height * rng.uniform(0.3, 0.8))
    left, top = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
    if rng.uniform() < 0.5:
        canvas[top : top + h, left : left + w] = 240
        ink = (30, 30, 30)
    for y in range(top + 10, top + h, int(rng.integers(8, 14))):
        text = "".join(rng.choice(_SMALL, max(w // 7, 2)))
        cv2.putText(canvas, text, (left + 3, y), cv2.FONT_HERSHEY_SIMPLEX, 0.3, ink, 1, cv2.LINE_AA)


def _draw_bar_code(canvas: ByteArray, rng: np.random.Generator) -> None:
    """Draw a bar code."""
    height, width = canvas.shape[:2]
    left, top = int(rng.integers(0, width - 70)), int(rng.integers(0, height - 50))
    bars = np.repeat(rng.integers(0, 2, 60), 1)
    canvas[top : top + 44, left : left + 68] = 250
    canvas[top + 4 : top + 40, left + 4 : left + 64] = np.where(bars[None, :, None] > 0, 10, 250)


def encode_colour(colour: FloatArray) -> tuple[int, int, int]:
    """Encode a linear colour as sRGB of 8 bits, approximated by a gamma of 2.2."""
    r, g, b = (255.0 * np.clip(colour, 0.0, 1.0) ** (1.0 / 2.2)).astype(int).tolist()
    return r, g, b


def decode(image: ByteArray) -> FloatArray:
    """Decode sRGB of 8 bits to linear float32, approximated by a gamma of 2.2."""
    return np.asarray((image.astype(np.float32) / 255.0) ** 2.2, dtype=np.float32)
