"""Covariances are valid, say where the uncertainty lies, and turn with the object."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipose_ros.geometry.se3 import exp_so3, rotate_covariance
from clipose_ros.tracking.covariance import pose_covariance

rotations = arrays(np.float64, 3, elements=st.floats(-3, 3)).map(exp_so3)
unit = st.floats(0.0, 1.0)
SIZE = np.array([0.1, 0.2, 0.1])


@given(rotations, unit, unit, unit, st.booleans(), st.floats(0, 1))
def test_valid_in_any_case(R, score, sure_y, sure_x, axial, drift):
    covariance = pose_covariance(R, SIZE, score, (sure_y, sure_x), axial, drift)
    assert covariance.shape == (6, 6)
    assert np.array_equal(covariance, covariance.T)
    assert np.isfinite(covariance).all() and np.linalg.eigvalsh(covariance).min() > 0.0


@given(rotations, rotations, unit, unit, unit)
def test_it_turns_with_the_object(R, Q, score, sure_y, sure_x):
    turned = pose_covariance(Q @ R, SIZE, score, (sure_y, sure_x), True)
    assert np.allclose(turned, rotate_covariance(pose_covariance(R, SIZE, score, (sure_y, sure_x), True), Q))


@given(rotations, unit)
def test_the_turn_about_a_symmetry_axis_is_unknown(R, sure_y):
    turns = pose_covariance(R, SIZE, 0.9, (sure_y, 0.0), True)[3:, 3:]
    y = R[:, 1]
    assert y @ turns @ y == pytest.approx(np.pi**2 / 3)
    assert np.allclose(turns @ y, np.pi**2 / 3 * y)


def test_axis_confidence_is_read_back_as_the_error_it_was_trained_on():
    error = np.radians(10.0)
    confidence = np.exp(-13.7 * error**2)
    turns = np.diag(pose_covariance(np.eye(3), SIZE, 0.9, (confidence, confidence), False))[3:]
    assert turns[0] + turns[2] == pytest.approx(error**2)
    assert turns[1] + turns[2] == pytest.approx(error**2)


def test_less_confidence_means_more_variance():
    sure = np.diag(pose_covariance(np.eye(3), SIZE, 0.9, (0.95, 0.95), False))
    unsure = np.diag(pose_covariance(np.eye(3), SIZE, 0.3, (0.5, 0.2), False))
    assert (unsure > sure).all()
    drifted = np.diag(pose_covariance(np.eye(3), SIZE, 0.9, (0.95, 0.95), False, drift_m=0.1))
    assert np.allclose(drifted[:3] - sure[:3], 0.01)


@given(arrays(np.float64, (4, 3), elements=st.floats(-3, 3)), arrays(np.float64, (4, 3), elements=st.floats(0.01, 1)))
def test_many_at_once_are_as_each_alone(phis, figures):
    axial, drift = np.array([True, False, True, False]), np.array([0.0, 0.1, 0.2, 0.0])
    both = pose_covariance(exp_so3(phis), figures, figures[:, 0], figures[:, 1:], axial, drift)
    for k in range(4):
        alone = pose_covariance(exp_so3(phis[k]), figures[k], figures[k, 0], figures[k, 1:], axial[k], drift[k])
        assert np.allclose(both[k], alone, rtol=1e-12)
