"""Matrix products with constant weights, in float32 or int8, for the fused engine."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from clipose_ros.inference.kernels_rows import quantise
from clipose_ros.types import FloatArray


class Product(Protocol):
    """Rows times a weight: the value of ``out[i, m]`` is ``out[i, m] * scales[i] * columns[m]``."""

    operand_type: DTypeLike
    """Of what is multiplied with the weight."""

    result_type: DTypeLike
    """Of what comes out."""

    columns: FloatArray
    """``(C',)``, positive."""

    def operand(self, values: FloatArray, place: int, start: int, stop: int, scales: FloatArray) -> Tensor:
        """Rows ``start`` to ``stop`` of values ``(N, ...)``, from column ``place`` on; writes their ``scales (N,)``."""
        ...

    def __call__(self, operand: Tensor, out: Tensor) -> None:
        """Operand ``(P, C)`` times the weight to out ``(P, C')``."""
        ...


class Float32Product:
    """Single precision. All factors are 1.

    Args:
        weight: ``(C', C)``.
    """

    operand_type: DTypeLike = np.float32
    result_type: DTypeLike = np.float32

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.t().contiguous()
        self.columns: FloatArray = np.ones(len(weight), np.float32)

    def operand(self, values: FloatArray, place: int, start: int, stop: int, scales: FloatArray) -> Tensor:
        """As ``Product`` says; scales are 1 already."""
        return torch.from_numpy(values)[start:stop, place : place + len(self._weight)]

    def __call__(self, operand: Tensor, out: Tensor) -> None:
        """As ``Product`` says."""
        torch.mm(operand, self._weight, out=out)


class Int8Product:
    """Eight-bit integers: weights scaled per output, operands per row by their largest magnitude, exact sums.

    Args:
        weight: ``(C', C)``.
    """

    operand_type: DTypeLike = np.int8
    result_type: DTypeLike = np.int32

    def __init__(self, weight: Tensor) -> None:
        columns = weight.abs().amax(dim=1).clamp_min(1e-30) / 127.0
        self._weight = (weight / columns.unsqueeze(1)).round().to(torch.int8).t().contiguous()
        self.columns: FloatArray = columns.numpy()

    def operand(self, values: FloatArray, place: int, start: int, stop: int, scales: FloatArray) -> Tensor:
        """As ``Product`` says."""
        rows: Any = np.empty((stop - start, len(self._weight)), np.int8)
        quantise(values, place, start, stop, rows, scales)
        return torch.from_numpy(rows)

    def __call__(self, operand: Tensor, out: Tensor) -> None:
        """As ``Product`` says."""
        torch._int_mm(operand, self._weight, out=out)
