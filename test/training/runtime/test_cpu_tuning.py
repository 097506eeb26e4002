"""Tuning of allocator and matrix products."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from clipose_ros.training.runtime.cpu_tuning import tune_process, use_onednn_gemm


def test_keep_freed_memory_avoids_new_page_mappings() -> None:
    """Faults of a second array as large as one that was freed: 16384 pages where it is mapped anew."""
    script = """if True:
        from resource import RUSAGE_SELF, getrusage
        from clipose_ros.allocator import keep_freed_memory
        assert keep_freed_memory()
        bytearray(b"x") * 2**26
        before = getrusage(RUSAGE_SELF).ru_minflt
        bytearray(b"x") * 2**26
        assert getrusage(RUSAGE_SELF).ru_minflt - before < 1000
    """
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_onednn_products_keep_float32_accuracy() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(size, generator=generator) for size in ((300, 700), (700, 500)))
    exact = a.double() @ b.double()
    plain = (a @ b - exact).abs().max()
    taken = use_onednn_gemm()
    assert torch.get_float32_matmul_precision() == ("medium" if taken else "highest")
    assert (a @ b - exact).abs().max() < 10.0 * plain


def test_onednn_is_not_used_if_it_loses_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = torch.Tensor.__matmul__

    def rounded(a, b):
        return exact(a.bfloat16(), b.bfloat16()).float()

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert not use_onednn_gemm()
    assert torch.get_float32_matmul_precision() == "highest"


def test_tuning_for_gpu_keeps_matmul_precision() -> None:
    tune_process("cuda:0")
    assert torch.get_float32_matmul_precision() == "highest" and not torch.backends.cuda.matmul.allow_tf32
