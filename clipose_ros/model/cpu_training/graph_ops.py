"""The same neighbourhood operations as ``graph``, as compiled CPU loops with hand-written gradients.

The plain formulas move an array of points x neighbours x channels through memory several times. These loops never make
it: each (point, channel) keeps its best neighbour while it walks over them, and the gradient goes back through that
neighbour alone. They are compiled by numba at first use and cached on disk. Tests hold them equal to the plain
formulas.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clipose_ros.errors import ShapeError
from clipose_ros.model.cpu_training.graph_kernels import (
    max_backward,
    max_forward,
    response_backward,
    response_forward,
    select_nearest,
)
from clipose_ros.model.cpu_training.point_ops import in_float32, norm_relu, spread_sum
from clipose_ros.model.graph import GraphOps

CLOUDS = 8
"""Clouds whose inner products are held at a time: few calls for a frame's objects, little memory for a batch."""


def _numpy(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()


def _rows(features: Tensor) -> tuple[Any, int]:
    """All values of ``(B, N, C)`` as one flat array and the distance between rows in it; a slice is not copied."""
    batch, points, channels = features.shape
    cloud, row, lane = features.stride()
    if lane != 1 or (batch > 1 and cloud != points * row):
        features, row = features.contiguous(), channels
    return features.detach().as_strided(((batch * points - 1) * row + channels,), (1,)).numpy(), row


class _GraphResponse(torch.autograd.Function):
    """``graph_response`` with the winning neighbours saved for the gradient."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, directions: Tensor, supports: Tensor, features: Tensor | None, neighbours: Tensor) -> Tensor:
        batch, points, _ = neighbours.shape
        _, count, channels = supports.shape
        out = directions.new_empty(batch, points, channels)
        winner = torch.empty(batch, points, count * channels, dtype=torch.uint8)
        flat, stride = (np.empty(0, out.numpy().dtype), 0) if features is None else _rows(features)
        response_forward(
            _numpy(directions), _numpy(supports), flat, stride, _numpy(neighbours), out.numpy(), winner.numpy()
        )
        ctx.save_for_backward(directions, supports, features, neighbours, winner)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor | None, None]:
        directions, supports, features, neighbours, winner = ctx.saved_tensors
        grad_supports = supports.new_empty(len(winner), 3, winner.shape[2])
        grad_features = supports.new_zeros(0 if features is None else features.shape)
        flat, stride = (grad_features.numpy(), 0) if features is None else _rows(features)
        response_backward(
            _numpy(directions), _numpy(supports), flat, stride, _numpy(neighbours), _numpy(winner), _numpy(grad),
            grad_supports.numpy(), grad_features.view(-1).numpy(),
        )  # fmt: skip
        return None, grad_supports.sum(0).view(supports.shape), None if features is None else grad_features, None


class _MaxOverNeighbours(torch.autograd.Function):
    """``max_over_neighbours`` with the winning neighbours saved for the gradient."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, values: Tensor, neighbours: Tensor) -> Tensor:
        out = values.new_empty(*neighbours.shape[:2], values.shape[2])
        winner = torch.empty(out.shape, dtype=torch.uint8)
        max_forward(_numpy(values), _numpy(neighbours), out.numpy(), winner.numpy())
        ctx.save_for_backward(neighbours, winner)
        ctx.values_shape = values.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        neighbours, winner = ctx.saved_tensors
        grad_values = grad.new_zeros(ctx.values_shape)
        max_backward(_numpy(grad), _numpy(neighbours), _numpy(winner), grad_values.numpy())
        return grad_values, None


def nearest_neighbours(features: Tensor, count: int) -> Tensor:
    """As ``graph.nearest_neighbours``; on the CPU."""
    if not 0 < count < features.shape[1]:
        raise ShapeError(f"count must lie between 1 and {features.shape[1] - 1}, one less than the points, got {count}")
    if torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return nearest_neighbours(features.float(), count)
    with torch.no_grad():
        indices = np.empty((*features.shape[:2], count), np.int64)
        for start in range(0, len(features), CLOUDS):
            some = features[start : start + CLOUDS]
            products = torch.bmm(some, some.transpose(1, 2))
            select_nearest(_numpy(products), _numpy(some.square().sum(-1)), count, indices[start : start + CLOUDS])
        return torch.from_numpy(indices)


def graph_response(directions: Tensor, supports: Tensor, features: Tensor | None, neighbours: Tensor) -> Tensor:
    """As ``graph.graph_response``; on the CPU, at most 255 neighbours."""
    return _GraphResponse.apply(directions, supports, features, neighbours)


def max_over_neighbours(values: Tensor, neighbours: Tensor) -> Tensor:
    """As ``graph.max_over_neighbours``; on the CPU, at most 255 neighbours."""
    return _MaxOverNeighbours.apply(values, neighbours)


CPU_OPS = GraphOps(nearest_neighbours, graph_response, max_over_neighbours, spread_sum, norm_relu)
"""The fused operations: float32 or float64 tensors on the CPU; under autocast bfloat16 too, computed in float32."""
