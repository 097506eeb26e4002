"""Repeats are dropped, neighbours and contents stay."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipose_ros.segmentation.overlap import suppress_overlaps
from clipose_ros.types import InstanceMask


def block(category: str, score: float, x0: int, y0: int, x1: int, y1: int) -> InstanceMask:
    return InstanceMask(category, score, (x0, y0, x1, y1), np.ones((y1 - y0, x1 - x0), bool))


def test_the_better_of_two_remains() -> None:
    better, worse = block("mug", 0.9, 10, 10, 30, 30), block("mug", 0.5, 12, 10, 32, 30)
    assert suppress_overlaps([better, worse], 0.6) == [better]


def test_a_part_of_a_thing_is_no_thing() -> None:
    whole, part = block("bottle", 0.9, 10, 10, 30, 60), block("bottle", 0.6, 12, 12, 28, 30)
    assert suppress_overlaps([whole, part], 0.6) == [whole]


def test_a_mug_in_a_bowl_remains_but_a_bowl_that_is_a_mug_does_not() -> None:
    bowl, mug = block("bowl", 0.9, 0, 0, 40, 40), block("mug", 0.8, 10, 10, 25, 25)
    assert suppress_overlaps([bowl, mug], 0.6) == [bowl, mug]
    again = block("mug", 0.8, 1, 1, 40, 40)
    assert suppress_overlaps([bowl, again], 0.6) == [bowl]


def test_boxes_may_overlap_where_masks_do_not() -> None:
    lower, upper = np.tril(np.ones((20, 20), bool), -1), np.triu(np.ones((20, 20), bool))
    pair = [InstanceMask("mug", 0.9, (0, 0, 20, 20), lower), InstanceMask("mug", 0.8, (0, 0, 20, 20), upper)]
    assert suppress_overlaps(pair, 0.1) == pair


MASKS = st.lists(arrays(bool, (8, 8)), max_size=5)


@given(MASKS, st.floats(0.0, 1.0))
def test_equal_to_the_definition_on_whole_images(masks: list[np.ndarray], threshold: float) -> None:
    full = [m for m in masks if m.any()]
    instances = [InstanceMask.from_full(("mug", "bowl")[i % 2], 1.0, m) for i, m in enumerate(full)]
    kept: list[int] = []
    for i, mask in enumerate(full):
        shares = []
        for k in kept:
            both, either = (mask & full[k]).sum(), (mask | full[k]).sum()
            shares.append(both / (min(mask.sum(), full[k].sum()) if i % 2 == k % 2 else either))
        if all(share <= threshold for share in shares):
            kept.append(i)
    assert suppress_overlaps(instances, threshold) == [instances[i] for i in kept]
