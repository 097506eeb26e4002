"""The labels backend gives back the label image, exactly."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation import create_segmenter
from clipose_ros.segmentation.labels import LabelSegmenter
from clipose_ros.types import (
    LABEL_BASE,
    CameraIntrinsics,
    InstanceMask,
    LabelArray,
    Rejection,
    RejectionReason,
    RgbdFrame,
)

VALUES = [0, *(c.id * LABEL_BASE + i for c in NOCS_CATEGORIES for i in (0, 1, 999))]
LABEL_IMAGES = arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.sampled_from(VALUES))


def segment(labels: LabelArray, max_instances: int = 200) -> list[InstanceMask | Rejection]:
    height, width = labels.shape
    frame = RgbdFrame(
        np.zeros((height, width, 3), np.uint8),
        np.ones((height, width), np.float32),
        CameraIntrinsics(600.0, 600.0, 0.0, 0.0, width, height),
        labels=labels,
    )
    return LabelSegmenter(SegmentationConfig(backend="labels", max_instances=max_instances), NOCS_CATEGORIES).segment(
        frame
    )


@given(LABEL_IMAGES)
def test_masks_are_the_label_image(labels: LabelArray) -> None:
    instances = segment(labels)
    values = [value for value in np.unique(labels) if value]
    assert len(instances) == len(values)
    painted = np.zeros_like(labels)
    for instance in instances:
        x0, y0, x1, y1 = instance.box
        under = np.unique(labels[y0:y1, x0:x1][instance.mask])
        assert under.size == 1
        assert NOCS_CATEGORIES[instance.category].id == under[0] // LABEL_BASE
        assert instance.score == 1.0
        assert instance.mask.any(axis=0)[[0, -1]].all() and instance.mask.any(axis=1)[[0, -1]].all(), "box is not tight"
        painted[y0:y1, x0:x1][instance.mask] = under[0]
    np.testing.assert_array_equal(painted, labels)


@settings(max_examples=30)
@given(LABEL_IMAGES, st.integers(1, 4))
def test_the_largest_are_kept(labels: LabelArray, count: int) -> None:
    everything = [np.count_nonzero(i.mask) for i in segment(labels)]
    kept = [np.count_nonzero(i.mask) for i in segment(labels, max_instances=count)]
    assert kept == sorted(everything, reverse=True)[:count]


@pytest.mark.parametrize("wrong", [1, 999, 7000, 9004, 65535])
def test_wrong_values_are_named_and_cost_the_others_nothing(wrong: int) -> None:
    labels = np.full((4, 4), 6001, np.uint16)
    labels[0, 0] = wrong
    mug, rejection = segment(labels)
    assert isinstance(mug, InstanceMask) and mug.category == "mug" and np.count_nonzero(mug.mask) == 15
    assert isinstance(rejection, Rejection) and rejection.reason is RejectionReason.UNKNOWN_LABEL
    assert rejection.detail.endswith(f"got {wrong}") and "6 mug" in rejection.detail


def test_a_frame_without_labels_says_what_to_publish(make_frame) -> None:
    segmenter = create_segmenter(SegmentationConfig(backend="labels"), NOCS_CATEGORIES, "cpu")
    with pytest.raises(SegmentationError, match="segmentation/labels"):
        segmenter.segment(make_frame(rgb=np.zeros((4, 4, 3), np.uint8)))


def test_the_number_of_instances_can_change_while_running(make_frame) -> None:
    frame = make_frame(labels=np.array([[1001, 2001, 6001]], np.uint16))
    segmenter = create_segmenter(SegmentationConfig(backend="labels"), NOCS_CATEGORIES)
    assert len(segmenter.segment(frame)) == 3
    segmenter.reconfigure(SegmentationConfig(backend="labels", max_instances=1))
    assert len(segmenter.segment(frame)) == 1


def test_memory_is_bounded_for_any_number_of_values() -> None:
    labels = np.random.default_rng(0).integers(0, 2**16, (270, 480)).astype(np.uint16)
    labels[:40, :40] = 6001
    tracemalloc.start()
    found = segment(labels, max_instances=20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    instances = [item for item in found if isinstance(item, InstanceMask)]
    assert len(instances) == 20 and instances[0].category == NOCS_CATEGORIES.by_id(6).name
    assert np.count_nonzero(instances[0].mask) >= 1600
    assert peak < 100 * labels.size, "a mask was copied for each value"
