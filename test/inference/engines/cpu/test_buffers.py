"""The parts of a stage divide its rows, and neighbourhoods do not depend on the number of parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.inference.engines.cpu.buffers import CloudBuffers
from clipose_ros.model.encoder import POOLING


@given(st.integers(0, 500), st.integers(1, 9))
def test_every_row_belongs_to_exactly_one_part(count, parts):
    cloud = CloudBuffers(64, 4, 8, parts)
    rows = [row for part in range(parts) for row in range(*cloud.part_rows(count, part))]
    assert rows == list(range(count))


@given(st.integers(1, 500), st.integers(1, 9))
def test_parts_differ_by_at_most_one_row(count, parts):
    cloud = CloudBuffers(64, 4, 8, parts)
    sizes = [stop - start for start, stop in (cloud.part_rows(count, part) for part in range(parts))]
    assert max(sizes) - min(sizes) <= 1


def test_levels_hold_the_first_points_of_the_cloud():
    points = np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)
    cloud = CloudBuffers(256, 8, 32, 2)
    cloud.load(points, 3)
    assert cloud.category == 3 and cloud.counts == (256, 256 // POOLING, 256 // POOLING**2)
    for level, count in zip(cloud.neighbourhoods, cloud.counts, strict=True):
        np.testing.assert_array_equal(level.points, points[:count].T)


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_neighbourhoods_are_the_same_in_any_number_of_parts(parts):
    points = np.random.default_rng(1).normal(size=(256, 3)).astype(np.float32)
    whole, divided = CloudBuffers(256, 8, 32, 1), CloudBuffers(256, 8, 32, parts)
    for cloud in (whole, divided):
        cloud.load(points, 0)
        for part in range(cloud.parts):
            cloud.find_neighbours(part)
    found = ([*(level.neighbours for level in cloud.neighbourhoods), *cloud.nearest] for cloud in (whole, divided))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.max() > 0
