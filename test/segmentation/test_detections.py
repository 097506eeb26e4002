"""The backend ``detections``: boxes of another program become masks by the depth inside them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation.base import Segmenter
from clipose_ros.segmentation.box_masks import box_mask
from clipose_ros.segmentation.factory import create_segmenter
from clipose_ros.types import (
    BoolArray,
    CameraIntrinsics,
    DetectedBox,
    FloatArray,
    InstanceMask,
    Rejection,
    RejectionReason,
    RgbdFrame,
)

WIDTH, HEIGHT, FOCAL = 320, 240, 300.0


def table(tilt: float, distance_m: float) -> FloatArray:
    """Return the depth of a plane that is tilted about the camera's x axis."""
    rows = (np.arange(HEIGHT)[:, None] - HEIGHT / 2) / FOCAL
    return np.broadcast_to(distance_m / (1.0 + np.tan(tilt) * rows), (HEIGHT, WIDTH)).astype(np.float32)


def disc(centre: tuple[int, int], radius: int) -> BoolArray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= radius**2)


def bounding_box(mask: BoolArray) -> tuple[int, int, int, int]:
    instance = InstanceMask.from_full("mug", 1.0, mask)
    assert instance is not None
    return instance.box


def make_frame(depth: FloatArray, *boxes: DetectedBox) -> RgbdFrame:
    intrinsics = CameraIntrinsics(FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT)
    return RgbdFrame(np.zeros((HEIGHT, WIDTH, 3), np.uint8), depth, intrinsics, boxes=boxes)


@pytest.fixture
def segmenter() -> Segmenter:
    config = SegmentationConfig(backend="detections", class_map=("cup:mug", "41:mug", "can:can"), score_threshold=0.3)
    return create_segmenter(config, NOCS_CATEGORIES)


@settings(deadline=None, max_examples=40)
@given(
    tilt=st.floats(-0.9, 0.9),
    distance_m=st.floats(0.4, 1.5),
    height_m=st.floats(0.04, 0.15),
    radius=st.integers(10, 40),
    centre=st.tuples(st.integers(45, WIDTH - 46), st.integers(45, HEIGHT - 46)),
    seed=st.integers(0, 99),
)
def test_object_on_a_table_is_cut_out(
    tilt: float, distance_m: float, height_m: float, radius: int, centre: tuple[int, int], seed: int
) -> None:
    truth, depth = disc(centre, radius), table(tilt, distance_m).copy()
    depth[truth] -= height_m
    depth += np.random.default_rng(seed).normal(0.0, 0.001, depth.shape).astype(np.float32) * distance_m**2
    x0, y0, x1, y1 = box = bounding_box(truth)
    found, true = box_mask(depth, box), truth[y0:y1, x0:x1]
    assert (found & true).sum() > 0.9 * (found | true).sum()


def test_half_of_the_surroundings_may_be_another_object() -> None:
    truth, depth = disc((160, 120), 30), table(0.5, 0.8).copy()
    depth[:, 60:125] -= 0.2  # a neighbour on the left
    depth[truth] = 0.55
    box = bounding_box(truth)
    found = box_mask(depth, box)
    assert (found == truth[box[1] : box[3], box[0] : box[2]]).mean() > 0.95


def test_object_in_front_of_a_distant_wall_is_cut_out_by_the_step() -> None:
    truth = disc((160, 120), 30)
    depth = np.where(truth, 0.6, 3.0).astype(np.float32)
    box = bounding_box(truth)
    assert (box_mask(depth, box) == truth[box[1] : box[3], box[0] : box[2]]).all()


def test_bare_table_and_missing_depth_give_an_empty_mask() -> None:
    assert not box_mask(table(0.4, 0.8), (50, 50, 120, 100)).any()
    for value in (np.nan, 0.0, np.inf, -1.0):
        assert not box_mask(np.full((HEIGHT, WIDTH), value, np.float32), (50, 50, 120, 100)).any()


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(0, 30), st.integers(0, 20), st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 2**16),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_any_depth_and_any_box_give_a_mask_of_the_box(box: tuple[int, int, int, int], seed: int, holes: float) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(-1.0, 5.0, (29, 39)).astype(np.float32)
    depth[rng.random(depth.shape) < holes] = np.nan
    found = box_mask(depth, (box[0], box[1], box[0] + box[2], box[1] + box[3]))
    assert found.shape == (box[3], box[2]) and found.dtype == bool


def test_boxes_are_mapped_sorted_and_thresholded(segmenter: Segmenter) -> None:
    depth = table(0.3, 0.8).copy()
    places = [disc((80, 120), 25), disc((240, 120), 25), disc((160, 60), 25)]
    for place in places:
        depth[place] -= 0.1
    boxes = [bounding_box(place) for place in places]
    found = segmenter.segment(
        make_frame(
            depth,
            DetectedBox("cup", 0.5, boxes[0]),
            DetectedBox("can", 0.9, boxes[1]),
            DetectedBox("41", 0.2, boxes[2]),  # below the threshold
            DetectedBox("person", 0.9, boxes[2]),  # not in the class map
        )
    )
    assert [(item.category, item.score) for item in found if isinstance(item, InstanceMask)] == [
        ("can", 0.9),
        ("mug", 0.5),
    ]
    assert len(found) == 2


def test_box_without_object_or_outside_is_rejected_with_a_reason(segmenter: Segmenter) -> None:
    frame = make_frame(
        table(0.3, 0.8), DetectedBox("cup", 0.9, (50, 50, 90, 90)), DetectedBox("can", 0.8, (400, 0, 500, 9))
    )
    found = segmenter.segment(frame)
    assert all(isinstance(item, Rejection) and item.reason is RejectionReason.NO_DEPTH for item in found)
    details = [item.detail for item in found if isinstance(item, Rejection)]
    assert "stands out" in details[0] and "outside of the image" in details[1]


def test_boxes_that_exceed_the_image_are_cut(segmenter: Segmenter) -> None:
    depth = table(0.3, 0.8).copy()
    depth[:60, :60] -= 0.2
    (instance,) = segmenter.segment(make_frame(depth, DetectedBox("cup", 1.5, (-20, -20, 60, 60))))
    assert isinstance(instance, InstanceMask) and instance.box == (0, 0, 60, 60) and instance.score == 1.0


def test_frame_without_boxes_is_an_error_and_with_none_is_empty(segmenter: Segmenter) -> None:
    with pytest.raises(SegmentationError, match="Detection2DArray"):
        segmenter.segment(replace(make_frame(table(0.0, 1.0)), boxes=None))
    assert list(segmenter.segment(make_frame(table(0.0, 1.0)))) == []
