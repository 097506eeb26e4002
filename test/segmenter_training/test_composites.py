"""Pasting of cut-outs: labels, occlusion, and cut-outs themselves."""

from pathlib import Path

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY
from clipose_ros.segmenter_training.composites import Canvas
from clipose_ros.segmenter_training.cut_outs import CutOut, cut_out_photo, render_cut_out
from clipose_ros.segmenter_training.environment import random_environment
from clipose_ros.segmenter_training.photo_set import Photo
from clipose_ros.types import LABEL_BASE

CAN, MUG = (NOCS_CATEGORIES[name].id * LABEL_BASE for name in ("can", "mug"))


def square(side: int, category: str) -> CutOut:
    return CutOut(np.full((side, side, 3), 0.5, np.float32), np.ones((side, side), np.float32), category)


def canvas() -> Canvas:
    return Canvas(np.full((60, 80, 3), 0.7, np.float32), np.zeros((60, 80), np.uint16), NOCS_CATEGORIES)


@given(left=st.integers(-60, 100), top=st.integers(-60, 80), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_pasted_pixels_are_those_of_the_label(left: int, top: int, seed: int) -> None:
    image = canvas()
    expected = np.zeros((60, 80), bool)
    expected[max(top, 0) : max(top + 20, 0), max(left, 0) : max(left + 20, 0)] = True
    pasted = image.paste(square(20, "can"), left, top, np.random.default_rng(seed))
    assert pasted == (expected.sum() >= 0.4 * 400)
    assert ((image.labels == CAN + 1) == (expected & pasted)).all()
    assert image.image.min() >= 0.0 and image.image.max() <= 1.0
    if not pasted:
        assert (image.image == np.float32(0.7)).all()


def test_object_is_not_hidden_by_another() -> None:
    image, rng = canvas(), np.random.default_rng(0)
    assert image.paste(square(20, "can"), 10, 10, rng)
    assert not image.paste(square(20, "mug"), 12, 12, rng)
    assert image.paste(square(20, "mug"), 22, 10, rng)
    assert (image.labels == CAN + 1).sum() == 12 * 20
    assert (image.labels == MUG + 2).sum() == 20 * 20


def test_object_of_no_category_hides_labels() -> None:
    image, rng = canvas(), np.random.default_rng(0)
    assert image.paste(square(20, "can"), 10, 10, rng)
    assert image.paste(square(20, ""), 22, 10, rng)
    assert (image.labels > 0).sum() == 12 * 20


@given(angle=st.floats(-180, 180), side=st.floats(8, 90))
@settings(max_examples=25, deadline=None)
def test_resized_cut_out_keeps_its_area(angle: float, side: float) -> None:
    resized = square(40, "can").resized(side, angle)
    assert abs(resized.alpha.sum() - side**2) < 0.12 * side**2 + 8
    solid = resized.alpha > 0.9
    assert np.abs(resized.rgb[solid] - 0.5).max() < 0.02


def test_mirrored_cut_out_is_mirrored() -> None:
    rgb = np.zeros((20, 20, 3), np.float32)
    rgb[:, :10] = 1.0
    item = CutOut(rgb, np.ones((20, 20), np.float32), "mug")
    plain, mirrored = item.resized(20), item.resized(20, mirrored=True)
    assert plain.rgb[10, 4, 0] > 0.9 > 0.1 > mirrored.rgb[10, 4, 0]


def test_photo_is_cut_inside_its_mask(tmp_path: Path) -> None:
    image = np.zeros((40, 50, 3), np.uint8)
    mask = np.zeros((40, 50), np.uint8)
    image[10:30, 5:45], mask[10:30, 5:45] = (0, 0, 255), 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    cut_out = cut_out_photo(Photo(tmp_path / "a.png", tmp_path / "m.png", "mug"))
    assert cut_out.category == "mug"
    assert cut_out.alpha.max() == 1.0 and max(cut_out.alpha.shape) <= 42
    assert np.abs(cut_out.rgb[cut_out.alpha > 0.05] - (1.0, 0.0, 0.0)).max() < 0.05


def test_rendered_cut_out_fits_its_size() -> None:
    rng = np.random.default_rng(2)
    room = random_environment(rng)
    for category in ("can", "bowl", ""):
        cut_out = render_cut_out(rng, NOCS_OBJECT_LIBRARY, category, room, 40)
        assert cut_out.category == category
        assert 10 <= max(cut_out.alpha.shape) <= 40
        assert cut_out.alpha.max() > 0.99 and cut_out.rgb[cut_out.alpha > 0.9].std() > 0.0
