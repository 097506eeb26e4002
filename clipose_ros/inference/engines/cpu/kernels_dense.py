"""Compiled loops that end one matrix product and prepare the next, for the fused engine.

Conventions as in ``kernels_graph``. A product's value is ``values[i, m] * scales[i] * columns[m]``: for float32 both
factors are 1; for int8 they undo the quantisation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from clipose_ros.inference.engines.cpu.kernels_graph import FAST

_ZERO = np.float32(0.0)
_LARGEST = np.float32(127.0)
_MAGNITUDE = np.int32(0x7FFFFFFF)


@njit(nogil=True, fastmath=FAST, cache=True)
def shift_of(totals: Any, count: int, overall: Any, offset: Any) -> Any:
    """``offset + mean @ overall`` ``(C,)``; the mean is the sum of totals ``(parts, C)`` over ``count`` points."""
    shift = offset.copy()
    for m in range(overall.shape[0]):
        mean = _ZERO
        for part in range(totals.shape[0]):
            mean += totals[part, m]
        mean /= np.float32(count)
        row = overall[m]
        for c in range(shift.shape[0]):
            shift[c] += mean * row[c]
    return shift


@njit(nogil=True, fastmath=FAST, cache=True)
def settle(
    values: Any, scale: Any, shift: Any, least: Any, start: int, stop: int, out: Any, place: int, squares: Any
) -> None:
    """``max(values * scale + shift, least)`` into out's columns from ``place`` on, and each row's sum of squares.

    Args:
        values: ``(N, C or more)``.
        scale: ``(C,)``.
        shift: ``(C,)``.
        least: 0 for a rectifier, minus infinity for none.
        start: First row.
        stop: Row after the last.
        out: ``(N, place + C or more)``.
        place: Column of out at which to begin.
        squares: ``(N,)``.
    """
    channels = scale.shape[0]
    for i in range(start, stop):
        row, target = values[i], out[i, place : place + channels]
        total = _ZERO
        for c in range(channels):
            value = max(row[c] * scale[c] + shift[c], least)
            target[c] = value
            total += value * value
        squares[i] = total


@njit(nogil=True, fastmath=FAST, cache=True)
def _quantise_row(row: Any, largest: Any, out: Any) -> Any:
    """``row`` as int8 by its largest magnitude; returns the scale that undoes it. Largest ``(1,)`` is room for that.

    Without their signs floats order as their bits do, and integers are compared sixteen at once.
    """
    bits, top = row.view(np.int32), np.int32(0)
    for c in range(row.shape[0]):
        top = max(top, bits[c] & _MAGNITUDE)
    largest.view(np.int32)[0] = top
    factor = _LARGEST / largest[0] if top else _ZERO
    for c in range(row.shape[0]):
        out[c] = np.int8(np.rint(row[c] * factor))
    return largest[0] / _LARGEST


@njit(nogil=True, fastmath=FAST, cache=True)
def quantise(values: Any, place: int, start: int, stop: int, out: Any, scales: Any) -> None:
    """Rows ``start`` to ``stop`` from column ``place`` on, as int8 out ``(stop - start, C)`` and scales ``(N,)``."""
    width = out.shape[1]
    largest = np.empty(1, np.float32)
    for i in range(start, stop):
        scales[i] = _quantise_row(values[i, place : place + width], largest, out[i - start])


@njit(nogil=True, fastmath=FAST, cache=True)
def _spread(
    i: int, fine: Any, middle: Any, coarse: Any, a: Any, b: Any, c: Any, columns: Any, bias: Any, points: Any,
    beside: Any, own: Any, out: Any,
) -> None:  # fmt: skip
    """A head's first layer at a point: the levels' products, the category's bias and the point's place, rectified."""
    u, v, w = columns[0, own], columns[1, own], columns[2, own]
    x, y, z = points[0, i], points[1, i], points[2, i]
    wx, wy, wz = beside[0, own], beside[1, own], beside[2, own]
    for m in range(out.shape[0]):
        levels = np.float32(fine[m]) * a * u[m] + np.float32(middle[m]) * b * v[m] + np.float32(coarse[m]) * c * w[m]
        out[m] = max(levels + bias[m] + x * wx[m] + y * wy[m] + z * wz[m], _ZERO)


@njit(nogil=True, fastmath=FAST, cache=True)
def spread(
    fine: Any, middle: Any, coarse: Any, fine_scales: Any, middle_scales: Any, coarse_scales: Any, columns: Any,
    to_middle: Any, to_coarse: Any, bias: Any, points: Any, beside: Any, start: int, stop: int, out: Any,
) -> None:  # fmt: skip
    """First layer of the three heads at points ``start`` to ``stop``, from products at the levels' own points.

    Args:
        fine: ``(stop - start or more, 3 W)``, products of the first level's features at these points.
        middle: ``(M, 3 W)``, products of the second level's.
        coarse: ``(L, 3 W)``, products of the third level's.
        fine_scales: ``(N,)``, factors of the rows, as the next two.
        middle_scales: ``(M,)``.
        coarse_scales: ``(L,)``.
        columns: ``(3, 3 W)``, factors of the levels' columns.
        to_middle: ``(N,)``, the second level's point closest to each point.
        to_coarse: ``(N,)``, the third level's.
        bias: ``(3 W,)``.
        points: ``(3, N)``.
        beside: ``(3, 3 W)``, weights of the point's place.
        start: First point.
        stop: Point after the last.
        out: ``(3, stop - start or more, W)``.
    """
    wide = out.shape[2]
    for head in range(3):  # one head's weights at a time: they stay in the nearest cache
        own = slice(head * wide, (head + 1) * wide)
        for i in range(start, stop):
            j, k = to_middle[i], to_coarse[i]
            _spread(i, fine[i - start, own], middle[j, own], coarse[k, own], fine_scales[i], middle_scales[j],
                    coarse_scales[k], columns, bias[own], points, beside, own, out[head, i - start])  # fmt: skip


@njit(nogil=True, fastmath=FAST, cache=True)
def spread_int8(
    fine: Any, middle: Any, coarse: Any, fine_scales: Any, middle_scales: Any, coarse_scales: Any, columns: Any,
    to_middle: Any, to_coarse: Any, bias: Any, points: Any, beside: Any, start: int, stop: int, out: Any, scales: Any,
) -> None:  # fmt: skip
    """As ``spread``, to int8 out with its scales ``(3, stop - start or more)``."""
    wide = out.shape[2]
    row, largest = np.empty(wide, np.float32), np.empty(1, np.float32)
    for head in range(3):
        own = slice(head * wide, (head + 1) * wide)
        for i in range(start, stop):
            j, k = to_middle[i], to_coarse[i]
            _spread(i, fine[i - start, own], middle[j, own], coarse[k, own], fine_scales[i], middle_scales[j],
                    coarse_scales[k], columns, bias[own], points, beside, own, row)  # fmt: skip
            scales[head, i - start] = _quantise_row(row, largest, out[head, i - start])


@njit(nogil=True, fastmath=FAST, cache=True)
def raise_maxima(values: Any, scales: Any, count: int, best: Any) -> None:
    """Raise best ``(3, C)`` to the maximum of ``values * scales`` over the first points.

    Args:
        values: ``(3, P, C)``.
        scales: ``(3, P)``.
        count: How many points there are.
        best: ``(3, C)``.
    """
    for head in range(3):
        top = best[head]
        for i in range(count):
            row, scale = values[head, i], scales[head, i]
            for c in range(top.shape[0]):
                top[c] = max(top[c], np.float32(row[c]) * scale)


@njit(nogil=True, fastmath=FAST, cache=True)
def read(best: Any, columns: Any, bias: Any, third: Any, third_bias: Any, last: Any, last_bias: Any, out: Any) -> None:
    """The heads behind the maximum over points: on one vector each, loops are done before a product has begun.

    Args:
        best: ``(parts, 3, V)``, each part's maximum of the second layer's products.
        columns: ``(3, V)``, factors of their columns.
        bias: ``(3, V)``, of the second layer.
        third: ``(3, V, V)``.
        third_bias: ``(3, V)``.
        last: ``(3, V, L)``.
        last_bias: ``(3, L)``.
        out: ``(3, L)``.
    """
    hidden = np.empty(third.shape[2], np.float32)
    for head in range(3):
        hidden[:], out[head] = third_bias[head], last_bias[head]
        for m in range(best.shape[2]):
            top = best[0, head, m]
            for part in range(1, best.shape[0]):
                top = max(top, best[part, head, m])
            value, row = max(top * columns[head, m] + bias[head, m], _ZERO), third[head, m]
            for c in range(hidden.shape[0]):
                hidden[c] += value * row[c]
        for m in range(hidden.shape[0]):
            value, outputs = max(hidden[m], _ZERO), last[head, m]
            for c in range(outputs.shape[0]):
                out[head, c] += value * outputs[c]
