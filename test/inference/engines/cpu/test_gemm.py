"""Products with constant weights equal matrix products: exactly in float32, else within the rounding of their type."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cpu_networks import usable_engines
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.inference.engines.cpu import onednn
from clipose_ros.inference.engines.cpu.engine import GEMMS
from clipose_ros.inference.engines.cpu.gemm import Bf16Gemm, BufferRows, Float32Gemm, Int8Gemm, multiplies_correctly
from clipose_ros.inference.engines.cpu.kernel_arguments import ColumnView

POINTS, PLACE = 40, 3
KINDS = [GEMMS[name][0] for name in usable_engines()]
"""Products that are right on this processor."""

needs_int8 = pytest.mark.skipif(Int8Gemm not in KINDS, reason="no dot products of 8-bit integers")
needs_bf16 = pytest.mark.skipif(Bf16Gemm not in KINDS, reason="no dot products in bfloat16")


def product(kind, weight, values, start=0, stop=POINTS):
    """The value that a product stands for, of the rows ``start`` to ``stop``."""
    gemm = kind(weight)
    buffer = np.full((POINTS, PLACE + weight.shape[1] + 2), 7.0, np.float32)
    buffer[:, PLACE:-2] = values
    scales = np.ones(POINTS, np.float32)
    view = ColumnView(buffer, PLACE, np.zeros(POINTS, np.float32))
    rows = BufferRows(view, weight.shape[1], (start, stop), scales)
    out = torch.zeros((stop - start, len(weight)), dtype=torch.from_numpy(np.zeros(0, gemm.result_type)).dtype)
    gemm(rows, out)
    return out.numpy() * scales[start:stop, None] * gemm.columns


def operands(seed, width=16, outputs=24):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(outputs, width)).astype(np.float32)), rng.normal(size=(POINTS, width))


@pytest.mark.parametrize(("start", "stop"), [(0, POINTS), (5, 23)])
def test_float32_is_the_matrix_product_of_its_rows(start, stop):
    weight, values = operands(0)
    expected = values.astype(np.float32)[start:stop] @ weight.numpy().T
    np.testing.assert_allclose(product(Float32Gemm, weight, values, start, stop), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("available", [False, True])
def test_float32_is_the_same_by_either_library(available, monkeypatch):
    chosen = available and onednn.is_available()
    monkeypatch.setattr(onednn, "is_faster_in_float32", lambda: chosen)
    weight, values = operands(3, 512, 300)
    expected = values @ weight.numpy().T.astype(np.float64)
    np.testing.assert_allclose(product(Float32Gemm, weight, values), expected, rtol=1e-5, atol=1e-4)


@needs_bf16
@pytest.mark.parametrize("available", [False, True])
@pytest.mark.parametrize("magnitude", [1e-20, 1.0, 1e20])
def test_bf16_rounds_operands_and_result_once(magnitude, available, monkeypatch):
    chosen = available and onednn.is_available()
    monkeypatch.setattr(onednn, "is_available", lambda: chosen)
    weight, values = operands(4)
    values = (magnitude * values).astype(np.float32)
    rounded = [torch.as_tensor(each).bfloat16().double().numpy() for each in (values, weight)]
    exact, absolute = rounded[0] @ rounded[1].T, np.abs(rounded[0]) @ np.abs(rounded[1]).T
    error = np.abs(product(Bf16Gemm, weight, values) - exact)
    assert (error <= 2.0**-8 * np.abs(exact) + 1e-6 * absolute).all()


@needs_int8
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.sampled_from([1e-3, 1.0, 1e3]))
def test_int8_is_off_by_no_more_than_half_a_step_of_each_factor(seed, magnitude):
    """Rounding adds at most half a step per factor; a step is the largest magnitude of a row over 127."""
    weight, values = operands(seed)
    values = magnitude * values
    step_values = np.abs(values).max(axis=1, keepdims=True) / 127.0
    step_weight = weight.abs().amax(dim=1).numpy() / 127.0
    absolute = np.abs(values).sum(axis=1, keepdims=True)
    bound = 0.5 * step_weight * absolute + 0.5 * step_values * (weight.abs().sum(dim=1).numpy() + 8 * step_weight)
    error = np.abs(product(Int8Gemm, weight, values) - values @ weight.numpy().T)
    assert (error <= 1.01 * bound + 1e-6 * magnitude).all()


@needs_int8
def test_int8_of_integers_is_exact():
    rng = np.random.default_rng(1)
    weight = rng.integers(-127, 128, (24, 16)).astype(np.float32)
    weight[:, 0] = 127.0
    values = rng.integers(-127, 128, (POINTS, 16)).astype(np.float32)
    values[:, 0] = -127.0
    np.testing.assert_allclose(product(Int8Gemm, torch.from_numpy(weight), values), values @ weight.T, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_zeros_give_zeros(kind):
    weight, _ = operands(0)
    result = product(kind, weight, np.zeros((POINTS, 16)))
    np.testing.assert_array_equal(result, 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_output_without_weights_is_zero_and_finite(kind):
    weight, values = operands(0)
    weight[3] = 0.0
    result = product(kind, weight, values)
    assert np.isfinite(result).all() and not result[:, 3].any()


def test_products_that_saturate_or_are_refused_are_noticed():
    class Saturating(Int8Gemm):
        def multiply(self, operand, out):
            out.copy_((operand.float() @ self._weight.float()).clamp(max=2.0**15))

    def refused(weight):
        raise RuntimeError("bf16 path needs the cpu support avx512bw")

    assert multiplies_correctly(Float32Gemm)
    assert not multiplies_correctly(Saturating) and not multiplies_correctly(refused)
