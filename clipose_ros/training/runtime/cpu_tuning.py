"""How a process that trains deals with memory and matrix products."""

from __future__ import annotations

import ctypes

import torch

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of glibc's ``mallopt``, from ``malloc.h``."""
_PROBE = 512
"""Rows and columns of the matrices whose product tells how it is computed: none of the small special cases."""


def tune_process(device: str) -> None:
    """Apply the settings that make training on a device fastest; they hold for the whole process."""
    keep_freed_memory()
    if device == "cpu":
        use_onednn_gemm()


def keep_freed_memory() -> bool:
    """Keep freed memory for the next allocation instead of giving it back to the system.

    Every step allocates and frees the same arrays, of up to 100 MB. Given back, each has to be mapped and cleared anew
    when it is first written to: a tenth to a fifth of a step on a CPU. The process' memory stays at its peak instead.

    Returns:
        Whether the C library has the setting; only glibc does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, -1))


def use_onednn_gemm() -> bool:
    """Have oneDNN multiply float32 matrices where it keeps float32's accuracy: a tenth quicker on AMD's processors.

    torch's ``medium`` precision lets oneDNN have them. It then may multiply in bfloat16, which it does on processors
    with AMX; there the setting is taken back. For the CPU alone: a GPU would multiply in TF32.

    Returns:
        Whether oneDNN has them.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    fine = torch.full((_PROBE, _PROBE), 1.0 + 2.0**-12)  # bfloat16 has eight bits: it would be 1
    exact = bool((fine @ torch.eye(_PROBE) == fine).all())
    if not exact:
        torch.set_float32_matmul_precision(before)
    return exact
