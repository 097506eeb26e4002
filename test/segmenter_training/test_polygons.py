"""Polygons of masks: filling one reproduces the mask."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.segmenter_training.polygons import mask_to_polygon
from clipose_ros.types import BoolArray

SHAPE = (60, 80)


def filled(path: np.ndarray) -> BoolArray:
    canvas = np.zeros(SHAPE, np.uint8)
    cv2.fillPoly(canvas, [np.rint(path).astype(np.int32)], 1)
    return canvas > 0


def overlap(a: BoolArray, b: BoolArray) -> float:
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def disc(x: float, y: float, radius: float) -> BoolArray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.asarray(np.hypot(columns - x, rows - y) <= radius)


@given(x=st.floats(0, 79), y=st.floats(0, 59), radius=st.floats(8, 40))
def test_polygon_of_disc_reproduces_mask(x: float, y: float, radius: float) -> None:
    mask = disc(x, y, radius)
    assert overlap(filled(mask_to_polygon(mask)), mask) > 0.9


@given(radius=st.floats(6, 12), gap=st.floats(2, 10))
def test_polygon_joins_parts_and_keeps_holes(radius: float, gap: float) -> None:
    left, right = disc(20, 30, radius + 6) & ~disc(20, 30, radius), disc(26 + 2 * radius + gap, 30, radius)
    mask = left | right
    again = filled(mask_to_polygon(mask))
    assert overlap(again, mask) > 0.85
    assert not again[30, 20]


def test_polygon_reaches_all_parts() -> None:
    mask = disc(12, 12, 9) | disc(66, 12, 9) | disc(40, 45, 9)
    again = filled(mask_to_polygon(mask))
    assert overlap(again, mask) > 0.85
    assert again[12, 12] and again[12, 66] and again[45, 40]


@pytest.mark.parametrize("pixels", [0, 1, 2])
def test_specks_have_no_polygon(pixels: int) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[10, 10 : 10 + pixels] = True
    assert mask_to_polygon(mask).shape == (0, 2)
