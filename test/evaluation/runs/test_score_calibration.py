"""Fit of the scores to clouds with known poses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from clipose_ros.evaluation.runs.score_calibration import fit_weights


def test_fit_finds_the_weights_that_made_the_outcomes() -> None:
    rng = np.random.default_rng(1)
    features = np.column_stack([np.ones(20_000), rng.normal(0.0, 2.0, 20_000), rng.uniform(size=(20_000, 2))])
    true = np.array([0.5, 0.8, -3.0, 1.0])
    correct = rng.uniform(size=20_000) < expit(features @ true)
    np.testing.assert_allclose(fit_weights(features, correct), true, atol=0.3)


@given(st.booleans(), st.integers(2, 50))
def test_outcomes_that_are_all_alike_give_finite_weights(outcome: bool, count: int) -> None:
    features = np.column_stack([np.ones(count), np.random.default_rng(count).normal(size=(count, 3))])
    weights = np.array(fit_weights(features, np.full(count, outcome)))
    assert np.isfinite(weights).all()
    probability = expit(features @ weights)
    assert ((probability > 0.5) == outcome).all()


def test_a_sign_that_never_changes_has_no_effect() -> None:
    rng = np.random.default_rng(2)
    features = np.column_stack([np.ones(300), rng.normal(size=300), np.zeros(300), np.full(300, 0.7)])
    weights = fit_weights(features, features[:, 1] > 0.0)
    assert weights[2] == pytest.approx(0.0, abs=1e-6) and weights[3] == pytest.approx(0.0, abs=1e-6)
    assert weights[1] > 1.0
