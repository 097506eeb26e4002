"""Matching and average precision against cases worked out by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.evaluation.metrics.average_precision import average_precision, descending, greedy_matches


@pytest.mark.parametrize(
    ("hits", "truths", "expected"),
    [
        ([1, 1], 2, 1.0),
        ([0, 0], 2, 0.0),
        ([], 3, 0.0),
        ([1], 4, 0.25),
        ([1, 0, 1], 2, 0.5 * 1.0 + 0.5 * 2 / 3),
        ([0, 1], 1, 0.5),
        # precision is 1/2, then 2/3, then 3/4: the best that follows counts, 3/4 for all three
        ([0, 1, 1, 1], 4, 0.75 * 0.75),
        # false ones after the last hit cost nothing
        ([1, 0, 0, 0], 1, 1.0),
        ([1], 0, 0.0),
    ],
)
def test_average_precision_by_hand(hits, truths, expected):
    scores = np.linspace(0.9, 0.1, len(hits))
    value = average_precision(np.array([hits], dtype=bool), scores, truths)
    assert value == pytest.approx([expected])


def test_scores_give_the_order_not_the_place():
    hits, scores = np.array([[False, True, True]]), np.array([0.1, 0.5, 0.9])
    assert average_precision(hits, scores, 2) == pytest.approx([1.0])


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 5))
def test_average_precision_is_the_area_under_the_envelope(hits, missed):
    """Integrate the envelope over a fine grid of recalls, by its definition."""
    truths = sum(hits) + missed
    found = np.cumsum(hits)
    curve = [(n / truths, n / (k + 1)) for k, n in enumerate(found)] if truths else []
    grid = (np.arange(2520) + 0.5) / 2520  # divisible by every number of truths up to 10
    envelope = [max((p for r, p in curve if r >= recall), default=0.0) for recall in grid]
    value = average_precision(np.array([hits], dtype=bool), np.linspace(1, 0, len(hits)), truths)
    assert value[0] == pytest.approx(np.mean(envelope), abs=2e-3)


def test_several_thresholds_at_once():
    hits = np.array([[1, 0], [1, 1], [0, 1]], dtype=bool)
    assert average_precision(hits, np.array([0.9, 0.8]), 2) == pytest.approx([0.5, 1.0, 0.25])


def test_of_equal_values_the_later_goes_first():
    assert descending(np.array([0.5, 0.9, 0.5, 0.9])).tolist() == [3, 1, 2, 0]


def test_greedy_takes_the_preferred_truth_that_is_left():
    preference = np.array([[1, 0], [1, 0], [1, 0]])
    everything = np.ones((1, 3, 2), dtype=bool)
    assert greedy_matches(preference, everything).tolist() == [[1, 0, -1]]
    barred = everything.copy()
    barred[0, 0, 1] = False
    assert greedy_matches(preference, barred).tolist() == [[0, 1, -1]]


@given(st.integers(0, 4), st.integers(0, 4), st.data())
def test_greedy_matches_one_to_one_and_leaves_no_pair_that_could_be(predictions, truths, data):
    cells = st.booleans()
    admissible = np.array(
        data.draw(st.lists(cells, min_size=2 * predictions * truths, max_size=2 * predictions * truths)), dtype=bool
    ).reshape(2, predictions, truths)
    orders = list(itertools.permutations(range(truths)))
    preference = np.array([data.draw(st.sampled_from(orders)) for _ in range(predictions)], dtype=int).reshape(
        predictions, truths
    )
    for passes, row in zip(admissible, greedy_matches(preference, admissible), strict=True):
        used = [j for j in row if j >= 0]
        assert len(set(used)) == len(used)
        for i, j in enumerate(row):
            assert j < 0 or passes[i, j]
            if j < 0:
                assert all(k in used for k in np.flatnonzero(passes[i]))
