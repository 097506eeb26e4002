"""Domain randomization of rendered images: print, background, light, lens, sensor and compression.

Every effect is drawn at random from a wider range than real cameras show, so that a detector does not overfit to the
renderer's appearance.
"""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.data.synthetic.assets.collage import draw_collage
from clipose_ros.types import LABEL_BASE, BoolArray, ByteArray, FloatArray, LabelArray

PRINT_PROBABILITY = {"bottle": 0.5, "bowl": 0.2, "can": 0.55, "mug": 0.3}
"""Probability of print on an object by category: frequent on bottles and cans, rare on bowls and mugs, else none."""


def randomize_domain(
    rgb: ByteArray, labels: LabelArray, rng: np.random.Generator, categories: CategorySet = NOCS_CATEGORIES
) -> ByteArray:
    """Return a rendered image as a random camera might take it at a random place.

    Args:
        rgb: ``(H, W, 3)`` sRGB.
        labels: ``(H, W)`` category id x 1000 + instance; 0 is the background.
        rng: Equal states give equal images.
        categories: Categories of the labels.

    Returns:
        ``(H, W, 3)`` sRGB.
    """
    image = rgb.astype(np.float32) / 255.0
    for label in np.unique(labels[labels > 0]).tolist():
        category = categories.by_id(label // LABEL_BASE)
        probability = PRINT_PROBABILITY.get(category.name, 0.0) if category is not None else 0.0
        if rng.uniform() < probability:
            image = _add_print(image, labels == label, rng)
    if rng.uniform() < 0.25:
        image = _replace_background(image, labels == 0, rng)
    return randomize_camera(image, rng)


def randomize_camera(image: FloatArray, rng: np.random.Generator) -> ByteArray:
    """Return an image ``(H, W, 3)`` in [0, 1] in random light as a random camera might take it."""
    return _apply_sensor(_apply_light(image, rng), rng)


def _add_print(image: FloatArray, mask: BoolArray, rng: np.random.Generator) -> FloatArray:
    """Return the image with a collage printed on an object, shaded as the object is."""
    rows, columns = np.nonzero(mask)
    top, left = rows.min(), columns.min()
    shape = (int(rows.max() - top + 1), int(columns.max() - left + 1))
    if min(shape) < 6:
        return image
    window = (slice(top, top + shape[0]), slice(left, left + shape[1]))
    printed, crop = mask[window], image[window]
    # Print covers a band of the object, as a label does; in three of ten cases it covers the whole object.
    ramp = np.add.outer(np.linspace(-1, 1, shape[0]) * rng.normal(), np.linspace(-1, 1, shape[1]) * rng.normal(0, 0.4))
    low, high = np.sort(rng.uniform(ramp.min(), ramp.max(), 2))
    if rng.uniform() < 0.7:
        printed = printed & (ramp >= low) & (ramp <= high)
    # Shading from the rendered brightness, relative to the brightest tenth of the object: print follows its shape.
    grey = crop.mean(axis=2, keepdims=True)
    shade = grey / max(float(np.quantile(grey[mask[window]], 0.9)), 0.05)
    opacity = rng.uniform(0.5, 1.0)
    mixed = (1.0 - opacity) * crop + opacity * draw_collage(shape, rng) * np.clip(shade, 0.15, 1.2)
    image = image.copy()
    image[window] = np.where(printed[..., None], mixed, crop)
    return image


def _replace_background(image: FloatArray, background: BoolArray, rng: np.random.Generator) -> FloatArray:
    """Return the image with a collage mixed into the background, or into the upper part of it."""
    patches = draw_collage(background.shape, rng)
    if rng.uniform() < 0.5:
        patches = patches * np.clip(image.mean(axis=2, keepdims=True) / max(float(image.mean()), 0.1), 0.2, 1.5)
    opacity = rng.uniform(0.5, 1.0)
    if rng.uniform() < 0.5:
        rows = np.arange(background.shape[0])
        background = background & (rows < rng.uniform(0.2, 0.8) * background.shape[0])[:, None]
    return np.where(background[..., None], (1.0 - opacity) * image + opacity * patches, image).astype(np.float32)


def _apply_light(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Vary gamma, exposure, white balance, illumination across the image, saturation and contrast."""
    height, width = image.shape[:2]
    # Factors are log-normal, so doubling and halving are equally likely.
    image = np.clip(image, 0.0, 1.5) ** np.float32(np.exp(rng.normal(0.0, 0.15)))
    image = image * np.exp(rng.normal(0.0, 0.13) + rng.normal(0.0, 0.05, 3)).astype(np.float32)
    # Illumination that varies linearly between the four corners of the image.
    corners = rng.normal(1.0, 0.08, (2, 2)).astype(np.float32)
    image = image * cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * np.float32(np.exp(rng.normal(0.0, 0.25)))
    contrast = np.float32(np.exp(rng.normal(0.0, 0.12)))
    lit: FloatArray = (image - 0.45) * contrast + np.float32(0.45 + rng.normal(0.0, 0.03))
    return lit


def _apply_sensor(image: FloatArray, rng: np.random.Generator) -> ByteArray:
    """Apply blur, colour and grey noise, sharpening and JPEG compression."""
    # In the order of a camera: lens, noise of the sensor, sharpening and compression by its processor.
    image = _blur(image, rng)
    colour_noise, grey_noise = np.abs(rng.normal(0.0, 0.015, 2)).astype(np.float32)
    image = image + colour_noise * rng.standard_normal(image.shape, np.float32)
    image = image + grey_noise * rng.standard_normal((*image.shape[:2], 1), np.float32)
    if rng.uniform() < 0.3:
        image = image + np.float32(rng.uniform(0.3, 2.0)) * (image - _gaussian_blur(image, 1.0))
    pixels = (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    _, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 96))])
    photo: ByteArray = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), dtype=np.uint8)
    return photo


def _blur(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Apply defocus (half of the images), motion blur (15 %) or none."""
    choice = rng.uniform()
    if choice < 0.5:
        return _gaussian_blur(image, float(rng.uniform(0.3, 1.3)))
    if choice > 0.65:
        return image
    length = int(rng.integers(2, 7))
    rotation = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), rng.uniform(0, 180), 1.0)
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1.0
    kernel = np.asarray(cv2.warpAffine(kernel, rotation, (length, length)), dtype=np.float32)
    return np.asarray(cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1e-3)), dtype=np.float32)


def _gaussian_blur(image: FloatArray, sigma_px: float) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), dtype=np.float32)
