"""Greedy matching and average precision."""

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
        # precision is 1/2, 2/3, 3/4; each is replaced by the largest that follows, 3/4
        ([0, 1, 1, 1], 4, 0.75 * 0.75),
        # false predictions after the last hit have no effect
        ([1, 0, 0, 0], 1, 1.0),
        ([1], 0, 0.0),
    ],
)
def test_average_precision_of_known_cases(hits, truths, expected):
    scores = np.linspace(0.9, 0.1, len(hits))
    value = average_precision(np.array([hits], dtype=bool), scores, truths)
    assert value == pytest.approx([expected])


def test_average_precision_sorts_by_score():
    hits, scores = np.array([[False, True, True]]), np.array([0.1, 0.5, 0.9])
    assert average_precision(hits, scores, 2) == pytest.approx([1.0])


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 5))
def test_average_precision_is_the_area_under_the_envelope(hits, missed):
    """Compare with the integral of the envelope over a fine grid of recalls."""
    truths = sum(hits) + missed
    found = np.cumsum(hits)
    curve = [(n / truths, n / (k + 1)) for k, n in enumerate(found)] if truths else []
    grid = (np.arange(2520) + 0.5) / 2520  # divisible by every number of truths up to 10
    envelope = [max((p for r, p in curve if r >= recall), default=0.0) for recall in grid]
    value = average_precision(np.array([hits], dtype=bool), np.linspace(1, 0, len(hits)), truths)
    assert value[0] == pytest.approx(np.mean(envelope), abs=2e-3)


def test_average_precision_accepts_several_thresholds():
    hits = np.array([[1, 0], [1, 1], [0, 1]], dtype=bool)
    assert average_precision(hits, np.array([0.9, 0.8]), 2) == pytest.approx([0.5, 1.0, 0.25])


def test_descending_sorts_later_of_equal_values_first():
    assert descending(np.array([0.5, 0.9, 0.5, 0.9])).tolist() == [3, 1, 2, 0]


def test_greedy_matches_takes_the_preferred_free_truth():
    preference = np.array([[1, 0], [1, 0], [1, 0]])
    everything = np.ones((1, 3, 2), dtype=bool)
    assert greedy_matches(preference, everything).tolist() == [[1, 0, -1]]
    restricted = everything.copy()
    restricted[0, 0, 1] = False
    assert greedy_matches(preference, restricted).tolist() == [[0, 1, -1]]


@given(st.integers(0, 4), st.integers(0, 4), st.data())
def test_greedy_matches_is_one_to_one_and_maximal(predictions, truths, data):
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
