"""Reliability of scores."""

from __future__ import annotations

import numpy as np
import pytest

from clipose_ros.evaluation.metrics.reliability import measure_reliability


def test_error_is_the_mean_distance_weighted_by_count() -> None:
    scores = [0.92] * 6 + [0.14] * 2
    correct = np.array([True] * 3 + [False] * 3 + [True, True])
    measured = measure_reliability(scores, correct)
    assert [(each.count, each.correct) for each in measured.bins] == [(2, 1.0), (6, 0.5)]
    assert measured.expected_calibration_error == pytest.approx((2 * 0.86 + 6 * 0.42) / 8)


def test_probabilities_have_a_small_error_and_others_not() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=20_000)
    correct = rng.uniform(size=20_000) < scores
    assert measure_reliability(scores, correct).expected_calibration_error < 0.02
    assert measure_reliability(scores**3, correct).expected_calibration_error > 0.15


def test_every_score_falls_into_a_bin() -> None:
    measured = measure_reliability(np.array([0.0, 1.0, np.nan]), np.array([False, True, False]))
    assert [each.count for each in measured.bins] == [2, 1]
    assert measured.expected_calibration_error == 0.0
    assert measure_reliability([], np.zeros(0, dtype=bool)).expected_calibration_error == 0.0
