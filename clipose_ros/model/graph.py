"""Neighbourhoods and graph convolutions over point clouds.

Tensors are ``(B, N, C)``: batch, points, channels. Indices into points are int64 ``(B, N, k)``. Everything is
deterministic: equal input gives equal output on one device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def distance_order(a: Tensor, b: Tensor) -> Tensor:
    """Compute values that order the points of ``b`` by their distance from each point of ``a``.

    The values are squared distances less a constant per row, which costs one pass over memory. Under autocast they are
    computed in float32: in a lower precision, points a millimetre apart would coincide.

    Args:
        a: ``(B, N, C)``.
        b: ``(B, M, C)``.

    Returns:
        ``(B, N, M)``.
    """
    if torch.is_autocast_enabled(a.device.type):
        with torch.autocast(a.device.type, enabled=False):
            return distance_order(a.float(), b.float())
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a.b; |a|^2 is the constant of a row and does not change the order.
    return torch.baddbmm(b.square().sum(-1).unsqueeze(1), a, b.transpose(1, 2), alpha=-2.0)


def nearest_neighbours(features: Tensor, count: int) -> Tensor:
    """Find each point's nearest other points.

    Args:
        features: ``(B, N, C)``: coordinates, or features for a receptive field in feature space.
        count: Number of neighbours, at most ``N - 1``.

    Returns:
        ``(B, N, count)`` int64, nearest first; a point is never its own neighbour.
    """
    # Indices have no gradient, so no graph is recorded for the (N, N) distances.
    with torch.no_grad():
        own = torch.eye(features.shape[1], dtype=torch.bool, device=features.device)
        distances = distance_order(features, features).masked_fill(own, float("inf"))
        return distances.topk(count, dim=-1, largest=False).indices


def nearest_point(points: Tensor, candidates: Tensor) -> Tensor:
    """Find the candidate nearest to each point: ``(B, N, 3)`` and ``(B, M, 3)`` to ``(B, N)`` int64."""
    with torch.no_grad():
        return distance_order(points, candidates).argmin(dim=-1)


def gather_points(values: Tensor, indices: Tensor) -> Tensor:
    """Gather points: values ``(B, M, C)`` at indices ``(B, ...)`` give ``(B, ..., C)``."""
    # One index_select over the rows of all clouds; torch.gather would need an index for every channel.
    batch, count, channels = values.shape
    starts = torch.arange(batch, device=values.device) * count
    rows = indices.reshape(batch, -1) + starts.unsqueeze(1)
    return values.reshape(-1, channels).index_select(0, rows.flatten()).reshape(*indices.shape, channels)


def neighbour_directions(points: Tensor, neighbours: Tensor) -> Tensor:
    """Return unit vectors from each point to its neighbours, ``(B, N, k, 3)``; zero where two points coincide."""
    return F.normalize(gather_points(points, neighbours) - points.unsqueeze(2), dim=-1)


def max_over_neighbours(values: Tensor, neighbours: Tensor) -> Tensor:
    """Return each channel's maximum over the neighbours: ``(B, M, C)`` and ``(B, N, k)`` to ``(B, N, C)``."""
    return gather_points(values, neighbours).amax(dim=2)


def graph_response(directions: Tensor, supports: Tensor, features: Tensor | None, neighbours: Tensor) -> Tensor:
    """Compute the 3D graph convolution without its centre term.

    For point i, kernel c and support s: the maximum over neighbours j of ``relu(direction(i, j) . support(s, c)) *
    features(j, s, c)``, averaged over the supports. The dot product is spelled out so that a compiler can fuse the
    whole formula into one loop.

    Args:
        directions: ``(B, N, k, 3)`` unit vectors.
        supports: ``(3, S, C)`` unit vectors along the first axis.
        features: ``(B, N, S * C)``, or None for the surface layer, where every feature is 1.
        neighbours: ``(B, N, k)`` int64.

    Returns:
        ``(B, N, C)``.

    References:
        Lin et al., 3D-GCN, CVPR 2020.
    """
    _, count, channels = supports.shape
    flat = supports.reshape(3, count * channels)
    x, y, z = directions.unsqueeze(-1).unbind(dim=3)
    response = F.relu(x * flat[0] + y * flat[1] + z * flat[2])
    # relu(response) * features: a neighbour behind the support plane contributes zero, whatever its features.
    if features is not None:
        response = response * gather_points(features, neighbours)
    return response.amax(dim=2).unflatten(-1, (count, channels)).mean(dim=2)


def sum_levels(fine: Tensor | None, coarse: Sequence[Tensor], nearest: Sequence[Tensor]) -> Tensor:
    """Sum the values of several levels at the finest level's points.

    Args:
        fine: ``(B, N, C)`` values at the points themselves, or None.
        coarse: ``(B, M, C)`` each, values at fewer points; at least one if ``fine`` is None.
        nearest: ``(B, N)`` int64 each, the coarse point whose value each point takes.

    Returns:
        ``(B, N, C)``.
    """
    terms = [] if fine is None else [fine]
    terms += [gather_points(values, indices) for values, indices in zip(coarse, nearest, strict=True)]
    return sum(terms[1:], start=terms[0])


def norm_relu(norm: nn.Module, features: Tensor) -> Tensor:
    """Apply a point norm and ReLU: ``(B, N, C)`` to the same."""
    return F.relu(norm(features))


@dataclass(frozen=True)
class GraphOps:
    """Operations on point clouds that can be exchanged for faster implementations on a device."""

    nearest_neighbours: Callable[[Tensor, int], Tensor]
    graph_response: Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor]
    max_over_neighbours: Callable[[Tensor, Tensor], Tensor]
    sum_levels: Callable[[Tensor | None, Sequence[Tensor], Sequence[Tensor]], Tensor] = sum_levels
    norm_relu: Callable[[nn.Module, Tensor], Tensor] = norm_relu


PYTORCH_OPS = GraphOps(nearest_neighbours, graph_response, max_over_neighbours)
"""PyTorch formulas above, for any device and precision."""


class GraphModule(nn.Module):
    """Module that computes neighbourhoods by exchangeable operations.

    Args:
        ops: Operations to compute with.
    """

    def __init__(self, ops: GraphOps) -> None:
        super().__init__()
        self.ops = ops


def use_ops(module: nn.Module, ops: GraphOps) -> None:
    """Make a module and all modules inside it compute by ``ops``. Weights stay as they are."""
    for part in module.modules():
        if isinstance(part, GraphModule):
            part.ops = ops


class SurfaceConv(GraphModule):
    """Graph convolution of bare coordinates, which depends only on the directions to the neighbours."""

    def __init__(self, out_channels: int, supports: int, ops: GraphOps) -> None:
        super().__init__(ops)
        self.supports = nn.Parameter(torch.empty(3, supports, out_channels))
        nn.init.uniform_(self.supports, -1.0, 1.0)

    def forward(self, points: Tensor, neighbours: Tensor) -> Tensor:
        """Map points ``(B, N, 3)`` and neighbours ``(B, N, k)`` to ``(B, N, C)``."""
        directions = neighbour_directions(points, neighbours)
        return self.ops.graph_response(directions, F.normalize(self.supports, dim=0), None, neighbours)


class GraphConv(GraphModule):
    """Graph convolution of features, with its centre term."""

    def __init__(self, in_channels: int, out_channels: int, supports: int, ops: GraphOps) -> None:
        super().__init__(ops)
        self.supports = nn.Parameter(torch.empty(3, supports, out_channels))
        nn.init.uniform_(self.supports, -1.0, 1.0)
        self.project = nn.Linear(in_channels, (supports + 1) * out_channels)

    def forward(self, points: Tensor, features: Tensor, neighbours: Tensor) -> Tensor:
        """Map points ``(B, N, 3)``, features ``(B, N, C)`` and neighbours ``(B, N, k)`` to ``(B, N, C')``."""
        out_channels = self.supports.shape[-1]
        projected = self.project(features)
        centre, around = projected.split([out_channels, projected.shape[-1] - out_channels], dim=-1)
        # Only directions enter, not distances: the layer does not depend on the scale of the cloud.
        directions = neighbour_directions(points, neighbours)
        return centre + self.ops.graph_response(directions, F.normalize(self.supports, dim=0), around, neighbours)
