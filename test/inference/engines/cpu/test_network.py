"""One pass of the CPU engine over a cloud computes the plain network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cpu_networks import (
    TINY,
    architectures,
    compute_head_values,
    make_network,
    ops_with_neighbours_of,
    random_clouds,
    run_pass,
    run_stages,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.model.encoder import POOLING
from clipose_ros.model.network import Architecture


def centre(cloud: np.ndarray) -> np.ndarray:
    return (cloud - cloud.mean(axis=0)) / np.float32(0.1)


@settings(max_examples=15, deadline=None)
@given(architectures(), st.integers(0, 1000), st.sampled_from([128, 176]), st.integers(1, 3))
def test_values_of_the_heads_equal_the_network_given_equal_neighbours(
    architecture: Architecture, seed: int, points: int, parts: int
) -> None:
    centred = centre(random_clouds(1, points, seed)[0])
    computed = run_pass(make_network(architecture, seed), centred, seed % 6, parts)
    plain = make_network(architecture, seed, ops_with_neighbours_of(computed, architecture.encoder))
    encoding = plain.encoder(torch.from_numpy(centred[None]), torch.tensor([seed % 6]))
    expected = compute_head_values(plain, encoding, centred, seed % 6)
    np.testing.assert_allclose(computed.heads.values, expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_neighbours_are_the_nearest_in_space_and_in_features(seed: int) -> None:
    computed = run_pass(make_network(TINY, seed), centre(random_clouds(1, 128, seed)[0]), 0)
    space, layer = computed.cloud.neighbourhoods[0], computed.layers[1]
    features = layer.columns.response.buffer[:, layer.columns.response.first_column :]
    for values, near in ((space.points.T, space.neighbours), (features[:, : TINY.widths[0]], layer.neighbours)):
        values = values.astype(np.float64)
        distances = np.linalg.norm(values[:, None] - values[None], axis=2) ** 2
        np.fill_diagonal(distances, np.inf)
        expected = np.sort(distances, axis=1)[:, : near.shape[1]]
        np.testing.assert_allclose(np.take_along_axis(distances, near.astype(np.int64), 1), expected, atol=1e-4)


def test_upper_levels_have_the_maxima_around_the_first_points_of_the_level_below() -> None:
    computed = run_pass(make_network(TINY), centre(random_clouds(1)[0]), 0)
    for level, (below, above) in enumerate(((1, 2), (3, 4))):
        source, view = computed.layers[below].columns.target, computed.layers[above].columns.response
        width = TINY.widths[below]
        features = source.buffer[:, source.first_column : source.first_column + width]
        near = computed.cloud.neighbourhoods[level].neighbours[: len(features) // POOLING, :POOLING]
        pooled = view.buffer[:, view.first_column : view.first_column + width]
        np.testing.assert_array_equal(pooled, features[near].max(axis=1))
        np.testing.assert_allclose(view.squares, (pooled**2).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_values_depend_on_the_number_of_parts_by_rounding_only(parts: int) -> None:
    network, centred = make_network(TINY), centre(random_clouds(1)[0])
    whole, divided = (run_pass(network, centred, 3, count).heads.values for count in (1, parts))
    np.testing.assert_allclose(divided, whole, rtol=1e-4, atol=1e-5)


def test_a_pass_that_computed_another_cloud_gives_the_same_again() -> None:
    network = make_network(TINY)
    first, second = (centre(cloud) for cloud in random_clouds(2))
    computed = run_pass(network, first, 1, 2)
    values = computed.heads.values.copy()
    for cloud, category in ((second, 5), (first, 1)):
        computed.load(cloud, category)
        run_stages(computed.stages, 2)
    np.testing.assert_array_equal(computed.heads.values, values)
    assert not np.array_equal(values, run_pass(network, second, 5, 2).heads.values)
