"""Products of oneDNN equal matrix products, for any operand, and are chosen by the processor alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.inference.engines.cpu import onednn

pytestmark = pytest.mark.skipif(not onednn.is_available(), reason="torch is built without oneDNN")

WIDE = 256
"""Width of operands whose product is large enough for oneDNN."""


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 300), st.integers(1, 70), st.integers(1, 70), st.integers(0, 3))
def test_packed_weight_multiplies_columns_of_a_wider_buffer(rows: int, width: int, outputs: int, first: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    buffer = torch.randn(rows, first + width + 2, generator=generator)
    weight = torch.randn(outputs, width, generator=generator)
    operand, out = buffer[:, first : first + width], torch.full((rows, outputs), torch.nan)
    onednn.PackedWeight(weight).multiply(operand, out)
    np.testing.assert_allclose(out, operand.double() @ weight.double().t(), atol=1e-4)


def test_products_are_exact_in_float32() -> None:
    """A number that bfloat16 rounds to 1 stays what it is, also where oneDNN could use AMX."""
    fine = torch.full((WIDE, WIDE), 1.0 + 2.0**-20)
    out = torch.empty(WIDE, WIDE)
    onednn.PackedWeight(torch.eye(WIDE)).multiply(fine, out)
    assert (out == fine).all()


@pytest.mark.parametrize("rows", [3, WIDE])
@pytest.mark.parametrize("vendor", ["GenuineIntel", "AuthenticAMD"])
def test_inner_products_of_columns_of_a_wider_buffer(vendor: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "is_faster_in_float32", lambda: vendor == "AuthenticAMD")
    buffer = torch.randn(WIDE, 2 * WIDE, generator=torch.Generator().manual_seed(0))
    features, out = buffer[:, 5 : 5 + WIDE], torch.empty(rows, WIDE)
    onednn.InnerProducts(features)(features[:rows], out)
    np.testing.assert_allclose(out, (features[:rows].double() @ features.double().t()), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("vendor", "wide", "expected"),
    [("AuthenticAMD", True, True), ("AuthenticAMD", False, False), ("GenuineIntel", True, False), (None, True, False)],
)
def test_float32_uses_it_with_avx512_and_without_mkl_of_intel(
    vendor: str | None, wide: bool, expected: bool, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if vendor is not None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
    monkeypatch.setattr(onednn, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": wide})
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    onednn.is_faster_in_float32.cache_clear()
    try:
        assert onednn.is_faster_in_float32() == expected
    finally:
        onednn.is_faster_in_float32.cache_clear()
