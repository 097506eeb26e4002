"""Pairs by distance, within the gate."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipose_ros.tracking.association import associate

points = st.integers(0, 4).flatmap(lambda n: arrays(np.float64, (n, 3), elements=st.floats(-1, 1)))


@given(points, points, st.floats(0.05, 2.0))
def test_most_pairs_then_least_distance(tracks, detections, gate):
    pairs = associate(tracks, detections, gate)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    distance = np.linalg.norm(tracks[:, None] - detections[None], axis=-1)
    best = (0, 0.0)
    few, many = sorted((len(tracks), len(detections)))
    for chosen in itertools.permutations(range(many), few):
        cells = [distance[k, c] if len(tracks) <= len(detections) else distance[c, k] for k, c in enumerate(chosen)]
        allowed = [d for d in cells if d <= gate]
        best = min(best, (-len(allowed), sum(allowed)))
    assert (-len(pairs), sum(distance[i, j] for i, j in pairs)) == (best[0], pytest.approx(best[1], abs=1e-9))
    assert all(distance[i, j] <= gate for i, j in pairs)


def test_nearest_first_would_be_wrong_here():
    tracks = np.array([[0.0, 0, 0], [0.10, 0, 0]])
    detections = np.array([[0.06, 0, 0], [0.19, 0, 0]])
    assert associate(tracks, detections, 0.1) == [(0, 0), (1, 1)]


@given(points, points, st.data())
def test_kinds_that_do_not_compare_are_paired_each_among_themselves(tracks, detections, data):
    kinds = st.sampled_from("ab")
    kind_i = np.array([data.draw(kinds) for _ in tracks])
    kind_j = np.array([data.draw(kinds) for _ in detections])
    pairs = associate(tracks, detections, 0.7, kind_i[:, None] == kind_j[None])
    alone = []
    for kind in "ab":
        i, j = np.flatnonzero(kind_i == kind), np.flatnonzero(kind_j == kind)
        alone += [(i[a], j[b]) for a, b in associate(tracks[i], detections[j], 0.7)]

    def total(chosen):
        return len(chosen), pytest.approx(sum(np.linalg.norm(tracks[i] - detections[j]) for i, j in chosen), abs=1e-9)

    assert total(pairs) == total(alone)
    assert all(kind_i[i] == kind_j[j] for i, j in pairs)
