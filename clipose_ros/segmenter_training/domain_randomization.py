"""What lies between a rendered picture and a photograph: print, busy surroundings, light, lens, sensor, compression.

All of it is drawn at random and far wider than real cameras vary, so that a detector cannot learn the renderer's look.
"""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.data.synthetic.assets.textures import random_colour
from clipose_ros.types import LABEL_BASE, BoolArray, ByteArray, FloatArray, LabelArray

PRINTED = {1: 0.5, 2: 0.2, 4: 0.55, 6: 0.3}
"""By category id, the chance of print: bottles and cans are mostly printed, bowls and mugs now and then."""
_LETTERS = np.array(list("ABCDEFGHIKLMNOPRSTUVWXYZabcdefghiklmnoprstuvwxyz0123456789&%.-"))


def randomize_domain(rgb: ByteArray, labels: LabelArray, rng: np.random.Generator) -> ByteArray:
    """A rendered picture as some camera might have taken it in some busier place.

    Args:
        rgb: ``(H, W, 3)`` sRGB.
        labels: ``(H, W)`` category id x 1000 + instance; 0 elsewhere.
        rng: Equal states give equal pictures.
    """
    image = rgb.astype(np.float32) / 255.0
    for label in np.unique(labels[labels > 0]).tolist():
        if rng.uniform() < PRINTED.get(label // LABEL_BASE, 0.0):
            image = _printed(image, labels == label, rng)
    if rng.uniform() < 0.25:
        image = _surrounded(image, labels == 0, rng)
    return _developed(_exposed(image, rng), rng)


def collage(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Overlapping coloured patches, gradients and writing, ``(H, W, 3)`` float32 in [0, 1]."""
    height, width = shape
    coarse = rng.uniform(0.0, 1.0, (*rng.integers(2, 9, 2), 3)).astype(np.float32)
    canvas = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    canvas = np.ascontiguousarray((102.0 * np.clip(canvas, 0, 1) + 153.0 * _srgb(random_colour(rng))).astype(np.uint8))
    for _ in range(int(rng.integers(3, 25))):
        colour = tuple(int(v) for v in 255.0 * _srgb(random_colour(rng)))
        at = rng.uniform(0, 1, 2) * (width, height)
        reach = np.exp(rng.uniform(np.log(0.03), np.log(0.4))) * width
        kind = rng.integers(4)
        if kind == 0:
            corners = at + reach * rng.uniform(-1, 1, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(canvas, [corners.astype(np.int32)], colour)
        elif kind == 1:
            axes = (reach * rng.uniform(0.2, 1.0, 2)).astype(int) + 1
            thickness = -1 if rng.uniform() < 0.6 else int(rng.integers(1, 8))
            cv2.ellipse(canvas, at.astype(int).tolist(), axes.tolist(), rng.uniform(0, 180), 0, 360, colour, thickness)
        elif kind == 2:
            end = at + reach * rng.uniform(-1, 1, 2)
            cv2.line(canvas, at.astype(int).tolist(), end.astype(int).tolist(), colour, int(rng.integers(1, 7)))
        else:
            text = "".join(rng.choice(_LETTERS, int(rng.integers(2, 9))))
            size, font = float(reach / 60.0 + 0.25), int(rng.integers(0, 8))
            cv2.putText(canvas, text, at.astype(int).tolist(), font, size, colour, int(rng.integers(1, 4)))
    return canvas.astype(np.float32) / 255.0


def _srgb(linear: FloatArray) -> FloatArray:
    encoded: FloatArray = (np.clip(linear, 0.0, 1.0) ** (1.0 / 2.2)).astype(np.float32)
    return encoded


def _printed(image: FloatArray, mask: BoolArray, rng: np.random.Generator) -> FloatArray:
    """An object with print on it: a collage under the object's own light and shade."""
    rows, columns = np.nonzero(mask)
    top, left = rows.min(), columns.min()
    shape = (int(rows.max() - top + 1), int(columns.max() - left + 1))
    if min(shape) < 6:
        return image
    window = (slice(top, top + shape[0]), slice(left, left + shape[1]))
    here, part = mask[window], image[window]
    # Only a band of the thing is printed, as a label is; seldom all of it.
    ramp = np.add.outer(np.linspace(-1, 1, shape[0]) * rng.normal(), np.linspace(-1, 1, shape[1]) * rng.normal(0, 0.4))
    low, high = np.sort(rng.uniform(ramp.min(), ramp.max(), 2))
    if rng.uniform() < 0.7:
        here = here & (ramp >= low) & (ramp <= high)
    grey = part.mean(axis=2, keepdims=True)
    shade = grey / max(float(np.quantile(grey[mask[window]], 0.9)), 0.05)
    strength = rng.uniform(0.5, 1.0)
    mixed = (1.0 - strength) * part + strength * collage(shape, rng) * np.clip(shade, 0.15, 1.2)
    image = image.copy()
    image[window] = np.where(here[..., None], mixed, part)
    return image


def _surrounded(image: FloatArray, elsewhere: BoolArray, rng: np.random.Generator) -> FloatArray:
    """Other surroundings: a collage takes the place of what is no object, wholly or only on the farther side."""
    patches = collage(elsewhere.shape, rng)
    if rng.uniform() < 0.5:
        patches = patches * np.clip(image.mean(axis=2, keepdims=True) / max(float(image.mean()), 0.1), 0.2, 1.5)
    share = rng.uniform(0.5, 1.0)
    if rng.uniform() < 0.5:  # only beyond some line across the picture
        elsewhere = elsewhere & (np.arange(elsewhere.shape[0]) < rng.uniform(0.2, 0.8) * elsewhere.shape[0])[:, None]
    return np.where(elsewhere[..., None], (1.0 - share) * image + share * patches, image).astype(np.float32)


def _exposed(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Light and colour: gamma, exposure, contrast, white balance, saturation, a shade across the picture."""
    height, width = image.shape[:2]
    image = np.clip(image, 0.0, 1.5) ** np.float32(np.exp(rng.normal(0.0, 0.15)))
    image = image * np.exp(rng.normal(0.0, 0.13) + rng.normal(0.0, 0.05, 3)).astype(np.float32)
    corners = rng.normal(1.0, 0.08, (2, 2)).astype(np.float32)
    image = image * cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * np.float32(np.exp(rng.normal(0.0, 0.25)))
    exposed: FloatArray = (image - 0.45) * np.float32(np.exp(rng.normal(0.0, 0.12))) + np.float32(
        0.45 + rng.normal(0.0, 0.03)
    )
    return exposed


def _developed(image: FloatArray, rng: np.random.Generator) -> ByteArray:
    """Sensor and file: blur, noise, sharpening, JPEG."""
    image = _blurred(image, rng)
    coloured, grey = np.abs(rng.normal(0.0, 0.015, 2)).astype(np.float32)
    image = image + coloured * rng.standard_normal(image.shape, np.float32)
    image = image + grey * rng.standard_normal((*image.shape[:2], 1), np.float32)
    if rng.uniform() < 0.3:
        image = image + np.float32(rng.uniform(0.3, 2.0)) * (image - _softened(image, 1.0))
    pixels = (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 96))])
    photo: ByteArray = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return photo


def _blurred(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Out of focus, or moved, or neither."""
    choice = rng.uniform()
    if choice < 0.5:
        return _softened(image, float(rng.uniform(0.3, 1.3)))
    if choice > 0.65:
        return image
    length = int(rng.integers(2, 7))
    turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), rng.uniform(0, 180), 1.0)
    streak = np.zeros((length, length), np.float32)
    streak[length // 2] = 1.0
    streak = np.asarray(cv2.warpAffine(streak, turn, (length, length)), dtype=np.float32)
    return np.asarray(cv2.filter2D(image, -1, streak / max(float(streak.sum()), 1e-3)), dtype=np.float32)


def _softened(image: FloatArray, sigma_px: float) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), dtype=np.float32)
