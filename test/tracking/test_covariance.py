"""Covariances are valid, follow the variances given, and turn with the object."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipose_ros.geometry.se3 import exp_so3, rotate_covariance
from clipose_ros.inference.rotation_correction import FREE_TURN
from clipose_ros.tracking.covariance import pose_covariance

rotations = arrays(np.float64, 3, elements=st.floats(-3, 3)).map(exp_so3)
variances = arrays(np.float64, 3, elements=st.floats(1e-8, 1e6))


@given(rotations, variances, variances)
def test_covariance_is_valid_for_any_variances(R, position, rotation):
    covariance = pose_covariance(R, position, rotation)
    assert np.array_equal(covariance, covariance.T)
    assert np.isfinite(covariance).all() and np.linalg.eigvalsh(covariance).min() > 0.0
    assert np.linalg.eigvalsh(covariance[3:, 3:]).max() <= FREE_TURN + 1e-6


@given(rotations, rotations, st.floats(1e-6, 1.0), variances)
def test_covariance_turns_with_the_object(R, Q, position, rotation):
    both = pose_covariance(np.stack([R, Q @ R]), np.full((2, 3), position), np.stack([rotation, rotation]))
    assert np.allclose(both[1], rotate_covariance(both[0], Q))


def test_free_turn_is_about_the_y_axis_of_the_object():
    R = exp_so3([0.0, 0.0, np.pi / 2])  # the object's y points along -x
    turns = pose_covariance(R, np.ones(3), [0.01, np.inf, 0.01])[3:, 3:]
    assert np.allclose(turns, np.diag([FREE_TURN, 0.01, 0.01]))
