"""The compiled per-point loops equal the plain formulas, values, gradients and running statistics."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from clipose_ros.model import graph
from clipose_ros.model.cpu_training import point_ops
from clipose_ros.model.encoder import PointNorm


def gradients(function, inputs, seed=9):
    """The value of a function, and the gradients of a random projection of it."""
    inputs = [each.clone().requires_grad_() for each in inputs]
    out = function(*inputs)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(seed))
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), inputs)]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(2, 200), st.integers(1, 40), st.integers(0, 99))
def test_norm_relu_equals_batch_norm_and_relu(batch, points, channels, seed):
    torch.manual_seed(seed)
    features = 3.0 * torch.randn(batch, points, channels) + 5.0
    plain, compiled = nn.BatchNorm1d(channels), nn.BatchNorm1d(channels)
    with torch.no_grad():
        plain.weight.uniform_(0.5, 2.0)
        plain.bias.uniform_(-1.0, 1.0)
    compiled.load_state_dict(plain.state_dict())
    expected = gradients(lambda x: torch.relu(plain(x.flatten(0, 1)).reshape(x.shape)), [features])
    actual = gradients(lambda x: point_ops.norm_relu(compiled, x), [features])
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=5e-4, rtol=2e-3)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[name], value, atol=1e-4, rtol=1e-4)


def test_norm_relu_of_an_evaluated_norm_uses_its_running_statistics():
    norm = PointNorm(4).eval()
    norm.running_mean.fill_(2.0)
    features = torch.randn(2, 10, 4)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    torch.testing.assert_close(point_ops.norm_relu(norm, features), graph.norm_relu(norm, features))
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(4, 60), st.integers(1, 40), st.integers(0, 99))
def test_spread_sum_equals_the_formula(batch, points, channels, seed):
    torch.manual_seed(seed)
    sizes = (max(points // 4, 1), max(points // 16, 1))
    fine = torch.randn(batch, points, channels)
    coarse = [torch.randn(batch, size, channels) for size in sizes]
    nearest = [torch.randint(0, size, (batch, points)) for size in sizes]
    expected = gradients(lambda x, *c: graph.spread_sum(x, c, nearest), [fine, *coarse])
    actual = gradients(lambda x, *c: point_ops.spread_sum(x, c, nearest), [fine, *coarse])
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("missing", ["fine", "coarse"])
def test_spread_sum_of_one_level_is_that_level(missing):
    fine, coarse = torch.randn(1, 8, 3), torch.randn(1, 2, 3)
    nearest = torch.randint(0, 2, (1, 8))
    if missing == "coarse":
        torch.testing.assert_close(point_ops.spread_sum(fine, [], []), fine)
    else:
        torch.testing.assert_close(point_ops.spread_sum(None, [coarse], [nearest]), coarse[0, nearest[0]][None])
