"""Compiled loops of the CPU engine over the neighbourhoods of one cloud.

Neighbours. For each row of distances, the k smallest are selected in three steps without branches on the values, so
that they run as vector instructions:

1. ``_upper_bound``: the row is dealt into groups. If k group minima do not exceed a bound, at least k values do not.
2. The values up to the bound, few more than k, are collected on a short list.
3. The rank of a value on the list is the number of those before it; ranks below k are the result.

Graph convolution (3D-GCN) of the features f at point i, kernel c, with S supports s and unit directions d::

    out[i, c] = f_centre[i, c] + 1/S sum_s max_j relu(d(i, j) . support(s, c)) * f(j, s, c)

The maximum is kept per (s, c) while the loop walks over the neighbours j, four at a time, so that an array of
neighbours x supports x channels is never made. The surface convolution is the same with f = 1 and no centre term.

Arrays are float32 and C-contiguous unless said otherwise, points are ``(3, N)``, indices int32. Each function computes
the rows ``start`` to ``stop`` only, so that several threads may share a cloud, and releases the interpreter's lock.
numba compiles a function at its first use and keeps it on disk.

Columns of wider arrays are taken by slices, never by ``row[offset + c]``: a sum might be negative, which in Python
counts from the end, and the check for it costs the vector instructions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from clipose_ros.inference.engines.cpu.kernel_arguments import (
    ColumnView,
    Int32Array,
    Neighbourhood,
    ProjectedFeatures,
    SupportVectors,
)
from clipose_ros.types import FloatArray

FAST = {"contract", "reassoc", "nsz"}
"""Freedoms of the compiler that let it vectorise; infinities and NaN keep their meaning."""

UNROLLED = 4
"""Neighbours computed at a time: their supports are read once."""

SHORTLIST = 256
"""Largest number of values that are ranked against each other."""

LANES = 16
"""Values of a vector register; lists are padded to a multiple of it."""

_TINY = np.float32(1e-12)
_ZERO = np.float32(0.0)
_INFINITE = np.float32(np.inf)


class _SelectionBuffers(NamedTuple):
    """Scratch memory of ``_select_smallest``.

    Attributes:
        minima: ``(groups,)`` smallest value of each group.
        ranks: ``(SHORTLIST,)`` int32.
        listed: ``(N + 1,)`` int32, indices on the short list.
        keys: ``(SHORTLIST,)`` values on the short list.
    """

    minima: FloatArray
    ranks: Int32Array
    listed: Int32Array
    keys: FloatArray


@njit(nogil=True, fastmath=FAST, cache=True)
def _group_minima(values: FloatArray, minima: FloatArray) -> None:
    """Deal values ``(N,)`` into as many groups as ``minima`` has elements, and find the smallest of each.

    The groups are interleaved: their minima are found side by side in vector registers.
    """
    groups, size = minima.shape[0], values.shape[0]
    minima[:] = np.inf
    for first in range(0, size - groups + 1, groups):
        some = values[first : first + groups]
        for g in range(groups):
            minima[g] = min(minima[g], some[g])
    rest = values[size // groups * groups :]
    for g in range(rest.shape[0]):
        minima[g] = min(minima[g], rest[g])


@njit(nogil=True, fastmath=FAST, cache=True)
def _upper_bound(values: FloatArray, count: int, minima: FloatArray, ranks: Int32Array) -> Any:
    """Return a bound that at least ``count`` values do not exceed, and few more.

    It is the smallest group minimum that ``count`` group minima do not exceed.
    """
    groups = minima.shape[0]
    _group_minima(values, minima)
    ranks[:groups] = 0
    for h in range(groups):
        value = minima[h]
        for g in range(groups):
            ranks[g] += value <= minima[g]
    bound = _INFINITE
    for g in range(groups):
        if ranks[g] >= count:
            bound = min(bound, minima[g])
    return bound


@njit(nogil=True, cache=True)
def _group_count(count: int) -> int:
    """Return the number of groups that makes selection fastest: more groups are ranked longer, fewer bound less."""
    return (count * 9 // 4 + LANES - 1) // LANES * LANES


@njit(nogil=True, fastmath=FAST, cache=True)
def _insert_smallest(values: FloatArray, excluded: int, count: int, chosen: Int32Array) -> None:
    """Select as ``_select_smallest``, by insertion: for rows with many ties, or with values that are not numbers."""
    filled = 0
    for j in range(values.shape[0]):
        if j == excluded or (filled == count and not values[j] < values[chosen[count - 1]]):
            continue
        place = min(filled, count - 1)
        while place > 0 and values[j] < values[chosen[place - 1]]:
            chosen[place] = chosen[place - 1]
            place -= 1
        chosen[place] = j
        filled = min(filled + 1, count)


@njit(nogil=True, fastmath=FAST, cache=True)
def _select_smallest(values: FloatArray, excluded: int, buffers: _SelectionBuffers, chosen: Int32Array) -> None:
    """Write the indices of the smallest values but ``excluded`` to ``chosen`` ``(k,)``, ascending, ties in order."""
    minima, ranks, listed, keys = buffers.minima, buffers.ranks, buffers.listed, buffers.keys
    count, size = chosen.shape[0], values.shape[0]
    values[excluded] = np.inf  # a point is not its own neighbour
    bound = _upper_bound(values, count, minima, ranks)
    found = 0
    for j in range(size):
        listed[found] = j  # overwritten by the next j unless this one counts: no branch
        found += values[j] <= bound
    if not bound < _INFINITE or found > SHORTLIST:
        _insert_smallest(values, excluded, count, chosen)
        return
    whole = (found + LANES - 1) // LANES * LANES
    keys[:whole], ranks[:whole] = np.inf, 0
    for a in range(found):
        keys[a] = values[listed[a]]
    for b in range(found):
        key = keys[b]
        for a in range(whole):
            ranks[a] += np.int32(key < keys[a]) + np.int32((key == keys[a]) & (b < a))
    for a in range(found):
        if ranks[a] < count:
            chosen[ranks[a]] = listed[a]


@njit(nogil=True, cache=True)
def _selection_buffers(size: int, count: int) -> _SelectionBuffers:
    """Allocate the buffers to select ``count`` of ``size`` values."""
    return _SelectionBuffers(
        np.empty(_group_count(count), np.float32),
        np.empty(SHORTLIST, np.int32),
        np.empty(size + 1, np.int32),
        np.empty(SHORTLIST, np.float32),
    )


@njit(nogil=True, fastmath=FAST, cache=True)
def nearest_points(points: FloatArray, start: int, stop: int, out: Int32Array) -> None:
    """Find the nearest other points in space, nearest first: points ``(3, N)`` to out ``(N, k)``."""
    size = points.shape[1]
    values = np.empty(size, np.float32)
    buffers = _selection_buffers(size, out.shape[1])
    px, py, pz = points[0], points[1], points[2]
    for i in range(start, stop):
        for j in range(size):
            x, y, z = px[j] - px[i], py[j] - py[i], pz[j] - pz[i]
            values[j] = x * x + y * y + z * z
        _select_smallest(values, i, buffers, out[i])


@njit(nogil=True, fastmath=FAST, cache=True)
def nearest_features(products: FloatArray, squares: FloatArray, start: int, stop: int, out: Int32Array) -> None:
    """Find the nearest other points in feature space, nearest first.

    ``squares[j] - 2 products[i, j]`` is the squared distance less a constant of the row, and orders alike.

    Args:
        products: ``(N, N)``, inner products of the features.
        squares: ``(N,)``, sums of squares of the features.
        start: First row.
        stop: Row after the last.
        out: ``(N, k)``.
    """
    size = products.shape[1]
    values = np.empty(size, np.float32)
    buffers = _selection_buffers(size, out.shape[1])
    for i in range(start, stop):
        row = products[i]
        for j in range(size):
            values[j] = squares[j] - np.float32(2.0) * row[j]
        _select_smallest(values, i, buffers, out[i])


@njit(nogil=True, fastmath=FAST, cache=True)
def nearest_candidate(points: FloatArray, candidates: int, start: int, stop: int, out: Int32Array) -> None:
    """Find which of the first ``candidates`` points is nearest to each point: points ``(3, N)`` to out ``(N,)``."""
    px, py, pz = points[0], points[1], points[2]
    values = np.empty(candidates, np.float32)
    bits = values.view(np.int32)
    for i in range(start, stop):
        for j in range(candidates):
            x, y, z = px[j] - px[i], py[j] - py[i], pz[j] - pz[i]
            values[j] = x * x + y * y + z * z
        # non-negative floats order as their bit patterns do, and integers are compared sixteen at a time
        least = bits[0]
        for j in range(candidates):
            least = min(least, bits[j])
        best = 0
        while bits[best] != least:
            best += 1
        out[i] = best


@njit(nogil=True, fastmath=FAST, cache=True)
def _load_directions(points: Any, i: int, neighbours: Any, directions: Any, indices: Any) -> None:
    """Write the unit vectors from a point to its neighbours and their indices; coinciding points give zero.

    Both are padded to a multiple of ``UNROLLED`` with the first neighbour, which leaves a maximum as it is.
    """
    near = neighbours.shape[1]
    for j in range(indices.shape[0]):
        at = neighbours[i, j if j < near else 0]
        x, y, z = points[0, at] - points[0, i], points[1, at] - points[1, i], points[2, at] - points[2, i]
        scale = np.float32(1.0) / max(np.sqrt(x * x + y * y + z * z), _TINY)
        directions[0, j], directions[1, j], directions[2, j] = x * scale, y * scale, z * scale
        indices[j] = at


@njit(nogil=True, fastmath=FAST, cache=True)
def surface_convolution(
    neighbourhood: Neighbourhood, supports: SupportVectors, start: int, stop: int, out: FloatArray
) -> None:
    """Compute the graph convolution of bare coordinates.

    Args:
        neighbourhood: Points and neighbours.
        supports: Kernels.
        start: First row.
        stop: Row after the last.
        out: ``(N, C or more)``; the first C columns are written.
    """
    points, neighbours, count = neighbourhood.points, neighbourhood.neighbours, supports.per_kernel
    width = supports.directions.shape[1]
    channels = width // count
    padded = (neighbours.shape[1] + UNROLLED - 1) // UNROLLED * UNROLLED
    directions, indices = np.empty((3, padded), np.float32), np.empty(padded, np.int64)
    best = np.empty(width, np.float32)
    sx, sy, sz = supports.directions[0], supports.directions[1], supports.directions[2]
    for i in range(start, stop):
        _load_directions(points, i, neighbours, directions, indices)
        best[:] = 0.0  # includes the ReLU: the maximum of relu(v) is max(0, max v)
        for j in range(0, padded, UNROLLED):
            x, y, z = directions[0, j : j + UNROLLED], directions[1, j : j + UNROLLED], directions[2, j : j + UNROLLED]
            x0, x1, x2, x3, y0, y1, y2, y3 = x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]
            z0, z1, z2, z3 = z[0], z[1], z[2], z[3]
            # One vector loop over all supports and kernels; the four neighbours share each load of a support.
            for m in range(width):
                a, b, c = sx[m], sy[m], sz[m]
                v0, v1 = x0 * a + y0 * b + z0 * c, x1 * a + y1 * b + z1 * c
                v2, v3 = x2 * a + y2 * b + z2 * c, x3 * a + y3 * b + z3 * c
                best[m] = max(max(max(v0, v1), max(v2, v3)), best[m])
        for c in range(channels):
            total = _ZERO
            for s in range(count):
                total += best[s * channels + c]
            out[i, c] = total / np.float32(count)


@njit(nogil=True, fastmath=FAST, cache=True)
def graph_convolution(
    neighbourhood: Neighbourhood,
    supports: SupportVectors,
    features: ProjectedFeatures,
    start: int,
    stop: int,
    out: FloatArray,
) -> None:
    """Compute the graph convolution of features, with its centre term.

    The value at neighbour j and column m is ``(values[j, m] * row_scales[j] + shift[m]) * column_scales[m]``; see
    ``ProjectedFeatures``. The column scales are positive, so they are applied after the maximum over j.

    Args:
        neighbourhood: Points and neighbours.
        supports: Kernels.
        features: Features of the centre and of the supports.
        start: First row.
        stop: Row after the last.
        out: ``(N, C or more)``; the first C columns are written.
    """
    points, neighbours, count = neighbourhood.points, neighbourhood.neighbours, supports.per_kernel
    projected, scales, columns, shift = features.values, features.row_scales, features.column_scales, features.shift
    width = supports.directions.shape[1]
    channels = width // count
    padded = (neighbours.shape[1] + UNROLLED - 1) // UNROLLED * UNROLLED
    directions, indices = np.empty((3, padded), np.float32), np.empty(padded, np.int64)
    best = np.empty(width, np.float32)
    sx, sy, sz = supports.directions[0], supports.directions[1], supports.directions[2]
    added, outer = shift[channels:], columns[channels:]
    for i in range(start, stop):
        _load_directions(points, i, neighbours, directions, indices)
        best[:] = -np.inf
        for j in range(0, padded, UNROLLED):
            x, y, z = directions[0, j : j + UNROLLED], directions[1, j : j + UNROLLED], directions[2, j : j + UNROLLED]
            x0, x1, x2, x3, y0, y1, y2, y3 = x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]
            z0, z1, z2, z3 = z[0], z[1], z[2], z[3]
            p0, p1, p2, p3 = indices[j], indices[j + 1], indices[j + 2], indices[j + 3]
            r0, r1, r2, r3 = scales[p0], scales[p1], scales[p2], scales[p3]
            f0, f1, f2, f3 = (
                projected[p0, channels:], projected[p1, channels:], projected[p2, channels:], projected[p3, channels:]
            )  # fmt: skip
            for m in range(width):
                a, b, c, t = sx[m], sy[m], sz[m], added[m]
                v0 = max(x0 * a + y0 * b + z0 * c, _ZERO) * (np.float32(f0[m]) * r0 + t)
                v1 = max(x1 * a + y1 * b + z1 * c, _ZERO) * (np.float32(f1[m]) * r1 + t)
                v2 = max(x2 * a + y2 * b + z2 * c, _ZERO) * (np.float32(f2[m]) * r2 + t)
                v3 = max(x3 * a + y3 * b + z3 * c, _ZERO) * (np.float32(f3[m]) * r3 + t)
                best[m] = max(max(max(v0, v1), max(v2, v3)), best[m])
        centre, scale = projected[i], scales[i]
        for c in range(channels):
            total = _ZERO
            for s in range(count):
                total += best[s * channels + c] * outer[s * channels + c]
            out[i, c] = (np.float32(centre[c]) * scale + shift[c]) * columns[c] + total / np.float32(count)


@njit(nogil=True, fastmath=FAST, cache=True)
def sum_of_maxima(values: FloatArray, neighbours: Int32Array, start: int, stop: int, total: FloatArray) -> None:
    """Sum the maxima over neighbours over the points: values ``(N, C or more)`` to total ``(C,)``."""
    channels = total.shape[0]
    best = np.empty(channels, np.float32)
    total[:] = 0.0
    for i in range(start, stop):
        best[:] = -np.inf
        for j in range(neighbours.shape[1]):
            row = values[neighbours[i, j]]
            for c in range(channels):
                best[c] = max(best[c], row[c])
        for c in range(channels):
            total[c] += best[c]


@njit(nogil=True, fastmath=FAST, cache=True)
def max_pool(source: ColumnView, neighbours: Int32Array, near: int, start: int, stop: int, target: ColumnView) -> None:
    """Compute the maximum over the ``near`` nearest neighbours, and each row's sum of squares.

    Args:
        source: Features of M points, all columns from ``first_column`` on.
        neighbours: ``(M, near or more)``.
        near: Number of neighbours that count.
        start: First row.
        stop: Row after the last.
        target: Columns that are written, all from ``first_column`` on, with their squares.
    """
    for i in range(start, stop):
        out = target.buffer[i, target.first_column :]
        out[:] = -np.inf
        for j in range(near):
            row = source.buffer[neighbours[i, j], source.first_column :]
            for c in range(out.shape[0]):
                out[c] = max(out[c], row[c])
        total = _ZERO
        for c in range(out.shape[0]):
            total += out[c] * out[c]
        target.squares[i] = total
