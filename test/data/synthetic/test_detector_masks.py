"""Masks with the errors of the detector: their statistics, and what stays unchanged."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from clipose_ros.data.synthetic.detector_masks import BLEED_SHARE, LOSS_SHARE, distort_mask
from clipose_ros.types import BoolArray


def blob(side: float, seed: int = 0) -> BoolArray:
    """Return a random ellipse with the area of a square of a side, pixels."""
    rng = np.random.default_rng(seed)
    aspect, angle = rng.uniform(1.0, 2.5), rng.uniform(0, 180)
    size = int(3 * side) + 20
    axes = np.sqrt(np.array([aspect, 1 / aspect]) / np.pi) * side
    image = np.zeros((size, size), np.uint8)
    cv2.ellipse(image, (size // 2, size // 2), tuple(np.rint(axes).astype(int).tolist()), angle, 0, 360, 1, -1)
    return image.astype(bool)


def test_errors_are_those_of_the_detector() -> None:
    rng = np.random.default_rng(1)
    union, foreign, missing = [], [], []
    for i in range(300):
        true = blob(float(np.exp(rng.uniform(np.log(45), np.log(180)))), i)
        mask = distort_mask(true, rng)
        union.append((mask & true).sum() / (mask | true).sum())
        foreign.append((mask & ~true).sum() / true.sum())
        missing.append((~mask & true).sum() / true.sum())
    low, middle, high = np.percentile(union, [10, 50, 75])
    assert 0.75 < low < 0.92 and 0.91 < middle < 0.965 and 0.95 < high < 0.985
    assert 0.01 < np.median(foreign) < 0.06 and 0.08 < np.quantile(foreign, 0.93) < 0.35
    assert 0.005 < np.median(missing) < 0.04


def test_some_masks_have_blobs_of_their_surroundings_and_some_lack_parts() -> None:
    rng = np.random.default_rng(2)
    true = blob(100.0)
    outside = cv2.distanceTransform((~true).astype(np.uint8), cv2.DIST_L2, 5)
    inside = cv2.distanceTransform(true.astype(np.uint8), cv2.DIST_L2, 5)
    masks = [distort_mask(true, rng) for _ in range(600)]
    bleeding = np.mean([(mask & (outside > 10)).any() for mask in masks])
    lacking = np.mean([(~mask & (inside > 10)).any() for mask in masks])
    assert 0.5 * BLEED_SHARE < bleeding < 1.6 * BLEED_SHARE
    assert 0.5 * LOSS_SHARE < lacking < 1.6 * LOSS_SHARE


@pytest.mark.parametrize("side", [4.0, 15.0, 60.0])
def test_masks_are_repeatable_and_keep_their_size(side: float) -> None:
    true = blob(side)
    first, again = (distort_mask(true, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    areas = [distort_mask(true, np.random.default_rng(seed)).sum() / true.sum() for seed in range(100)]
    assert 0.9 < np.median(areas) < 1.3


def test_a_mask_of_one_pixel_is_accepted() -> None:
    true = np.zeros((9, 9), bool)
    true[4, 4] = True
    for seed in range(30):
        assert distort_mask(true, np.random.default_rng(seed)).shape == (9, 9)
