"""Recall and precision of detected boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.evaluation.metrics.box_detection import BoxDetection, box_iou, count_boxes, wilson_interval
from clipose_ros.types import InstanceMask

Box = tuple[int, int, int, int]
boxes = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 30), st.integers(1, 30)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


def instance(category: str, box: Box, score: float = 1.0) -> InstanceMask:
    return InstanceMask(category, score, box, np.ones((box[3] - box[1], box[2] - box[0]), dtype=bool))


@given(boxes, boxes)
def test_box_iou_equals_that_of_the_pixels(a: Box, b: Box) -> None:
    images = np.zeros((2, 80, 80), dtype=bool)
    for image, (x0, y0, x1, y1) in zip(images, (a, b), strict=True):
        image[y0:y1, x0:x1] = True
    assert box_iou(a, b) == pytest.approx((images[0] & images[1]).sum() / (images[0] | images[1]).sum())


@given(st.lists(boxes, max_size=5), st.randoms(use_true_random=False))
def test_perfect_detections_find_every_object_in_any_order(found: list[Box], random) -> None:
    truths = [instance("mug", box) for box in found]
    detections = random.sample(truths, len(truths))
    counts = count_boxes(detections, truths, [], NOCS_CATEGORIES)["mug"]
    assert (counts.objects, counts.detections, counts.found) == (len(found),) * 3
    assert counts.iou_sum == pytest.approx(len(found))


def test_second_detection_of_an_object_and_another_category_are_false() -> None:
    box = (0, 0, 10, 10)
    detections = [instance("mug", box, 0.9), instance("mug", (0, 0, 10, 9), 0.8), instance("can", box)]
    counts = count_boxes(detections, [instance("mug", box)], [], NOCS_CATEGORIES)
    assert (counts["mug"].found, counts["mug"].detections, counts["can"].detections) == (1, 2, 1)
    assert counts["mug"].precision == 0.5 and counts["can"].recall is None


def test_detection_of_an_ignored_object_is_left_out() -> None:
    ignored = [instance("tumbler", (0, 0, 10, 10))]
    detections = [instance("mug", (1, 1, 9, 9)), instance("mug", (30, 30, 40, 40))]
    assert count_boxes(detections, [], ignored, NOCS_CATEGORIES)["mug"].detections == 1


def test_object_beside_an_ignored_one_is_still_found() -> None:
    box = (0, 0, 10, 10)
    counts = count_boxes([instance("mug", box)], [instance("mug", box)], [instance("tin", box)], NOCS_CATEGORIES)
    assert (counts["mug"].found, counts["mug"].detections) == (1, 1)


def test_shares_of_nothing_are_none() -> None:
    nothing = BoxDetection()
    assert nothing.recall is nothing.precision is nothing.false_per_image is nothing.mask_iou is None
    assert nothing.as_record()["recall_interval"] is None


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"), [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (8, 10, 0.4902, 0.9433)]
)
def test_wilson_interval_has_published_values(hits: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(hits, trials) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_share(case: tuple[int, int]) -> None:
    interval = wilson_interval(*case)
    assert interval is not None
    assert 0.0 <= interval[0] <= case[0] / case[1] + 1e-12 and case[0] / case[1] - 1e-12 <= interval[1] <= 1.0
