"""Straight lines through measurements."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.geometry.se3 import exp_so3
from clipose_ros.tracking.slope import fit_slope

angles = st.floats(-3.0, 3.0)


@given(st.integers(3, 20), st.integers(0, 2**16), angles, angles, angles, st.sampled_from([1e-6, 1e-4, 1e-2]))
def test_significance_does_not_depend_on_the_axes(
    count: int, seed: int, a: float, b: float, c: float, variance: float
) -> None:
    rng = np.random.default_rng(seed)
    time_s = np.sort(rng.uniform(0.0, 1.0, count))
    values = rng.normal(0.0, 0.01, (count, 3)) + time_s[:, None] * [0.1, -0.05, 0.0]
    variances = np.full((count, 3), variance)
    slope, turned = fit_slope(time_s, values, variances), fit_slope(time_s, values @ exp_so3([a, b, c]).T, variances)
    assert slope is not None and turned is not None
    assert turned.significance == pytest.approx(slope.significance, rel=1e-6)
    assert turned.rate == pytest.approx(slope.rate @ exp_so3([a, b, c]).T, abs=1e-9)


def test_line_is_found_with_its_deviation() -> None:
    rng, slopes = np.random.default_rng(0), []
    time_s = np.linspace(0.0, 1.0, 11)
    for _ in range(400):
        values = time_s[:, None] * [1.0, -2.0] + rng.normal(0.0, 0.1, (11, 2))
        slope = fit_slope(time_s, values, np.full((11, 2), 0.01))
        assert slope is not None
        slopes.append((slope.rate, slope.deviation))
    rates, deviations = (np.array(part) for part in zip(*slopes, strict=True))
    assert rates.mean(axis=0) == pytest.approx([1.0, -2.0], abs=0.02)
    assert rates.std(axis=0) == pytest.approx(deviations.mean(axis=0), rel=0.2)


def test_too_few_values_have_no_slope() -> None:
    assert fit_slope(np.array([0.0, 1.0]), np.zeros((2, 3)), np.ones((2, 3))) is None
    assert fit_slope(np.zeros(5), np.zeros((5, 3)), np.ones((5, 3))) is None
    assert fit_slope(np.zeros(0), np.zeros((0, 3)), np.zeros((0, 3))) is None
