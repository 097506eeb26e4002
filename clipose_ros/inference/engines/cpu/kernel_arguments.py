"""Groups of arrays that the compiled loops of the CPU engine take as one argument each.

numba compiles a ``NamedTuple`` as a structure without cost. Sizes: N points of a level, k neighbours, C channels of a
layer, S supports of a kernel, W and V the widths of a head's two layers. Arrays are float32 unless stated otherwise.

The matrix products are stored without their factors: the value of a product is
``values[i, m] * row_scales[i] * column_scales[m]``. In float32 all factors are 1; in int8 they undo the quantisation.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clipose_ros.types import FloatArray

Int32Array: TypeAlias = NDArray[np.int32]
ProductArray: TypeAlias = NDArray[np.generic]
"""Matrix product in float32 or int32, or operand in float32 or int8."""


class Neighbourhood(NamedTuple):
    """Points of one level and their neighbours.

    Attributes:
        points: ``(3, N)``.
        neighbours: ``(N, k)`` int32, nearest first.
    """

    points: FloatArray
    neighbours: Int32Array


class SupportVectors(NamedTuple):
    """Support directions of the kernels of one graph layer.

    Attributes:
        directions: ``(3, S * C)`` unit vectors; column ``s * C + c`` is support s of kernel c.
        per_kernel: S.
    """

    directions: FloatArray
    per_kernel: int


class ProjectedFeatures(NamedTuple):
    """Features of one level, projected for the centre term and for each support.

    The value at point j and column m is ``(values[j, m] * row_scales[j] + shift[m]) * column_scales[m]``.

    Attributes:
        values: ``(N, C + S * C)`` float32 or int32: the columns of the centre, then those of the supports.
        row_scales: ``(N,)``.
        column_scales: ``(C + S * C,)``, positive.
        shift: ``(C + S * C,)``.
    """

    values: ProductArray
    row_scales: FloatArray
    column_scales: FloatArray
    shift: FloatArray


class ColumnView(NamedTuple):
    """Some adjacent columns of a buffer, with the sum of squares of each row of them.

    Attributes:
        buffer: ``(N, first_column + C or more)``.
        first_column: First of the columns.
        squares: ``(N,)``.
    """

    buffer: FloatArray
    first_column: int
    squares: FloatArray


class ScaleShift(NamedTuple):
    """Affine function of each channel with a lower bound: ``max(value * scale + shift, lower_bound)``.

    Attributes:
        scale: ``(C,)``.
        shift: ``(C,)``.
        lower_bound: 0 for a ReLU, minus infinity for none.
    """

    scale: FloatArray
    shift: FloatArray
    lower_bound: np.float32


class HeadLevels(NamedTuple):
    """First-layer products of the three heads with the features of each level, and the points that they belong to.

    Attributes:
        fine: ``(P or more, 3 W)`` products at a block of P points of the first level.
        middle: ``(M, 3 W)`` products at the points of the second level.
        coarse: ``(L, 3 W)`` products at the points of the third level.
        fine_scales: ``(N,)`` row scales of all points of the first level.
        middle_scales: ``(M,)`` row scales.
        coarse_scales: ``(L,)`` row scales.
        nearest_middle: ``(N,)`` int32, the second level's point nearest to each point.
        nearest_coarse: ``(N,)`` int32, the third level's point nearest to each point.
        points: ``(3, N)`` points of the first level.
    """

    fine: ProductArray
    middle: ProductArray
    coarse: ProductArray
    fine_scales: FloatArray
    middle_scales: FloatArray
    coarse_scales: FloatArray
    nearest_middle: Int32Array
    nearest_coarse: Int32Array
    points: FloatArray


class HeadInputWeights(NamedTuple):
    """First layer of the three heads, side by side, without the products with the levels' features.

    Attributes:
        column_scales: ``(3, 3 W)`` column scales of the products with each level.
        position: ``(3, 3 W)`` weights of a point's coordinates.
        bias: ``(categories, 3 W)`` bias for each category.
    """

    column_scales: FloatArray
    position: FloatArray
    bias: FloatArray


class HeadOutputWeights(NamedTuple):
    """Layers of the three heads behind the maximum over points.

    Attributes:
        column_scales: ``(3, V)`` column scales of the second layer's products.
        bias: ``(3, V)`` bias of the second layer.
        third: ``(3, V, V)``, inputs first.
        third_bias: ``(3, V)``.
        last: ``(3, V, 6)``, inputs first; unused outputs are zero.
        last_bias: ``(3, 6)``.
    """

    column_scales: FloatArray
    bias: FloatArray
    third: FloatArray
    third_bias: FloatArray
    last: FloatArray
    last_bias: FloatArray


class HeadRows(NamedTuple):
    """Results of the first layer of the three heads.

    Attributes:
        values: ``(3, P or more, W)`` float32 or int8.
        scales: ``(3, P or more)`` row scales.
    """

    values: ProductArray
    scales: FloatArray
