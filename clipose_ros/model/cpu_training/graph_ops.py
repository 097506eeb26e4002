"""Neighbourhood operations of ``model.graph`` as compiled CPU loops with hand-written gradients, for training.

The PyTorch formulas move an array of points x neighbours x channels through memory several times. These loops never
make it, see ``graph_kernels``. numba compiles them at first use and caches them on disk. Tests compare them with the
PyTorch formulas.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clipose_ros.errors import ShapeError
from clipose_ros.model.cpu_training.graph_kernels import (
    ResponseInputs,
    max_backward,
    max_forward,
    response_backward,
    response_forward,
    select_nearest,
)
from clipose_ros.model.cpu_training.point_ops import in_float32, norm_relu, sum_levels
from clipose_ros.model.graph import GraphOps

CLOUDS = 8
"""Clouds whose inner products are computed at a time: few calls for a frame's objects, little memory for a batch."""


def _numpy(tensor: Tensor) -> Any:
    """Return the values of a tensor as a contiguous array, without a copy if possible."""
    return tensor.detach().contiguous().numpy()


def _rows(features: Tensor) -> tuple[Any, int]:
    """Return ``(B, N, C)`` as one flat array and the distance between its rows; a slice is not copied."""
    batch, points, channels = features.shape
    cloud, row, lane = features.stride()
    if lane != 1 or (batch > 1 and cloud != points * row):
        features, row = features.contiguous(), channels
    return features.detach().as_strided(((batch * points - 1) * row + channels,), (1,)).numpy(), row


class _GraphResponse(torch.autograd.Function):
    """Graph response that saves the winning neighbours for its gradient."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, directions: Tensor, supports: Tensor, features: Tensor | None, neighbours: Tensor) -> Tensor:
        batch, points, _ = neighbours.shape
        _, count, channels = supports.shape
        out = directions.new_empty(batch, points, channels)
        winner = torch.empty(batch, points, count * channels, dtype=torch.uint8)
        flat, stride = (np.empty(0, out.numpy().dtype), 0) if features is None else _rows(features)
        inputs = ResponseInputs(_numpy(directions), _numpy(supports), flat, stride, _numpy(neighbours))
        response_forward(inputs, out.numpy(), winner.numpy())
        ctx.save_for_backward(directions, supports, features, neighbours, winner)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor | None, None]:
        directions, supports, features, neighbours, winner = ctx.saved_tensors
        grad_supports = supports.new_empty(len(winner), 3, winner.shape[2])
        grad_features = supports.new_zeros(0 if features is None else features.shape)
        flat, stride = (grad_features.numpy(), 0) if features is None else _rows(features)
        inputs = ResponseInputs(_numpy(directions), _numpy(supports), flat, stride, _numpy(neighbours))
        response_backward(inputs, _numpy(winner), _numpy(grad), grad_supports.numpy(), grad_features.view(-1).numpy())
        return None, grad_supports.sum(0).view(supports.shape), None if features is None else grad_features, None


class _MaxOverNeighbours(torch.autograd.Function):
    """Maximum over neighbours that saves the winning neighbours for its gradient."""

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
    """Find the nearest neighbours as ``graph.nearest_neighbours`` does, on the CPU.

    Raises:
        ShapeError: There are not more points than neighbours.
    """
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
    """Compute ``graph.graph_response`` on the CPU, for at most 255 neighbours."""
    return _GraphResponse.apply(directions, supports, features, neighbours)


def max_over_neighbours(values: Tensor, neighbours: Tensor) -> Tensor:
    """Compute ``graph.max_over_neighbours`` on the CPU, for at most 255 neighbours."""
    return _MaxOverNeighbours.apply(values, neighbours)


CPU_OPS = GraphOps(nearest_neighbours, graph_response, max_over_neighbours, sum_levels, norm_relu)
"""Compiled operations for float32 or float64 tensors on the CPU; bfloat16 under autocast is computed in float32."""
