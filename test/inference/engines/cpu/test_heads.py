"""The heads of the CPU engine compute the PyTorch heads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cpu_networks import TINY, compute_head_values, make_network, run_stages

from clipose_ros.inference.engines.cpu.buffers import CloudBuffers
from clipose_ros.inference.engines.cpu.gemm import Float32Gemm, Int8Gemm
from clipose_ros.inference.engines.cpu.heads import BLOCK, HeadsPass
from clipose_ros.inference.engines.cpu.kernel_arguments import ColumnView
from clipose_ros.inference.engines.cpu.weights import head_weights
from clipose_ros.model.encoder import Encoding, Level

POINTS = 320
CATEGORY = 4


@pytest.fixture(params=[1, 3], ids=["1-part", "3-parts"])
def parts(request: pytest.FixtureRequest) -> int:
    return request.param


def run_heads(network, parts: int, gemm=Float32Gemm):
    """Compute the heads on random features of the three levels; return their values and those of PyTorch."""
    rng = np.random.default_rng(3)
    w0, w1, w2, w3, w4 = network.architecture.widths
    cloud = CloudBuffers(POINTS, 8, min(network.architecture.head_points or POINTS, POINTS), parts)
    centred = rng.normal(size=(POINTS, 3)).astype(np.float32)
    cloud.load(centred, CATEGORY)
    views = []
    for count, width, first in zip(cloud.counts, (w0 + w1, w2 + w3, w4), (5, 0, 2), strict=True):
        buffer = rng.normal(size=(count, first + width)).astype(np.float32)
        views.append(ColumnView(buffer, first, np.zeros(count, np.float32)))
    heads = HeadsPass(cloud, head_weights(network, gemm), tuple(views))
    run_stages([cloud.find_neighbours, *heads.stages], parts)
    # the plain heads read the upper levels' features at every point, not only at those of the heads
    points = centred.astype(np.float64)
    nearest = [
        torch.from_numpy(np.linalg.norm(points[:, None] - points[None, :count], axis=2).argmin(axis=1)[None])
        for count in cloud.counts[1:]
    ]
    fine, middle, coarse = (torch.from_numpy(view.buffer[None, :, view.first_column :].copy()) for view in views)
    encoding = Encoding((Level(fine, None), Level(middle, nearest[0]), Level(coarse, nearest[1])))
    return heads, compute_head_values(network, encoding, centred, CATEGORY)


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("head_points", [0, 1, BLOCK, BLOCK + 1])
def test_heads_equal_the_pytorch_heads(one_hot: bool, head_points: int, parts: int) -> None:
    network = make_network(replace(TINY, one_hot=one_hot, head_points=head_points))
    heads, expected = run_heads(network, parts)
    np.testing.assert_allclose(heads.values, expected, rtol=1e-4, atol=1e-4)
    assert not heads.values[:2, 4:].any(), "the axis heads have four values"


def test_int8_heads_stay_near_the_pytorch_heads(parts: int) -> None:
    heads, expected = run_heads(make_network(TINY), parts, Int8Gemm)
    error = np.abs(heads.values - expected).max() / np.abs(expected).max()
    assert 0.0 < error < 0.05, error


def test_a_second_run_forgets_the_maxima_of_the_first(parts: int) -> None:
    heads, expected = run_heads(make_network(TINY), parts)
    run_stages(heads.stages, parts)
    np.testing.assert_allclose(heads.values, expected, rtol=1e-4, atol=1e-4)
