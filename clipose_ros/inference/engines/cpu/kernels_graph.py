"""Compiled loops over neighbourhoods of one cloud, for the fused engine.

All arrays are float32 and C-contiguous unless said otherwise, points are ``(3, N)``, indices int32. Each loop treats
the rows ``start`` to ``stop`` alone, so that several threads may share a cloud, and holds no lock of the interpreter.
numba compiles a loop at its first use and keeps it on disk.

Columns of wider arrays are taken by slices, never by ``row[offset + c]``: a sum might be negative, which in Python
counts from the end, and the check for it costs the vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

FAST = {"contract", "reassoc", "nsz"}
"""Freedoms of the compiler that let it vectorise; infinities and NaN keep their meaning."""

COPIED = 4
"""Neighbours treated at a time: their supports are read once."""

SHORTLIST = 256
"""Most values that are ranked against each other."""

LANES = 16
"""Values of a vector register, into which lists are filled up."""

_TINY = np.float32(1e-12)
_ZERO = np.float32(0.0)
_INFINITE = np.float32(np.inf)


@njit(nogil=True, fastmath=FAST, cache=True)
def _group_minima(values: Any, minima: Any) -> None:
    """Deal values ``(N,)`` into as many groups as minima has places, and find the smallest of each.

    Side by side they are found in vector registers; a single running minimum would take one value at a time.
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
def _limit(values: Any, count: int, minima: Any, ranks: Any) -> Any:
    """A bound that at least ``count`` values do not exceed, and few more.

    Of the groups that ``_group_minima`` makes, ``count`` whose minimum does not exceed it hold as many such values.
    """
    groups = minima.shape[0]
    _group_minima(values, minima)
    ranks[:groups] = 0
    for h in range(groups):
        value = minima[h]
        for g in range(groups):
            ranks[g] += value <= minima[g]
    limit = _INFINITE
    for g in range(groups):
        if ranks[g] >= count:
            limit = min(limit, minima[g])
    return limit


@njit(nogil=True, cache=True)
def _groups(count: int) -> int:
    """How many groups make a short list soonest: ranking their minima takes time, and so do more values on the list."""
    return (count * 9 // 4 + LANES - 1) // LANES * LANES


@njit(nogil=True, fastmath=FAST, cache=True)
def _insert(values: Any, own: int, count: int, chosen: Any) -> None:
    """As ``_smallest``, value by value: for rows with many ties, or values that are not numbers."""
    filled = 0
    for j in range(values.shape[0]):
        if j == own or (filled == count and not values[j] < values[chosen[count - 1]]):
            continue
        place = min(filled, count - 1)
        while place > 0 and values[j] < values[chosen[place - 1]]:
            chosen[place] = chosen[place - 1]
            place -= 1
        chosen[place] = j
        filled = min(filled + 1, count)


@njit(nogil=True, fastmath=FAST, cache=True)
def _smallest(values: Any, own: int, minima: Any, ranks: Any, listed: Any, keys: Any, chosen: Any) -> None:
    """Places of a row's smallest values, ascending, equal ones in order, without its own place.

    A bound makes a short list of them; on the list each value's rank is the number of those before it. Neither step
    branches on the values, so both run as vector instructions.
    """
    count, size = chosen.shape[0], values.shape[0]
    values[own] = np.inf
    limit = _limit(values, count, minima, ranks)
    found = 0
    for j in range(size):
        listed[found] = j
        found += values[j] <= limit
    if not limit < _INFINITE or found > SHORTLIST:
        _insert(values, own, count, chosen)
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


@njit(nogil=True, fastmath=FAST, cache=True)
def nearest_points(points: Any, start: int, stop: int, out: Any) -> None:
    """Nearest other points by distance, nearest first: points ``(3, N)`` to out ``(N, k)``."""
    size, count = points.shape[1], out.shape[1]
    values, keys = np.empty(size, np.float32), np.empty(SHORTLIST, np.float32)
    minima, ranks = np.empty(_groups(count), np.float32), np.empty(SHORTLIST, np.int32)
    listed = np.empty(size + 1, np.int32)
    px, py, pz = points[0], points[1], points[2]
    for i in range(start, stop):
        for j in range(size):
            x, y, z = px[j] - px[i], py[j] - py[i], pz[j] - pz[i]
            values[j] = x * x + y * y + z * z
        _smallest(values, i, minima, ranks, listed, keys, out[i])


@njit(nogil=True, fastmath=FAST, cache=True)
def nearest_features(products: Any, squares: Any, start: int, stop: int, out: Any) -> None:
    """Nearest other points by features, nearest first.

    Args:
        products: ``(N, N)``, inner products of the features.
        squares: ``(N,)``, their products with themselves: ``squares[j] - 2 products[i, j]`` orders as distances do.
        start: First row.
        stop: Row after the last.
        out: ``(N, k)``.
    """
    size, count = products.shape[1], out.shape[1]
    values, keys = np.empty(size, np.float32), np.empty(SHORTLIST, np.float32)
    minima, ranks = np.empty(_groups(count), np.float32), np.empty(SHORTLIST, np.int32)
    listed = np.empty(size + 1, np.int32)
    for i in range(start, stop):
        row = products[i]
        for j in range(size):
            values[j] = squares[j] - np.float32(2.0) * row[j]
        _smallest(values, i, minima, ranks, listed, keys, out[i])


@njit(nogil=True, fastmath=FAST, cache=True)
def closest(points: Any, candidates: int, start: int, stop: int, out: Any) -> None:
    """Which of the first ``candidates`` points is closest to each point: points ``(3, N)`` to out ``(N,)``."""
    px, py, pz = points[0], points[1], points[2]
    values = np.empty(candidates, np.float32)
    bits = values.view(np.int32)
    for i in range(start, stop):
        for j in range(candidates):
            x, y, z = px[j] - px[i], py[j] - py[i], pz[j] - pz[i]
            values[j] = x * x + y * y + z * z
        # floats that are not negative order as their bits do, and integers are compared sixteen at once
        least = bits[0]
        for j in range(candidates):
            least = min(least, bits[j])
        best = 0
        while bits[best] != least:
            best += 1
        out[i] = best


@njit(nogil=True, fastmath=FAST, cache=True)
def _look(points: Any, i: int, neighbours: Any, directions: Any, places: Any) -> None:
    """Unit vectors from a point to its neighbours, zero where they coincide; the first fills up the last few."""
    near = neighbours.shape[1]
    for j in range(places.shape[0]):
        at = neighbours[i, j if j < near else 0]
        x, y, z = points[0, at] - points[0, i], points[1, at] - points[1, i], points[2, at] - points[2, i]
        scale = np.float32(1.0) / max(np.sqrt(x * x + y * y + z * z), _TINY)
        directions[0, j], directions[1, j], directions[2, j] = x * scale, y * scale, z * scale
        places[j] = at


@njit(nogil=True, fastmath=FAST, cache=True)
def surface_response(points: Any, neighbours: Any, supports: Any, count: int, start: int, stop: int, out: Any) -> None:
    """Graph convolution of bare coordinates: mean over supports of the maximum over neighbours of relu(d . s).

    Args:
        points: ``(3, N)``.
        neighbours: ``(N, k)``.
        supports: ``(3, count * C)`` unit vectors, support after support.
        count: Supports of a kernel.
        start: First row.
        stop: Row after the last.
        out: ``(N, C or more)``, whose first C columns are written.
    """
    width = supports.shape[1]
    channels = width // count
    padded = (neighbours.shape[1] + COPIED - 1) // COPIED * COPIED
    directions, places = np.empty((3, padded), np.float32), np.empty(padded, np.int64)
    best = np.empty(width, np.float32)
    sx, sy, sz = supports[0], supports[1], supports[2]
    for i in range(start, stop):
        _look(points, i, neighbours, directions, places)
        best[:] = 0.0
        for j in range(0, padded, COPIED):
            x, y, z = directions[0, j : j + COPIED], directions[1, j : j + COPIED], directions[2, j : j + COPIED]
            x0, x1, x2, x3, y0, y1, y2, y3 = x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]
            z0, z1, z2, z3 = z[0], z[1], z[2], z[3]
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
def graph_response(
    points: Any,
    neighbours: Any,
    supports: Any,
    count: int,
    projected: Any,
    scales: Any,
    columns: Any,
    shift: Any,
    start: int,
    stop: int,
    out: Any,
) -> None:
    """Graph convolution of features: centre + mean over supports of max over neighbours of relu(d . s) * feature.

    Features are ``(projected[j, m] * scales[j] + shift[m]) * columns[m]``, columns being positive.

    Args:
        points: ``(3, N)``.
        neighbours: ``(N, k)``.
        supports: ``(3, count * C)`` unit vectors, support after support.
        count: Supports of a kernel.
        projected: ``(N, C + count * C)`` float32 or int32: the centre's columns, then the supports'.
        scales: ``(N,)``.
        columns: ``(C + count * C,)``.
        shift: ``(C + count * C,)``.
        start: First row.
        stop: Row after the last.
        out: ``(N, C or more)``, whose first C columns are written.
    """
    width = supports.shape[1]
    channels = width // count
    padded = (neighbours.shape[1] + COPIED - 1) // COPIED * COPIED
    directions, places = np.empty((3, padded), np.float32), np.empty(padded, np.int64)
    best = np.empty(width, np.float32)
    sx, sy, sz, added, outer = supports[0], supports[1], supports[2], shift[channels:], columns[channels:]
    for i in range(start, stop):
        _look(points, i, neighbours, directions, places)
        best[:] = -np.inf
        for j in range(0, padded, COPIED):
            x, y, z = directions[0, j : j + COPIED], directions[1, j : j + COPIED], directions[2, j : j + COPIED]
            x0, x1, x2, x3, y0, y1, y2, y3 = x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]
            z0, z1, z2, z3 = z[0], z[1], z[2], z[3]
            p0, p1, p2, p3 = places[j], places[j + 1], places[j + 2], places[j + 3]
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
def sum_of_maxima(values: Any, neighbours: Any, start: int, stop: int, total: Any) -> None:
    """Sum over points of the maximum over neighbours: values ``(N, C or more)`` to total ``(C,)``."""
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
def pool(
    values: Any, first: int, near: int, neighbours: Any, start: int, stop: int, out: Any, place: int, squares: Any
) -> None:
    """Maximum over the ``near`` nearest, and each row's sum of squares.

    Args:
        values: ``(M, first + C or more)``, taken from column ``first`` on.
        first: Column of values at which to begin.
        near: How many of the neighbours count.
        neighbours: ``(M, near or more)``.
        start: First row.
        stop: Row after the last.
        out: ``(N, place + C)``.
        place: Column of out at which to begin.
        squares: ``(N,)``.
    """
    for i in range(start, stop):
        target = out[i, place:]
        target[:] = -np.inf
        for j in range(near):
            row = values[neighbours[i, j], first:]
            for c in range(target.shape[0]):
                target[c] = max(target[c], row[c])
        total = _ZERO
        for c in range(target.shape[0]):
            total += target[c] * target[c]
        squares[i] = total
