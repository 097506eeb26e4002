"""The graph layers of the CPU engine compute the PyTorch layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cpu_networks import TINY, make_network, run_stages
from torch.nn import functional as F

from clipose_ros.inference.engines.cpu.buffers import CloudBuffers, make_column_view
from clipose_ros.inference.engines.cpu.gemm import Float32Gemm, Int8Gemm
from clipose_ros.inference.engines.cpu.graph_layer import GraphLayerPass, LayerColumns
from clipose_ros.inference.engines.cpu.weights import encoder_weights
from clipose_ros.model import graph

POINTS = 128
LAYERS = range(5)


def make_cloud(parts: int) -> CloudBuffers:
    """Return buffers with a random cloud and its neighbourhoods."""
    cloud = CloudBuffers(POINTS, TINY.neighbours, 64, parts)
    cloud.load(np.random.default_rng(0).normal(size=(POINTS, 3)).astype(np.float32), 0)
    run_stages([cloud.find_neighbours], parts)
    return cloud


def run_layer(network, number: int, cloud: CloudBuffers, gemm=Float32Gemm) -> GraphLayerPass:
    """Compute one layer on the first level, whose input is the cloud itself or random features."""
    weights = encoder_weights(network, gemm)[number]
    width = 3 if number == 0 else TINY.widths[number - 1]
    response = make_column_view(POINTS, weights.channels, weights.channels + width)
    features = cloud.neighbourhoods[0].points.T
    if number > 0:
        features = np.random.default_rng(number).normal(size=(POINTS, width))
    response.buffer[:, weights.channels :] = features
    response.squares[:] = (response.buffer[:, weights.channels :] ** 2).sum(axis=1)
    layer = GraphLayerPass(cloud, 0, weights, LayerColumns(response, make_column_view(POINTS, 2, weights.channels + 3)))
    run_stages(layer.stages, cloud.parts)
    return layer


def expected_result(network, number: int, layer: GraphLayerPass, cloud: CloudBuffers) -> np.ndarray:
    """Compute the same layer by PyTorch, with the neighbours in feature space that the CPU engine found."""
    response = layer.columns.response
    points = torch.from_numpy(cloud.neighbourhoods[0].points.T.copy()[None])
    near = torch.from_numpy(cloud.neighbourhoods[0].neighbours.astype(np.int64)[None])
    found = torch.from_numpy(layer.neighbours.astype(np.int64)[None])
    plain = getattr(network.encoder, f"layer{number}")
    graph.use_ops(plain, graph.GraphOps(lambda *_: found, graph.graph_response, graph.max_over_neighbours))
    if number == 0:
        return F.relu(plain(points, near))[0].numpy()
    values = plain(points, torch.from_numpy(response.buffer[None, :, response.first_column :].copy()), near)
    if number == 4:  # the last layer has no normalisation and no ReLU
        return values[0].numpy()
    return F.relu(getattr(network.encoder, f"norm{number}")(values))[0].numpy()


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("encoder", ["hs", "gcn3d"])
@pytest.mark.parametrize("number", LAYERS)
def test_layer_equals_the_pytorch_layer(number: int, encoder: str, parts: int) -> None:
    network, cloud = make_network(replace(TINY, encoder=encoder), seed=number), make_cloud(parts)
    layer = run_layer(network, number, cloud)
    target = layer.columns.target
    got = target.buffer[:, target.first_column : target.first_column + TINY.widths[number]]
    np.testing.assert_allclose(got, expected_result(network, number, layer, cloud), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(target.squares, (got**2).sum(axis=1), rtol=1e-4)
    assert got.any() and (number == 4 or got.min() == 0.0), "the ReLU clips something, except in the last layer"
    assert not target.buffer[:, : target.first_column].any(), "columns before the target are not written"
    assert not target.buffer[:, target.first_column + TINY.widths[number] :].any(), "nor those behind it"


@pytest.mark.parametrize("number", LAYERS[1:])
def test_neighbours_are_searched_in_feature_space_in_the_hybrid_scope_encoder_only(number: int) -> None:
    cloud = make_cloud(2)
    near = cloud.neighbourhoods[0].neighbours
    plain = run_layer(make_network(replace(TINY, encoder="gcn3d")), number, cloud)
    assert plain.neighbours is near
    layer = run_layer(make_network(TINY), number, cloud)
    response = layer.columns.response
    features = response.buffer[:, response.first_column :].astype(np.float64)
    distances = np.linalg.norm(features[:, None] - features[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    expected = np.sort(distances, axis=1)[:, : near.shape[1]]
    np.testing.assert_allclose(np.take_along_axis(distances, layer.neighbours.astype(np.int64), 1), expected, atol=1e-4)
    assert (layer.neighbours != near).any()


@pytest.mark.parametrize("number", LAYERS[1:])
def test_int8_layer_stays_near_the_pytorch_layer(number: int) -> None:
    network, cloud = make_network(TINY, seed=number), make_cloud(1)
    layer = run_layer(network, number, cloud, Int8Gemm)
    target = layer.columns.target
    got = target.buffer[:, target.first_column : target.first_column + TINY.widths[number]]
    expected = expected_result(network, number, layer, cloud)
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert 0.0 < error < 0.05, error
