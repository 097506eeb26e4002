"""Compiled CPU operations on neighbourhoods compared with the PyTorch formulas, values and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clipose_ros.errors import ShapeError
from clipose_ros.model.cpu_training.graph_ops import CPU_OPS
from clipose_ros.model.graph import PYTORCH_OPS, GraphOps, neighbour_directions

shapes = st.tuples(
    st.integers(1, 3),
    st.integers(9, 70),
    st.integers(1, 8),
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(0, 2**31),
)  # batch, points, neighbours, supports, channels, seed


def response_and_gradients(
    ops: GraphOps, points: Tensor, neighbours: Tensor, supports: Tensor, features: Tensor | None, weight: Tensor
) -> list[Tensor]:
    inputs = [t.clone().requires_grad_() for t in (supports, features) if t is not None]
    out = ops.graph_response(neighbour_directions(points, neighbours), inputs[0], *(inputs[1:] or [None]), neighbours)
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), inputs)]


@pytest.mark.parametrize("surface", [True, False])
@given(shape=shapes)
@settings(max_examples=25, deadline=None)
def test_graph_response_equals_pytorch_formula(surface: bool, shape: tuple[int, int, int, int, int, int]) -> None:
    batch, points_count, near, supports_count, channels, seed = shape
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(batch, points_count, 3, generator=generator)
    neighbours = PYTORCH_OPS.nearest_neighbours(points, near)
    supports = torch.randn(3, supports_count, channels, generator=generator)
    features = None if surface else torch.randn(batch, points_count, supports_count * channels, generator=generator)
    weight = torch.randn(batch, points_count, channels, generator=generator)
    expected = response_and_gradients(PYTORCH_OPS, points, neighbours, supports, features, weight)
    actual = response_and_gradients(CPU_OPS, points, neighbours, supports, features, weight)
    for one, other in zip(expected, actual, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-4)


@given(shape=shapes)
@settings(max_examples=25, deadline=None)
def test_max_over_neighbours_equals_pytorch_formula(shape: tuple[int, int, int, int, int, int]) -> None:
    batch, points_count, near, _, channels, seed = shape
    generator = torch.Generator().manual_seed(seed)
    neighbours = PYTORCH_OPS.nearest_neighbours(torch.randn(batch, points_count, 3, generator=generator), near)
    weight = torch.randn(batch, points_count, channels, generator=generator)
    values = torch.randn(batch, points_count, channels, generator=generator).requires_grad_()
    outs = [ops.max_over_neighbours(values, neighbours) for ops in (PYTORCH_OPS, CPU_OPS)]
    gradients = [torch.autograd.grad((out * weight).sum(), values)[0] for out in outs]
    assert torch.equal(outs[0], outs[1])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-5)


@given(shape=shapes)
@settings(max_examples=25, deadline=None)
def test_nearest_neighbours_are_nearest_and_exclude_the_point(
    shape: tuple[int, int, int, int, int, int],
) -> None:
    batch, points_count, near, _, channels, seed = shape
    features = torch.randn(batch, points_count, channels, generator=torch.Generator().manual_seed(seed))
    exact = torch.cdist(features.double(), features.double(), compute_mode="donot_use_mm_for_euclid_dist")
    smallest = exact.topk(near + 1, largest=False).values[..., 1:]
    for ops in (PYTORCH_OPS, CPU_OPS):
        indices = ops.nearest_neighbours(features, near)
        assert not (indices == torch.arange(points_count).view(1, -1, 1)).any()
        assert (indices.sort().values.diff() > 0).all()
        torch.testing.assert_close(exact.gather(2, indices), smallest, atol=2e-3, rtol=1e-3)


def test_duplicate_point_is_nearest_neighbour() -> None:
    points = torch.randn(1, 20, 3).repeat(1, 2, 1)
    for ops in (PYTORCH_OPS, CPU_OPS):
        nearest = ops.nearest_neighbours(points, 1)[0, :, 0]
        assert torch.equal(nearest, (torch.arange(40) + 20) % 40)


def double(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("ops", [PYTORCH_OPS, CPU_OPS])
@given(
    counts=st.tuples(st.integers(1, 2), st.integers(2, 6), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2**31)),
    near=st.sampled_from(["one", "some", "all"]),
    cloud=st.sampled_from(["apart", "doubled", "one place"]),
    surface=st.booleans(),
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_graph_response_gradient_equals_finite_differences(
    ops: GraphOps, counts: tuple[int, int, int, int, int], near: str, cloud: str, surface: bool
) -> None:
    """Also where neighbours tie: twins move together, so that the maximum has a gradient there."""
    batch, half, supports_count, channels, seed = counts
    points = double(batch, half, 3, seed=seed) * (0.0 if cloud == "one place" else 1.0)
    copies = 2 if cloud == "doubled" else 1
    points = points.repeat(1, copies, 1)
    others = points.shape[1] - 1
    neighbours = PYTORCH_OPS.nearest_neighbours(points, {"one": 1, "some": (others + 1) // 2, "all": others}[near])
    directions = neighbour_directions(points, neighbours)
    supports = double(3, supports_count, channels, seed=seed + 1).requires_grad_()
    features = double(batch, half, supports_count * channels, seed=seed + 2).requires_grad_()
    if cloud == "doubled" and near != "all":
        neighbours, directions = neighbours[:, :, :1], directions[:, :, :1]  # a twin alone may be cut off else
    assert torch.autograd.gradcheck(
        lambda s, f: ops.graph_response(directions, s, None if surface else f.repeat(1, copies, 1), neighbours),
        (supports, features),
        fast_mode=False,
    )


@given(
    counts=st.tuples(st.integers(1, 2), st.integers(2, 9), st.integers(1, 4), st.integers(0, 2**31)),
    twins=st.booleans(),
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_max_over_neighbours_gradient_equals_finite_differences(counts: tuple[int, int, int, int], twins: bool) -> None:
    batch, points_count, channels, seed = counts
    copies = 2 if twins else 1
    points = double(batch, points_count, 3, seed=seed).repeat(1, copies, 1)
    neighbours = PYTORCH_OPS.nearest_neighbours(points, points.shape[1] - 1)
    values = double(batch, points_count, channels, seed=seed + 1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: CPU_OPS.max_over_neighbours(v.repeat(1, copies, 1), neighbours), (values,)
    )


def test_graph_response_accepts_non_contiguous_features() -> None:
    points = double(2, 12, 3, seed=0)
    neighbours = PYTORCH_OPS.nearest_neighbours(points, 4)
    directions, supports = neighbour_directions(points, neighbours), double(3, 2, 3, seed=1)
    wide = double(2, 12, 10, seed=2)
    for features in (wide[..., 4:], wide[..., 2:8], wide.transpose(1, 2).contiguous().transpose(1, 2)[..., :6]):
        expected = PYTORCH_OPS.graph_response(directions, supports, features, neighbours)
        torch.testing.assert_close(CPU_OPS.graph_response(directions, supports, features, neighbours), expected)


@pytest.mark.parametrize("count", [0, 5, 9])
def test_too_many_neighbours_are_rejected(count: int) -> None:
    with pytest.raises(ShapeError, match=f"got {count}"):
        CPU_OPS.nearest_neighbours(torch.randn(1, 5, 3), count)


@pytest.mark.parametrize("surface", [True, False])
def test_graph_ops_compute_in_float32_under_autocast(surface: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, 32, 3, generator=generator)
    supports = torch.randn(3, 2, 5, generator=generator)
    features = torch.randn(2, 32, 10, generator=generator).bfloat16()
    weight = torch.randn(2, 32, 5, generator=generator)
    neighbours = CPU_OPS.nearest_neighbours(features.float(), 4)
    given_features = None if surface else features.float()
    expected = response_and_gradients(CPU_OPS, points, neighbours, supports, given_features, weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(CPU_OPS.nearest_neighbours(features, 4), neighbours)
        given_features = None if surface else features
        actual = response_and_gradients(CPU_OPS, points, neighbours, supports, given_features, weight)
        pooled = CPU_OPS.max_over_neighbours(features, neighbours)
    assert torch.equal(pooled, CPU_OPS.max_over_neighbours(features.float(), neighbours))
    assert actual[0].dtype == torch.float32
    for one, other in zip(expected, actual, strict=True):
        torch.testing.assert_close(one.to(other.dtype), other)
