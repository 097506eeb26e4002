"""Compiled loops over neighbourhoods for training on the CPU, forward and backward.

Graph response of point i, kernel c, with S supports s, neighbours j and unit directions d::

    out[i, c] = 1/S sum_s max_j relu(d(i, j) . support(s, c)) * feature(j, s, c)

Forward, each (i, s, c) keeps its best neighbour, the winner, while the loop walks over the neighbours. Backward, the
gradient g of ``out[i, c]`` goes through the winner j alone, and only if the dot product is positive::

    d feature(j, s, c) += g / S * dot            d support(s, c) += g / S * feature(j, s, c) * d(i, j)

Sizes: B clouds, N points, k neighbours, S supports, C kernels. Results are written into arrays that the caller
allocates. numba compiles the functions for float32 and float64 at first use and caches them on disk. No two threads
write to one element, and sums run in a fixed order, so equal input gives equal output for any number of threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

BLOCK = 16
"""Points that a thread computes before it takes the next block."""

LANES = 64
"""Channels whose gradients a thread computes at a time: their features of a whole cloud stay in its cache."""

FAST = {"contract", "reassoc", "nsz"}
"""Freedoms of the compiler that let it vectorise; infinities and NaN keep their meaning."""


class ResponseInputs(NamedTuple):
    """Inputs of the graph response.

    Attributes:
        directions: ``(B, N, k, 3)`` unit vectors.
        supports: ``(3, S, C)`` unit vectors along the first axis.
        features: Flat; row r begins at ``r * stride`` and has ``S * C`` values. Empty for the surface layer, whose
            features are 1.
        stride: Distance between rows.
        neighbours: ``(B, N, k)`` int64.
    """

    directions: Any
    supports: Any
    features: Any
    stride: int
    neighbours: Any


@njit(parallel=True, fastmath=FAST, cache=True)
def select_nearest(products: Any, squares: Any, count: int, out: Any) -> None:
    """Select the nearest points of each point but itself, ascending, by insertion.

    Args:
        products: ``(B, N, N)`` inner products.
        squares: ``(B, N)`` sums of squares; ``squares[j] - 2 products[i, j]`` orders as distances do.
        count: Number of points to select.
        out: ``(B, N, count)`` int64.
    """
    batch, rows, columns = products.shape
    for flat in prange(batch * rows):
        b, i = flat // rows, flat % rows
        row, square = products[b, i], squares[b]
        best = np.empty(count, products.dtype)
        filled = 0
        for j in range(columns):
            distance = square[j] - row[j] - row[j]
            if j == i or (filled == count and distance >= best[count - 1]):
                continue
            place = filled if filled < count else count - 1
            while place > 0 and best[place - 1] > distance:
                best[place] = best[place - 1]
                out[b, i, place] = out[b, i, place - 1]
                place -= 1
            best[place] = distance
            out[b, i, place] = j
            if filled < count:
                filled += 1


@njit(parallel=True, fastmath=FAST, cache=True)
def response_forward(inputs: ResponseInputs, out: Any, winner: Any) -> None:
    """Compute the graph response and the winners.

    Args:
        inputs: Inputs.
        out: ``(B, N, C)``.
        winner: ``(B, N, S * C)`` uint8, position of the winner among the neighbours.
    """
    directions, supports, features, stride, neighbours = inputs
    batch, points, near = neighbours.shape
    _, count, channels = supports.shape
    width = count * channels
    sx, sy, sz = supports[0].reshape(width), supports[1].reshape(width), supports[2].reshape(width)
    zero = supports.dtype.type(0)
    blocks = (points + BLOCK - 1) // BLOCK
    for flat in prange(batch * blocks):
        b, start = flat // blocks, (flat % blocks) * BLOCK
        best, arg = np.empty(width, supports.dtype), np.empty(width, np.int32)
        for i in range(start, min(start + BLOCK, points)):
            best[:] = -np.inf
            arg[:] = 0
            for j in range(near):
                x, y, z = directions[b, i, j, 0], directions[b, i, j, 1], directions[b, i, j, 2]
                if features.size == 0:
                    for m in range(width):
                        value = max(x * sx[m] + y * sy[m] + z * sz[m], zero)
                        better = value > best[m]
                        best[m] = value if better else best[m]
                        arg[m] = j if better else arg[m]
                else:
                    begin = (b * points + neighbours[b, i, j]) * stride
                    feature = features[begin : begin + width]
                    for m in range(width):
                        value = max(x * sx[m] + y * sy[m] + z * sz[m], zero) * feature[m]
                        better = value > best[m]
                        best[m] = value if better else best[m]
                        arg[m] = j if better else arg[m]
            for c in range(channels):
                total = zero
                for s in range(count):
                    total += best[s * channels + c]
                out[b, i, c] = total / count
            for m in range(width):
                winner[b, i, m] = arg[m]


@njit(parallel=True, fastmath=FAST, cache=True)
def response_backward(inputs: ResponseInputs, winner: Any, grad: Any, grad_supports: Any, grad_features: Any) -> None:
    """Compute the gradients of the graph response.

    A thread owns some channels of a cloud. The directions and features of their winners are gathered first, so that the
    arithmetic between gathering and scattering runs on whole vectors.

    Args:
        inputs: Inputs of the forward pass.
        winner: ``(B, N, S * C)`` winners of the forward pass.
        grad: ``(B, N, C)`` gradient of the response.
        grad_supports: ``(B, 3, S * C)``, written.
        grad_features: Flat ``(B * N * S * C,)``; gradients are added. Empty for the surface layer.
    """
    directions, supports, features, stride, neighbours = inputs
    batch, points, near = neighbours.shape
    _, count, channels = supports.shape
    width, dtype = count * channels, supports.dtype
    zero, share = dtype.type(0), dtype.type(1) / dtype.type(count)
    surface = features.size == 0
    groups = (channels + LANES - 1) // LANES
    for flat in prange(batch * count * groups):
        b, s, first = flat // (count * groups), flat // groups % count, flat % groups * LANES
        lanes = min(LANES, channels - first)
        sx, sy, sz = supports[0, s, first:], supports[1, s, first:], supports[2, s, first:]
        x, y, z = np.empty(lanes, dtype), np.empty(lanes, dtype), np.empty(lanes, dtype)
        to_x, to_y, to_z = np.zeros(lanes, dtype), np.zeros(lanes, dtype), np.zeros(lanes, dtype)
        feature, back = np.ones(lanes, dtype), np.empty(lanes, dtype)
        read, write = np.zeros(near, np.uint64), np.zeros(near, np.uint64)
        begin = s * channels + first
        for i in range(points):
            won, g = winner[b, i, begin:], grad[b, i, first:]
            for j in range(near):
                row = b * points + neighbours[b, i, j]
                read[j], write[j] = row * stride + begin, row * width + begin
            for c in range(lanes):
                j = won[c]
                x[c], y[c], z[c] = directions[b, i, j, 0], directions[b, i, j, 1], directions[b, i, j, 2]
                if not surface:
                    feature[c] = features[read[j] + np.uint64(c)]
            for c in range(lanes):
                dot = x[c] * sx[c] + y[c] * sy[c] + z[c] * sz[c]
                through = g[c] * share if dot > zero else zero
                back[c] = through * dot
                through *= feature[c]
                to_x[c] += through * x[c]
                to_y[c] += through * y[c]
                to_z[c] += through * z[c]
            if not surface:
                for c in range(lanes):
                    grad_features[write[won[c]] + np.uint64(c)] += back[c]
        grad_supports[b, 0, begin : begin + lanes] = to_x
        grad_supports[b, 1, begin : begin + lanes] = to_y
        grad_supports[b, 2, begin : begin + lanes] = to_z


@njit(parallel=True, cache=True)
def max_forward(values: Any, neighbours: Any, out: Any, winner: Any) -> None:
    """Compute the maximum over neighbours and the winners.

    Args:
        values: ``(B, M, C)``.
        neighbours: ``(B, N, k)`` int64.
        out: ``(B, N, C)``.
        winner: ``(B, N, C)`` uint8, position of the winner among the neighbours.
    """
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
def max_backward(grad: Any, neighbours: Any, winner: Any, grad_values: Any) -> None:
    """Add the gradient of the maximum over neighbours to ``grad_values`` ``(B, M, C)``.

    Args:
        grad: ``(B, N, C)`` gradient of the maximum.
        neighbours: ``(B, N, k)`` int64.
        winner: ``(B, N, C)`` winners of the forward pass.
        grad_values: ``(B, M, C)``.
    """
    batch, points, channels = grad.shape
    groups = (channels + LANES - 1) // LANES
    for flat in prange(batch * groups):
        b, first = flat // groups, flat % groups * LANES
        for i in range(points):
            for c in range(first, min(first + LANES, channels)):
                grad_values[b, neighbours[b, i, winner[b, i, c]], c] += grad[b, i, c]
