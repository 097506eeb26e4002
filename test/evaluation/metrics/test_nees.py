"""Normalized estimation error squared."""

from __future__ import annotations

import numpy as np
import pytest

from clipose_ros.evaluation.metrics.nees import compute_nees, squared_axis_error, squared_error
from clipose_ros.geometry.se3 import exp_so3
from clipose_ros.tracking.covariance import pose_covariance


@pytest.mark.parametrize("dimensions", [2, 3])
def test_nees_of_consistent_errors_is_within_its_band(dimensions: int) -> None:
    rng = np.random.default_rng(0)
    A = rng.normal(size=(dimensions, dimensions))
    covariance = A @ A.T + np.eye(dimensions)
    errors = rng.multivariate_normal(np.zeros(dimensions), covariance, 2000)
    nees = compute_nees(np.array([squared_error(error, covariance) for error in errors]), dimensions)
    assert nees.objects == 2000 and nees.degrees_of_freedom == dimensions
    assert nees.band[0] < nees.mean < nees.band[1]
    assert nees.band[0] < dimensions < nees.band[1]
    assert nees.within_95 == pytest.approx(95.0, abs=1.5)


def test_nees_of_too_small_covariances_is_above_the_band() -> None:
    errors = np.random.default_rng(1).normal(size=(100, 3))
    nees = compute_nees(np.array([squared_error(error, 0.5 * np.eye(3)) for error in errors]), 3)
    assert nees.mean > nees.band[1] and nees.within_95 < 90.0


def test_squared_axis_error_has_two_dimensions_and_ignores_the_turn_about_the_axis() -> None:
    rng = np.random.default_rng(2)
    variances, values = np.array([0.01, 3.0, 0.04]), []
    for _ in range(1000):
        R_true = exp_so3(rng.normal(size=3))
        turn = np.sqrt(variances) * rng.normal(size=3)
        tilted = R_true @ exp_so3([turn[0], 0.0, turn[2]])
        R = tilted @ exp_so3([0.0, turn[1], 0.0])
        covariance = pose_covariance(tilted, np.ones(3), variances)[3:, 3:]
        values.append(squared_axis_error(R, R_true, covariance))
    nees = compute_nees(np.array(values), 2)
    assert nees.mean == pytest.approx(2.0, rel=0.1)
