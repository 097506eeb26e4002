"""The fused loops equal the plain formulas, values and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clipose_ros.errors import ShapeError
from clipose_ros.model.fused import FUSED
from clipose_ros.model.graph import REFERENCE, GraphOps, gather_points, neighbour_directions

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
    leaves = [t.clone().requires_grad_() for t in (supports, features) if t is not None]
    out = ops.graph_response(neighbour_directions(points, neighbours), leaves[0], *(leaves[1:] or [None]), neighbours)
    return [out.detach(), *torch.autograd.grad((out * weight).sum(), leaves)]


@pytest.mark.parametrize("surface", [True, False])
@given(shape=shapes)
@settings(max_examples=25, deadline=None)
def test_graph_response_equals_the_formula(surface: bool, shape: tuple[int, int, int, int, int, int]) -> None:
    batch, points_count, near, supports_count, channels, seed = shape
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(batch, points_count, 3, generator=generator)
    neighbours = REFERENCE.nearest_neighbours(points, near)
    supports = torch.randn(3, supports_count, channels, generator=generator)
    features = None if surface else torch.randn(batch, points_count, supports_count * channels, generator=generator)
    weight = torch.randn(batch, points_count, channels, generator=generator)
    expected = response_and_gradients(REFERENCE, points, neighbours, supports, features, weight)
    actual = response_and_gradients(FUSED, points, neighbours, supports, features, weight)
    for one, other in zip(expected, actual, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-4)


@given(shape=shapes)
@settings(max_examples=25, deadline=None)
def test_max_over_neighbours_equals_the_formula(shape: tuple[int, int, int, int, int, int]) -> None:
    batch, points_count, near, _, channels, seed = shape
    generator = torch.Generator().manual_seed(seed)
    neighbours = REFERENCE.nearest_neighbours(torch.randn(batch, points_count, 3, generator=generator), near)
    weight = torch.randn(batch, points_count, channels, generator=generator)
    values = torch.randn(batch, points_count, channels, generator=generator).requires_grad_()
    outs = [ops.max_over_neighbours(values, neighbours) for ops in (REFERENCE, FUSED)]
    gradients = [torch.autograd.grad((out * weight).sum(), values)[0] for out in outs]
    assert torch.equal(outs[0], outs[1])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-5)


@given(shape=shapes)
@settings(max_examples=25, deadline=None)
def test_nearest_neighbours_are_the_nearest_and_never_the_point_itself(
    shape: tuple[int, int, int, int, int, int],
) -> None:
    batch, points_count, near, _, channels, seed = shape
    features = torch.randn(batch, points_count, channels, generator=torch.Generator().manual_seed(seed))
    exact = torch.cdist(features.double(), features.double(), compute_mode="donot_use_mm_for_euclid_dist")
    smallest = exact.topk(near + 1, largest=False).values[..., 1:]
    for ops in (REFERENCE, FUSED):
        indices = ops.nearest_neighbours(features, near)
        assert not (indices == torch.arange(points_count).view(1, -1, 1)).any()
        assert (indices.sort().values.diff() > 0).all()
        torch.testing.assert_close(exact.gather(2, indices), smallest, atol=2e-3, rtol=1e-3)


def test_a_point_that_is_doubled_is_its_double_s_neighbour() -> None:
    points = torch.randn(1, 20, 3).repeat(1, 2, 1)
    for ops in (REFERENCE, FUSED):
        nearest = ops.nearest_neighbours(points, 1)[0, :, 0]
        assert torch.equal(nearest, (torch.arange(40) + 20) % 40)


def test_gradients_by_finite_differences_of_the_formula() -> None:
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(1, 12, 3, dtype=torch.float64, generator=generator)
    neighbours = REFERENCE.nearest_neighbours(points, 4)
    directions = neighbour_directions(points, neighbours)
    supports = torch.randn(3, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    features = torch.randn(1, 12, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda s, f: REFERENCE.graph_response(directions, s, f, neighbours), (supports, features)
    )
    assert torch.autograd.gradcheck(lambda v: gather_points(v, neighbours), (features,))


@pytest.mark.parametrize("count", [0, 5, 9])
def test_more_neighbours_than_points_are_refused(count: int) -> None:
    with pytest.raises(ShapeError, match=f"got {count}"):
        FUSED.nearest_neighbours(torch.randn(1, 5, 3), count)
