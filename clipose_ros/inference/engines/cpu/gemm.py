"""Matrix products with constant weights, in float32, bfloat16 or int8.

Rows x ``(P, C)`` are multiplied with a weight W ``(C', C)``. Products are stored without their factors::

    float32:  x W^T = out                              row and column scales are 1
    bf16:     bf16(x) bf16(W)^T ~ out                  the same; sums in float32, results rounded to bfloat16
    int8:     x W^T ~ out[i, m] * rows[i] * columns[m]
              rows[i] = max |x[i]| / 127,     q[i] = round(x[i] / rows[i])
              columns[m] = max |W[m]| / 127,  w[m] = round(W[m] / columns[m])
              out = q w^T                              exact sums in int32

The kernels that read a product multiply by the scales.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from clipose_ros.inference.engines.cpu import onednn
from clipose_ros.inference.engines.cpu.kernel_arguments import ColumnView
from clipose_ros.inference.engines.cpu.kernels_dense import quantise
from clipose_ros.types import FloatArray


class BufferRows:
    """Rows of a buffer that are the operand of a matrix product, with a scale per row.

    Args:
        view: Columns of the buffer, from the first that is multiplied on.
        width: C, the number of columns.
        rows: First row, and the row after the last.
        scales: ``(N,)`` row scales of the product, for all rows of the buffer.

    Attributes:
        tensor: ``(stop - start, C)``, the operand.
    """

    def __init__(self, view: ColumnView, width: int, rows: tuple[int, int], scales: FloatArray) -> None:
        self.buffer, self.first_column = view.buffer, view.first_column
        self.start, self.stop = rows
        self.scales = scales
        # The view is made once: making one takes as long as a small product.
        self.tensor = torch.from_numpy(self.buffer)[slice(*rows), self.first_column : self.first_column + width]


class Gemm(Protocol):
    """Product of rows with a constant weight.

    The value of the result is ``out[i, m] * scales[i] * columns[m]``.
    """

    operand_type: DTypeLike
    """Type of what is multiplied with the weight."""

    result_type: DTypeLike
    """Type of the result."""

    width: int
    """C, the number of inputs."""

    columns: FloatArray
    """``(C',)`` column scales, positive."""

    def __call__(self, rows: BufferRows, out: Tensor) -> None:
        """Multiply rows ``(P, C)`` with the weight to out ``(P, C')``; write the rows' scales."""
        ...

    def multiply(self, operand: Tensor, out: Tensor) -> None:
        """Multiply an operand ``(P, C)`` of ``operand_type`` with the weight to out ``(P, C')``."""
        ...


class Float32Gemm:
    """Product in single precision. All scales are 1.

    Args:
        weight: ``(C', C)``.
    """

    operand_type: DTypeLike = np.float32
    result_type: DTypeLike = np.float32

    def __init__(self, weight: Tensor) -> None:
        self._fewest_rows = onednn.fewest_rows(weight)
        self._packed = onednn.PackedWeight(weight) if onednn.is_faster_in_float32() else None
        self._weight = weight.t().contiguous()
        self.width = len(self._weight)
        self.columns: FloatArray = np.ones(len(weight), np.float32)

    def __call__(self, rows: BufferRows, out: Tensor) -> None:
        """Multiply rows; their scales stay 1."""
        self.multiply(rows.tensor, out)

    def multiply(self, operand: Tensor, out: Tensor) -> None:
        """Multiply an operand in float32."""
        if self._packed is None or len(operand) < self._fewest_rows:
            torch.mm(operand, self._weight, out=out)
        else:
            self._packed.multiply(operand, out)


class Bf16Gemm:
    """Product of operands that are rounded to bfloat16. All scales are 1.

    Args:
        weight: ``(C', C)``.
    """

    operand_type: DTypeLike = np.float32
    result_type: DTypeLike = np.float32

    def __init__(self, weight: Tensor) -> None:
        rounded = weight.to(torch.bfloat16)
        self._packed = onednn.PackedWeight(rounded) if onednn.is_available() else None
        self._weight = rounded.t()
        self.width = len(self._weight)
        self.columns: FloatArray = np.ones(len(weight), np.float32)

    def __call__(self, rows: BufferRows, out: Tensor) -> None:
        """Multiply rows; their scales stay 1."""
        self.multiply(rows.tensor, out)

    def multiply(self, operand: Tensor, out: Tensor) -> None:
        """Multiply an operand in float32, which is rounded."""
        rounded = operand.to(torch.bfloat16)
        if self._packed is None:
            out.copy_(torch.mm(rounded, self._weight))
        else:
            self._packed.multiply(rounded, out)


class Int8Gemm:
    """Product in 8-bit integers with exact sums.

    Weights are scaled per output, operands per row by their largest magnitude.

    Args:
        weight: ``(C', C)``.
    """

    operand_type: DTypeLike = np.int8
    result_type: DTypeLike = np.int32

    def __init__(self, weight: Tensor) -> None:
        columns = weight.abs().amax(dim=1).clamp_min(1e-30) / 127.0  # an output without weights gets a positive scale
        self._weight = (weight / columns.unsqueeze(1)).round().to(torch.int8).t().contiguous()
        self.width = len(self._weight)
        self.columns: FloatArray = columns.numpy()

    def __call__(self, rows: BufferRows, out: Tensor) -> None:
        """Quantise the rows and multiply them."""
        quantised: NDArray[np.int8] = np.empty((rows.stop - rows.start, self.width), np.int8)
        quantise(rows.buffer, rows.first_column, rows.start, rows.stop, quantised, rows.scales)
        self.multiply(torch.from_numpy(quantised), out)

    def multiply(self, operand: Tensor, out: Tensor) -> None:
        """Multiply an operand in int8."""
        torch._int_mm(operand, self._weight, out=out)


def multiplies_correctly(create_gemm: Callable[[Tensor], Gemm]) -> bool:
    """Return True if a product of the largest operands is right.

    Without the instructions for them, sums of 8-bit integers saturate, and oneDNN refuses bfloat16.
    """
    value, inputs, outputs = 127, 64, 32
    try:
        gemm = create_gemm(torch.ones(outputs, inputs))
        operand = torch.from_numpy(np.full((outputs, inputs), value, gemm.operand_type))
        product = np.zeros((outputs, outputs), gemm.result_type)
        gemm.multiply(operand, torch.from_numpy(product))
    except RuntimeError:
        return False
    return bool(np.allclose(product * gemm.columns, value * inputs))
