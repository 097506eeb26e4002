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
from numba import njit, prange
from torch import Tensor
from torch.autograd.function import once_differentiable

from clipose_ros.errors import ShapeError
from clipose_ros.model.graph import GraphOps, distance_order

BLOCK = 16
"""Points handled by a thread between two looks at the schedule."""

CLOUDS = 8
"""Clouds whose distances are held at a time: few calls for a frame's objects, little memory for a training batch."""

_FAST = {"contract", "reassoc", "nsz"}
"""Freedoms of the compiler that let it vectorise; infinities and NaN keep their meaning."""


@njit(parallel=True, fastmath=_FAST, cache=True)
def _select_nearest(distances: Any, count: int, out: Any) -> None:
    """Column indices of the ``count`` smallest values of each row but its diagonal, ascending, by insertion."""
    batch, rows, columns = distances.shape
    for flat in prange(batch * rows):
        b, i = flat // rows, flat % rows
        row = distances[b, i]
        best = np.empty(count, np.float32)
        filled = 0
        for j in range(columns):
            if j == i or (filled == count and row[j] >= best[count - 1]):
                continue
            place = filled if filled < count else count - 1
            while place > 0 and best[place - 1] > row[j]:
                best[place] = best[place - 1]
                out[b, i, place] = out[b, i, place - 1]
                place -= 1
            best[place] = row[j]
            out[b, i, place] = j
            if filled < count:
                filled += 1


@njit(parallel=True, fastmath=_FAST, cache=True)
def _response_forward(directions: Any, supports: Any, features: Any, neighbours: Any, out: Any, winner: Any) -> None:
    batch, points, near = neighbours.shape
    _, count, channels = supports.shape
    width = count * channels
    sx, sy, sz = supports[0].reshape(width), supports[1].reshape(width), supports[2].reshape(width)
    surface = features.shape[0] == 0
    blocks = (points + BLOCK - 1) // BLOCK
    for flat in prange(batch * blocks):
        b, start = flat // blocks, (flat % blocks) * BLOCK
        best, arg = np.empty(width, np.float32), np.empty(width, np.int32)
        for i in range(start, min(start + BLOCK, points)):
            best[:] = -np.inf
            arg[:] = 0
            for j in range(near):
                x, y, z = directions[b, i, j, 0], directions[b, i, j, 1], directions[b, i, j, 2]
                if surface:
                    for m in range(width):
                        value = max(x * sx[m] + y * sy[m] + z * sz[m], np.float32(0.0))
                        better = value > best[m]
                        best[m] = value if better else best[m]
                        arg[m] = j if better else arg[m]
                else:
                    feature = features[b, neighbours[b, i, j]]
                    for m in range(width):
                        value = max(x * sx[m] + y * sy[m] + z * sz[m], np.float32(0.0)) * feature[m]
                        better = value > best[m]
                        best[m] = value if better else best[m]
                        arg[m] = j if better else arg[m]
            for c in range(channels):
                total = np.float32(0.0)
                for s in range(count):
                    total += best[s * channels + c]
                out[b, i, c] = total / count
            for m in range(width):
                winner[b, i, m] = arg[m]


@njit(parallel=True, fastmath=_FAST, cache=True)
def _response_backward(
    directions: Any,
    supports: Any,
    features: Any,
    neighbours: Any,
    winner: Any,
    grad: Any,
    grad_supports: Any,
    grad_features: Any,
) -> None:
    batch, points, _ = neighbours.shape
    _, count, channels = supports.shape
    surface = features.shape[0] == 0
    for flat in prange(batch * count):  # a support of a cloud belongs to one thread: no two write to one place
        b, s = flat // count, flat % count
        for i in range(points):
            for c in range(channels):
                m = s * channels + c
                j = winner[b, i, m]
                x, y, z = directions[b, i, j, 0], directions[b, i, j, 1], directions[b, i, j, 2]
                dot = x * supports[0, s, c] + y * supports[1, s, c] + z * supports[2, s, c]
                if dot <= 0.0:
                    continue
                g = grad[b, i, c] / count
                factor = g
                if not surface:
                    at = neighbours[b, i, j]
                    factor = g * features[b, at, m]
                    grad_features[b, at, m] += g * dot
                grad_supports[b, 0, m] += factor * x
                grad_supports[b, 1, m] += factor * y
                grad_supports[b, 2, m] += factor * z


@njit(parallel=True, cache=True)
def _max_forward(values: Any, neighbours: Any, out: Any, winner: Any) -> None:
    batch, points, near = neighbours.shape
    channels = values.shape[2]
    for flat in prange(batch * points):
        b, i = flat // points, flat % points
        first = neighbours[b, i, 0]
        for c in range(channels):
            out[b, i, c] = values[b, first, c]
            winner[b, i, c] = 0
        for j in range(1, near):
            row = values[b, neighbours[b, i, j]]
            for c in range(channels):
                better = row[c] > out[b, i, c]
                out[b, i, c] = row[c] if better else out[b, i, c]
                winner[b, i, c] = j if better else winner[b, i, c]


@njit(parallel=True, cache=True)
def _max_backward(grad: Any, neighbours: Any, winner: Any, grad_values: Any) -> None:
    batch, points, channels = grad.shape
    for b in prange(batch):
        for i in range(points):
            for c in range(channels):
                grad_values[b, neighbours[b, i, winner[b, i, c]], c] += grad[b, i, c]


def _numpy(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()


class _GraphResponse(torch.autograd.Function):
    """``graph_response`` with the winning neighbours saved for the gradient."""

    @staticmethod
    def forward(ctx: Any, directions: Tensor, supports: Tensor, features: Tensor, neighbours: Tensor) -> Tensor:
        batch, points, _ = neighbours.shape
        _, count, channels = supports.shape
        out = torch.empty(batch, points, channels)
        winner = torch.empty(batch, points, count * channels, dtype=torch.uint8)
        _response_forward(
            _numpy(directions), _numpy(supports), _numpy(features), _numpy(neighbours), out.numpy(), winner.numpy()
        )
        ctx.save_for_backward(directions, supports, features, neighbours, winner)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor | None, None]:
        directions, supports, features, neighbours, winner = ctx.saved_tensors
        grad_supports = torch.zeros(neighbours.shape[0], 3, supports.shape[1] * supports.shape[2])
        grad_features = torch.zeros(features.shape)
        _response_backward(
            _numpy(directions), _numpy(supports), _numpy(features), _numpy(neighbours), _numpy(winner), _numpy(grad),
            grad_supports.numpy(), grad_features.numpy(),
        )  # fmt: skip
        return None, grad_supports.sum(0).reshape(supports.shape), grad_features if features.numel() else None, None


class _MaxOverNeighbours(torch.autograd.Function):
    """``max_over_neighbours`` with the winning neighbours saved for the gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, neighbours: Tensor) -> Tensor:
        out = torch.empty(*neighbours.shape[:2], values.shape[2])
        winner = torch.empty(out.shape, dtype=torch.uint8)
        _max_forward(_numpy(values), _numpy(neighbours), out.numpy(), winner.numpy())
        ctx.save_for_backward(neighbours, winner)
        ctx.values_shape = values.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        neighbours, winner = ctx.saved_tensors
        grad_values = torch.zeros(ctx.values_shape)
        _max_backward(_numpy(grad), _numpy(neighbours), _numpy(winner), grad_values.numpy())
        return grad_values, None


def nearest_neighbours(features: Tensor, count: int) -> Tensor:
    """As ``graph.nearest_neighbours``; float32 on the CPU."""
    if not 0 < count < features.shape[1]:
        raise ShapeError(f"count must lie between 1 and {features.shape[1] - 1}, one less than the points, got {count}")
    with torch.no_grad():
        indices = np.empty((*features.shape[:2], count), np.int64)
        for start in range(0, len(features), CLOUDS):
            some = features[start : start + CLOUDS]
            _select_nearest(_numpy(distance_order(some, some)), count, indices[start : start + CLOUDS])
        return torch.from_numpy(indices)


def graph_response(directions: Tensor, supports: Tensor, features: Tensor | None, neighbours: Tensor) -> Tensor:
    """As ``graph.graph_response``; float32 on the CPU, at most 255 neighbours."""
    known = directions.new_empty(0, 0, 0) if features is None else features
    return _GraphResponse.apply(directions, supports, known, neighbours)


def max_over_neighbours(values: Tensor, neighbours: Tensor) -> Tensor:
    """As ``graph.max_over_neighbours``; float32 on the CPU, at most 255 neighbours."""
    return _MaxOverNeighbours.apply(values, neighbours)


FUSED = GraphOps(nearest_neighbours, graph_response, max_over_neighbours)
"""The fused operations: float32 tensors on the CPU."""
