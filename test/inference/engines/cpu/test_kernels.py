"""The compiled loops compute the formulas that their docstrings state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.inference.engines.cpu import kernels_dense, kernels_graph
from clipose_ros.inference.engines.cpu.kernel_arguments import (
    ColumnView,
    Neighbourhood,
    ProjectedFeatures,
    SupportVectors,
)
from clipose_ros.model import graph


def nearest_by_sorting(distances: np.ndarray, count: int) -> np.ndarray:
    distances = distances.astype(np.float64)
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1, kind="stable")[:, :count]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 700), st.integers(1, 64), st.sampled_from([2, 5, 1000]), st.integers(0, 99))
def test_nearest_points_are_those_of_a_stable_sort(size: int, count: int, coordinates: int, seed: int) -> None:
    """On an integer grid, distances are exact and many are equal."""
    count = min(count, size - 1)
    points = np.random.default_rng(seed).integers(0, coordinates, (3, size)).astype(np.float32)
    found = np.full((size, count), -1, np.int32)
    kernels_graph.nearest_points(points, 0, size // 2, found)
    kernels_graph.nearest_points(points, size // 2, size, found)
    distances = ((points[:, :, None] - points[:, None]) ** 2).sum(axis=0)
    np.testing.assert_array_equal(found, nearest_by_sorting(distances, count))


@settings(max_examples=20, deadline=None)
@given(st.integers(5, 300), st.integers(1, 20), st.integers(0, 99))
def test_nearest_features_are_those_of_a_stable_sort(size: int, count: int, seed: int) -> None:
    count = min(count, size - 1)
    features = np.random.default_rng(seed).integers(0, 9, (size, 6)).astype(np.float32)
    found = np.full((size, count), -1, np.int32)
    squares = (features**2).sum(axis=1)
    kernels_graph.nearest_features(features @ features.T, squares, 0, size, found)
    distances = ((features[:, None] - features[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(found, nearest_by_sorting(distances, count))


def test_nan_gives_valid_indices() -> None:
    points = np.random.default_rng(0).normal(size=(3, 100)).astype(np.float32)
    points[:, 10:] = np.nan
    found = np.full((100, 20), -1, np.int32)
    kernels_graph.nearest_points(points, 0, 100, found)
    assert found.min() >= 0 and found.max() < 100
    assert all(len(set(row)) == 20 for row in found.tolist())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_nearest_candidate_is_the_first_of_equally_near_ones(size: int, candidates: int, seed: int) -> None:
    points = np.random.default_rng(seed).integers(0, 4, (3, max(size, candidates))).astype(np.float32)
    found = np.full(size, -1, np.int32)
    kernels_graph.nearest_candidate(points, candidates, 0, size, found)
    distances = ((points[:, :size, None] - points[:, None, :candidates]) ** 2).sum(axis=0)
    np.testing.assert_array_equal(found, distances.argmin(axis=1))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 30), st.integers(0, 99))
def test_responses_are_the_graph_convolution(near: int, count: int, channels: int, seed: int) -> None:
    rng, size = np.random.default_rng(seed), 12
    points = rng.normal(size=(3, size)).astype(np.float32)
    points[:, 1] = points[:, 0]  # coinciding points have the direction zero
    neighbours = rng.integers(0, size, (size, near)).astype(np.int32)
    supports = rng.normal(size=(3, count * channels)).astype(np.float32)
    width = (count + 1) * channels
    projected = rng.integers(-9, 9, (size, width))
    scales, columns, shift = rng.uniform(0.5, 2, size), rng.uniform(0.5, 2, width), rng.normal(size=width)
    scales, columns, shift = scales.astype(np.float32), columns.astype(np.float32), shift.astype(np.float32)

    index = torch.from_numpy(neighbours.astype(np.int64)).unsqueeze(0)
    directions = graph.neighbour_directions(torch.from_numpy(points.T.copy()).unsqueeze(0), index)
    unit_supports = torch.from_numpy(supports.reshape(3, count, channels))
    features = torch.from_numpy((projected * scales[:, None] + shift) * columns).float()
    response = graph.graph_response(directions, unit_supports, features[None, :, channels:], index)[0]
    neighbourhood, kernels = Neighbourhood(points, neighbours), SupportVectors(supports, count)
    for kind in (np.float32, np.int32):
        out = np.full((size, channels + 2), 7.0, np.float32)
        values = ProjectedFeatures(projected.astype(kind), scales, columns, shift)
        kernels_graph.graph_convolution(neighbourhood, kernels, values, 0, size, out)
        np.testing.assert_allclose(out[:, :channels], features[:, :channels] + response, rtol=1e-5, atol=1e-4)
        assert (out[:, channels:] == 7.0).all()

    out = np.zeros((size, channels), np.float32)
    kernels_graph.surface_convolution(neighbourhood, kernels, 0, size, out)
    np.testing.assert_allclose(
        out, graph.graph_response(directions, unit_supports, None, index)[0], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("width", [1, 15, 64, 100])
def test_quantised_rows_are_within_half_a_step(width: int) -> None:
    values = np.random.default_rng(width).normal(size=(6, width + 3)).astype(np.float32)
    values[2] = 0.0
    out, scales = np.full((4, width), 99, np.int8), np.full(6, -1.0, np.float32)
    kernels_dense.quantise(values, 3, 1, 5, out, scales)
    assert scales[[0, 5]].tolist() == [-1.0, -1.0] and scales[2] == 0.0
    steps = scales[1:5, None]
    np.testing.assert_allclose(out * steps, values[1:5, 3:], atol=0.5001 * steps.max())
    assert np.abs(out[[0, 2, 3]]).max(axis=1).tolist() == [127, 127, 127] and not out[1].any()


def test_pooling_and_sum_of_maxima() -> None:
    rng = np.random.default_rng(1)
    values, neighbours = rng.normal(size=(10, 7)).astype(np.float32), rng.integers(0, 10, (10, 5)).astype(np.int32)
    out, squares = np.zeros((4, 6), np.float32), np.zeros(4, np.float32)
    source = ColumnView(values, 3, np.zeros(10, np.float32))
    kernels_graph.max_pool(source, neighbours, 2, 0, 4, ColumnView(out, 2, squares))
    expected = values[neighbours[:4, :2], 3:].max(axis=1)
    np.testing.assert_array_equal(out[:, 2:], expected)
    assert not out[:, :2].any()
    np.testing.assert_allclose(squares, (expected**2).sum(axis=1), rtol=1e-6)
    total = np.zeros(7, np.float32)
    kernels_graph.sum_of_maxima(values, neighbours, 2, 9, total)
    np.testing.assert_allclose(total, values[neighbours[2:9]].max(axis=1).sum(axis=0), rtol=1e-5)
