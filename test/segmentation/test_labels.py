"""The labels backend gives back the label image, exactly."""

import tracemalloc
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import ConfigError, SegmentationError
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


def frame_of(labels: LabelArray) -> RgbdFrame:
    height, width = labels.shape
    return RgbdFrame(
        np.zeros((height, width, 3), np.uint8),
        np.ones((height, width), np.float32),
        CameraIntrinsics(600.0, 600.0, 0.0, 0.0, width, height),
        labels=labels,
    )


def segment(labels: LabelArray, max_instances: int = 200, **settings: Any) -> list[InstanceMask | Rejection]:
    config = SegmentationConfig(backend="labels", max_instances=max_instances, **settings)
    return LabelSegmenter(config, NOCS_CATEGORIES).segment(frame_of(labels))


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


WIDE = [0, 1, 7, 6001, 70_000, 2**31 - 1, -1, -(2**31)]
WIDE_IMAGES = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.sampled_from(WIDE))
TABLE = {7: "mug", 70_000: "bowl", 2**31 - 1: "mug"}
ENTRIES = tuple(f"{value}:{name}" for value, name in TABLE.items())


def painted(instances: list[InstanceMask | Rejection], shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Each category's pixels; no pixel belongs to two instances."""
    counts = {name: np.zeros(shape, int) for name in TABLE.values()}
    for item in instances:
        if isinstance(item, InstanceMask):
            x0, y0, x1, y1 = item.box
            assert item.mask.any(axis=0)[[0, -1]].all() and item.mask.any(axis=1)[[0, -1]].all(), "box is not tight"
            counts[item.category][y0:y1, x0:x1] += item.mask
    assert all(count.max() <= 1 for count in counts.values())
    return counts


@given(WIDE_IMAGES, st.booleans())
def test_values_of_a_table_are_its_categories_and_others_are_background(labels: LabelArray, semantic: bool) -> None:
    found = segment(labels, label_ids=ENTRIES, semantic_labels=semantic)
    for name, count in painted(found, labels.shape).items():
        np.testing.assert_array_equal(count > 0, np.isin(labels, [v for v, n in TABLE.items() if n == name]))
    rejected = [item for item in found if isinstance(item, Rejection)]
    assert bool(rejected) == (not np.isin(labels, list(TABLE)).any() and bool(labels.any()))


@given(WIDE_IMAGES)
def test_wide_values_without_a_table_are_category_and_instance(labels: LabelArray) -> None:
    found = segment(labels)
    assert painted(found, labels.shape)["mug"].sum() == np.count_nonzero(labels == 6001)
    assert any(isinstance(item, Rejection) for item in found) == (not np.isin(labels, [0, 6001]).all())


@given(LABEL_IMAGES)
def test_instances_of_semantic_labels_are_connected_areas(labels: LabelArray) -> None:
    for instance in segment(labels, semantic_labels=True):
        assert isinstance(instance, InstanceMask)
        assert cv2.connectedComponents(instance.mask.view(np.uint8))[0] == 2
        grown = cv2.dilate(np.pad(instance.mask.view(np.uint8), 1), np.ones((3, 3), np.uint8))
        ring = (grown - np.pad(instance.mask.view(np.uint8), 1)).astype(bool)
        x0, y0, x1, y1 = instance.box
        around = np.pad(labels, 1)[y0 : y1 + 2, x0 : x1 + 2][ring]
        assert labels[y0:y1, x0:x1][instance.mask][0] not in around, "a neighbour of the same value was left out"


@settings(max_examples=30)
@given(LABEL_IMAGES, st.integers(1, 4))
def test_the_largest_areas_of_one_class_are_kept(labels: LabelArray, count: int) -> None:
    labels = np.where(labels > 0, 6001, 0).astype(np.uint16)
    everything = [np.count_nonzero(i.mask) for i in segment(labels, semantic_labels=True)]
    kept = [np.count_nonzero(i.mask) for i in segment(labels, max_instances=count, semantic_labels=True)]
    assert kept == everything[:count] == sorted(everything, reverse=True)[:count]


def test_values_outside_a_table_are_reported_until_one_of_it_is_seen() -> None:
    segmenter = LabelSegmenter(SegmentationConfig(backend="labels", label_ids=("7:mug",)), NOCS_CATEGORIES)
    floor, mug = np.full((4, 4), 2, np.int32), np.full((4, 4), 7, np.int32)
    (rejection,) = segmenter.segment(frame_of(floor))
    assert isinstance(rejection, Rejection) and "segmentation.label_ids (7 mug); got 2" in rejection.detail
    assert len(segmenter.segment(frame_of(mug))) == 1
    assert segmenter.segment(frame_of(floor)) == []


def test_memory_does_not_depend_on_the_values() -> None:
    labels = np.random.default_rng(0).integers(-(2**31), 2**31, (270, 480)).astype(np.int32)
    labels[:2] = 2**31 - 1
    tracemalloc.start()
    found = segment(labels, max_instances=1, label_ids=ENTRIES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 1 and peak < 200 * labels.size


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ("mug", "'7:mug', got 'mug'"),
        ("7:cup", "cup"),
        ("0:mug", "got '0'"),
        ("-3:mug", "got '-3'"),
        ("2147483648:mug", "got '2147483648'"),
        ("\u0663:mug", "got '\u0663'"),
        ("9" * 5000 + ":mug", "got '9999"),
        ("07:mug", "maps 7 twice"),
        ("7:bowl", "maps '7' twice"),
    ],
)
def test_a_wrong_entry_of_the_table_is_named(entry: str, named: str) -> None:
    with pytest.raises(ConfigError) as error:
        segment(np.zeros((2, 2), np.uint16), label_ids=("7:mug", entry))
    assert named in str(error.value) and len(str(error.value)) < 300
