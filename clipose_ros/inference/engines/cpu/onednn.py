"""Matrix products by oneDNN.

``torch.mm`` in float32 calls MKL, which uses AVX-512 on processors of Intel alone: on those of AMD, oneDNN is twice as
fast. torch itself multiplies float32 by oneDNN only where the whole process allows reduced precision. The operators of
this module, to which torch compiles linear layers, change nothing in the process and keep float32 accuracy.

oneDNN selects the instructions: AMX where the processor has it, else AVX-512 with dot products of bfloat16, else what
there is. It computes in as many threads as torch uses in the calling thread.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import torch
from torch import Tensor

MIN_MULTIPLICATIONS = 1 << 22
"""Fewest multiplications of a product in float32 that make up for the call of oneDNN, some ten microseconds."""

CPU_INFO = Path("/proc/cpuinfo")
"""Description of the processors."""


class PackedWeight:
    """Weight of a matrix product, in the order of oneDNN.

    Args:
        weight: ``(C', C)`` float32 or bfloat16.
    """

    def __init__(self, weight: Tensor) -> None:
        with torch.no_grad():
            self._packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())

    def multiply(self, rows: Tensor, out: Tensor) -> None:
        """Multiply rows ``(P, C)`` of the weight's type with the weight to out ``(P, C')``, of any type."""
        _multiply(rows, self._packed, out)


class InnerProducts:
    """Inner products in float32 with rows that change from call to call, but not their place.

    Args:
        others: ``(N, C)`` float32, which may be columns of a wider buffer.
    """

    def __init__(self, others: Tensor) -> None:
        self._others, self._transposed = others, others.t()
        # An operand that is not packed costs as much again as the call.
        self._fewest_rows = 2 * fewest_rows(others)

    def __call__(self, rows: Tensor, out: Tensor) -> None:
        """Compute the inner products of rows ``(P, C)`` and the others to out ``(P, N)``."""
        if len(rows) >= self._fewest_rows:
            # oneDNN would copy columns of a wider buffer a thousand times slower than torch does.
            _multiply(rows, self._others.contiguous(), out)
        else:
            torch.mm(rows, self._transposed, out=out)


def fewest_rows(weight: Tensor) -> float:
    """Return the fewest rows whose product with a weight ``(C', C)`` in float32 is faster by oneDNN, if any."""
    return MIN_MULTIPLICATIONS / max(weight.numel(), 1) if is_faster_in_float32() else math.inf


@functools.cache
def is_available() -> bool:
    """Return True if this build of torch has oneDNN with its operators for linear layers."""
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight")
    )


@functools.cache
def is_faster_in_float32() -> bool:
    """Return True if oneDNN multiplies float32 faster than ``torch.mm``: with AVX-512, but not on Intel processors."""
    is_wide = bool(torch.cpu.get_capabilities().get("avx512_f"))
    return is_available() and torch.backends.mkl.is_available() and is_wide and "GenuineIntel" not in _read_cpu_info()


def _multiply(rows: Tensor, weight: Tensor, out: Tensor) -> None:
    with torch.no_grad():
        out.copy_(torch.ops.mkldnn._linear_pointwise(rows, weight, None, "none", [], ""))


def _read_cpu_info() -> str:
    """Return the system's description of the processors; Intel is assumed where there is none."""
    try:
        return CPU_INFO.read_text()
    except OSError:
        return "GenuineIntel"
