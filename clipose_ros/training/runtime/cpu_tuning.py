"""Tuning of the memory allocator and of matrix products for training on the CPU."""

from __future__ import annotations

import torch

from clipose_ros.allocator import keep_freed_memory

_PROBE = 512
"""Size of the matrices that test the accuracy of products; small ones would be computed by special cases."""


def tune_process(device: str) -> None:
    """Tune the process for training on a device; the settings hold for the whole process."""
    keep_freed_memory()
    if device == "cpu":
        use_onednn_gemm()


def use_onednn_gemm() -> bool:
    """Multiply float32 matrices with oneDNN if it keeps float32 accuracy; it is faster on AMD processors.

    The ``medium`` precision of torch enables oneDNN, but also allows it to multiply in bfloat16, as it does on
    processors with AMX. If a test product is inexact, the setting is restored. The setting is for CPUs only: a GPU
    would multiply in TF32.

    Returns:
        True if oneDNN is used.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    fine = torch.full((_PROBE, _PROBE), 1.0 + 2.0**-12)  # rounds to 1 in bfloat16, which has 8 bits
    exact = bool((fine @ torch.eye(_PROBE) == fine).all())
    if not exact:
        torch.set_float32_matmul_precision(before)
    return exact
