"""Matrix products with constant weights, in float32 or int8, for the fused engine."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from clipose_ros.inference.engines.cpu.kernels_dense import quantise
from clipose_ros.types import FloatArray


class Rows:
    """Rows ``start`` to ``stop`` of a buffer, C of its columns from ``place`` on, with a factor per row of the buffer.

    Views are made here, once: making one takes as long as a small product.
    """

    def __init__(self, buffer: FloatArray, place: int, width: int, start: int, stop: int, scales: FloatArray) -> None:
        self.buffer, self.place, self.start, self.stop, self.scales = buffer, place, start, stop, scales
        self.tensor = torch.from_numpy(buffer)[start:stop, place : place + width]


class Gemm(Protocol):
    """Rows times a weight: the value of ``out[i, m]`` is ``out[i, m] * scales[i] * columns[m]``."""

    operand_type: DTypeLike
    """Of what is multiplied with the weight."""

    result_type: DTypeLike
    """Of what comes out."""

    width: int
    """C."""

    columns: FloatArray
    """``(C',)``, positive."""

    def __call__(self, rows: Rows, out: Tensor) -> None:
        """Rows ``(P, C)`` times the weight to out ``(P, C')``; writes the rows' scales."""
        ...

    def multiply(self, operand: Tensor, out: Tensor) -> None:
        """The same for an operand ``(P, C)`` of ``operand_type``."""
        ...


class Float32Gemm:
    """Single precision. All factors are 1.

    Args:
        weight: ``(C', C)``.
    """

    operand_type: DTypeLike = np.float32
    result_type: DTypeLike = np.float32

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.t().contiguous()
        self.width = len(self._weight)
        self.columns: FloatArray = np.ones(len(weight), np.float32)

    def __call__(self, rows: Rows, out: Tensor) -> None:
        """As ``Gemm`` says; scales are 1 already."""
        torch.mm(rows.tensor, self._weight, out=out)

    def multiply(self, operand: Tensor, out: Tensor) -> None:
        """As ``Gemm`` says."""
        torch.mm(operand, self._weight, out=out)


class Int8Gemm:
    """Eight-bit integers: weights scaled per output, operands per row by their largest magnitude, exact sums.

    Args:
        weight: ``(C', C)``.
    """

    operand_type: DTypeLike = np.int8
    result_type: DTypeLike = np.int32

    def __init__(self, weight: Tensor) -> None:
        columns = weight.abs().amax(dim=1).clamp_min(1e-30) / 127.0
        self._weight = (weight / columns.unsqueeze(1)).round().to(torch.int8).t().contiguous()
        self.width = len(self._weight)
        self.columns: FloatArray = columns.numpy()

    def __call__(self, rows: Rows, out: Tensor) -> None:
        """As ``Gemm`` says."""
        rounded: NDArray[np.int8] = np.empty((rows.stop - rows.start, self.width), np.int8)
        quantise(rows.buffer, rows.place, rows.start, rows.stop, rounded, rows.scales)
        self.multiply(torch.from_numpy(rounded), out)

    def multiply(self, operand: Tensor, out: Tensor) -> None:
        """As ``Gemm`` says."""
        torch._int_mm(operand, self._weight, out=out)
