"""Compiled loops between the matrix products of the CPU engine: normalisation, quantisation, and the heads.

Each function computes the rows ``start`` to ``stop`` only; groups of arrays are described in ``kernel_arguments``.

Heads. The first layer of a head is linear in the concatenated features of the levels, so it is applied at each level's
own points and added up at the input points, with u, v, w the column scales and a, b, c the row scales of the levels::

    input[i] = relu(fine[i] * a * u + middle[j] * b * v + coarse[k] * c * w + bias[category] + position . points[i])

where j and k are the points of the upper levels nearest to point i. The second layer is a matrix product; its maximum
over points commutes with the positive row and column scales and with the ReLU behind it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from clipose_ros.inference.engines.cpu.kernel_arguments import (
    ColumnView,
    HeadInputWeights,
    HeadLevels,
    HeadOutputWeights,
    HeadRows,
    ProductArray,
    ScaleShift,
)
from clipose_ros.inference.engines.cpu.kernels_graph import FAST
from clipose_ros.types import FloatArray

_ZERO = np.float32(0.0)
_INT8_MAX = np.float32(127.0)
_SIGN_CLEARED = np.int32(0x7FFFFFFF)
"""Mask that clears the sign bit of a float32."""


@njit(nogil=True, fastmath=FAST, cache=True)
def global_feature_shift(totals: FloatArray, count: int, weight: FloatArray, offset: FloatArray) -> FloatArray:
    """Return ``offset + mean @ weight`` ``(C,)``, the contribution of the global feature (ORL) to every point.

    Args:
        totals: ``(parts, C)`` sums of each part; the mean is their sum over ``count``.
        count: Number of points.
        weight: ``(C, C)``, inputs first.
        offset: ``(C,)``.
    """
    shift = offset.copy()
    for m in range(weight.shape[0]):
        mean = _ZERO
        for part in range(totals.shape[0]):
            mean += totals[part, m]
        mean /= np.float32(count)
        row = weight[m]
        for c in range(shift.shape[0]):
            shift[c] += mean * row[c]
    return shift


@njit(nogil=True, fastmath=FAST, cache=True)
def scale_shift_relu(values: FloatArray, function: ScaleShift, start: int, stop: int, target: ColumnView) -> None:
    """Write ``max(values * scale + shift, lower_bound)`` and each row's sum of squares.

    Args:
        values: ``(N, C or more)``.
        function: Scale, shift and lower bound of each channel.
        start: First row.
        stop: Row after the last.
        target: Columns that are written, with their squares.
    """
    scale, shift, lower_bound = function.scale, function.shift, function.lower_bound
    channels = scale.shape[0]
    for i in range(start, stop):
        row, out = values[i], target.buffer[i, target.first_column : target.first_column + channels]
        total = _ZERO
        for c in range(channels):
            value = max(row[c] * scale[c] + shift[c], lower_bound)
            out[c] = value
            total += value * value
        target.squares[i] = total


@njit(nogil=True, fastmath=FAST, cache=True)
def _quantise_row(row: Any, largest: FloatArray, out: Any) -> Any:
    """Write a row as int8 relative to its largest magnitude; return the scale that undoes it.

    Non-negative floats order as their bit patterns do, and integers are compared sixteen at a time. ``largest``
    ``(1,)`` is scratch memory that is read as both types.
    """
    bits, top = row.view(np.int32), np.int32(0)
    for c in range(row.shape[0]):
        top = max(top, bits[c] & _SIGN_CLEARED)
    largest.view(np.int32)[0] = top
    factor = _INT8_MAX / largest[0] if top else _ZERO
    for c in range(row.shape[0]):
        out[c] = np.int8(np.rint(row[c] * factor))
    return largest[0] / _INT8_MAX


@njit(nogil=True, fastmath=FAST, cache=True)
def quantise(
    values: FloatArray, first_column: int, start: int, stop: int, out: NDArray[np.int8], scales: FloatArray
) -> None:
    """Quantise rows to int8, each by its largest magnitude.

    Args:
        values: ``(N, first_column + C or more)``.
        first_column: First of the C columns that are read.
        start: First row.
        stop: Row after the last.
        out: ``(stop - start, C)`` int8.
        scales: ``(N,)``; the factors of the rows are written.
    """
    width = out.shape[1]
    largest = np.empty(1, np.float32)
    for i in range(start, stop):
        scales[i] = _quantise_row(values[i, first_column : first_column + width], largest, out[i - start])


@njit(nogil=True, fastmath=FAST, cache=True)
def _head_input_row(products: Any, scales: Any, position: Any, weights: Any, out: Any) -> None:
    """Compute a head's first layer at one point, see the equation at the top.

    Args:
        products: Rows ``(W,)`` of the fine, middle and coarse products.
        scales: Their row scales a, b, c.
        position: The point's coordinates x, y, z.
        weights: Rows ``(W,)``: the column scales u, v, w, the weights of x, y and z, and the bias.
        out: ``(W,)``.
    """
    fine, middle, coarse = products
    a, b, c = scales
    x, y, z = position
    u, v, w, wx, wy, wz, bias = weights
    for m in range(out.shape[0]):
        levels = np.float32(fine[m]) * a * u[m] + np.float32(middle[m]) * b * v[m] + np.float32(coarse[m]) * c * w[m]
        out[m] = max(levels + bias[m] + x * wx[m] + y * wy[m] + z * wz[m], _ZERO)


@njit(nogil=True, fastmath=FAST, cache=True)
def head_input(
    levels: HeadLevels, weights: HeadInputWeights, category: int, start: int, stop: int, out: FloatArray
) -> None:
    """Compute the first layer of the three heads at the points ``start`` to ``stop``.

    Args:
        levels: Products of each level; ``fine`` begins with the point ``start``.
        weights: First layer of the heads.
        category: Index of the object's category.
        start: First point.
        stop: Point after the last.
        out: ``(3, stop - start or more, W)``.
    """
    wide = out.shape[2]
    columns, places, bias, points = weights.column_scales, weights.position, weights.bias, levels.points
    for head in range(3):  # one head's weights at a time, which stay in the first-level cache
        part = slice(head * wide, (head + 1) * wide)
        rows = (
            columns[0, part], columns[1, part], columns[2, part], places[0, part], places[1, part], places[2, part],
            bias[category, part],
        )  # fmt: skip
        for i in range(start, stop):
            j, k = levels.nearest_middle[i], levels.nearest_coarse[i]
            products = levels.fine[i - start, part], levels.middle[j, part], levels.coarse[k, part]
            scales = levels.fine_scales[i], levels.middle_scales[j], levels.coarse_scales[k]
            _head_input_row(products, scales, (points[0, i], points[1, i], points[2, i]), rows, out[head, i - start])


@njit(nogil=True, fastmath=FAST, cache=True)
def head_input_int8(
    levels: HeadLevels, weights: HeadInputWeights, category: int, start: int, stop: int, out: HeadRows
) -> None:
    """Compute the same as ``head_input``, quantised to int8 row by row.

    Args:
        levels: As of ``head_input``.
        weights: As of ``head_input``.
        category: As of ``head_input``.
        start: First point.
        stop: Point after the last.
        out: Quantised results ``(3, stop - start or more, W)`` and their row scales.
    """
    wide = out.values.shape[2]
    row, largest = np.empty(wide, np.float32), np.empty(1, np.float32)
    columns, places, bias, points = weights.column_scales, weights.position, weights.bias, levels.points
    for head in range(3):
        part = slice(head * wide, (head + 1) * wide)
        rows = (
            columns[0, part], columns[1, part], columns[2, part], places[0, part], places[1, part], places[2, part],
            bias[category, part],
        )  # fmt: skip
        for i in range(start, stop):
            j, k = levels.nearest_middle[i], levels.nearest_coarse[i]
            products = levels.fine[i - start, part], levels.middle[j, part], levels.coarse[k, part]
            scales = levels.fine_scales[i], levels.middle_scales[j], levels.coarse_scales[k]
            _head_input_row(products, scales, (points[0, i], points[1, i], points[2, i]), rows, row)
            out.scales[head, i - start] = _quantise_row(row, largest, out.values[head, i - start])


@njit(nogil=True, fastmath=FAST, cache=True)
def update_maxima(values: ProductArray, scales: FloatArray, count: int, best: FloatArray) -> None:
    """Raise ``best`` to the maximum of ``values * scales`` over the first ``count`` points.

    Args:
        values: ``(3, P, V)`` products of the second layer.
        scales: ``(3, P)`` their row scales.
        count: Number of points, at most P.
        best: ``(3, V)``.
    """
    for head in range(3):
        top = best[head]
        for i in range(count):
            row, scale = values[head, i], scales[head, i]
            for c in range(top.shape[0]):
                top[c] = max(top[c], np.float32(row[c]) * scale)


@njit(nogil=True, fastmath=FAST, cache=True)
def head_output(best: FloatArray, weights: HeadOutputWeights, out: FloatArray) -> None:
    """Compute the layers behind the maximum over points, ``out = last . relu(third . relu(maximum))`` with biases.

    The operand is one vector per head: loops finish before a matrix product would have started.

    Args:
        best: ``(parts, 3, V)``, each part's maximum of the second layer's products.
        weights: The layers.
        out: ``(3, 6)``.
    """
    columns, bias, third, last = weights.column_scales, weights.bias, weights.third, weights.last
    hidden = np.empty(third.shape[2], np.float32)
    for head in range(3):
        hidden[:], out[head] = weights.third_bias[head], weights.last_bias[head]
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
