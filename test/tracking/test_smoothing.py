"""The filter is the same at any frame rate, off at zero, and never drags after a jump."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from clipose_ros.geometry.se3 import exp_se3, exp_so3, make_transform, rotation_angle_deg
from clipose_ros.tracking.smoothing import compute_gain, smooth_pose

transforms = arrays(np.float64, 6, elements=st.floats(-3, 3)).map(exp_se3)
strengths = st.floats(0.01, 0.99)


@given(strengths, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_two_intervals_weigh_as_their_sum(smoothing, first, second):
    left = (1 - compute_gain(smoothing, first)) * (1 - compute_gain(smoothing, second))
    assert left == pytest.approx(1 - compute_gain(smoothing, first + second))


def test_zero_is_off_even_between_frames_of_equal_time():
    assert compute_gain(0.0, 0.0) == compute_gain(0.0, 0.03) == 1.0
    assert compute_gain(0.6, 0.1) == pytest.approx(0.4)


@given(transforms, transforms)
def test_a_share_of_one_takes_the_measurement(old, new):
    assert np.allclose(smooth_pose(old, new, 1.0, 0.1), new, atol=1e-8)


@given(transforms, strengths)
def test_what_is_measured_again_stays(pose, share):
    assert np.allclose(smooth_pose(pose, pose, share, 0.1), pose, atol=1e-9)


@given(transforms, transforms, transforms, st.floats(0.05, 1.0))
def test_the_result_does_not_depend_on_the_frame(old, new, other, share):
    turn = (np.trace(old[:3, :3].T @ new[:3, :3]) - 1) / 2
    if turn < -0.999:  # near the half turn the geodesic itself is not unique
        return
    expected = other @ smooth_pose(old, new, share, 0.1)
    assert np.allclose(smooth_pose(other @ old, other @ new, share, 0.1), expected, atol=1e-6)


def test_small_deviations_get_the_constant_gain():
    new = make_transform(exp_so3([0.0, 0.0, 0.001]), [0.0001, 0.0, 0.0])
    smoothed = smooth_pose(np.eye(4), new, 0.3, 0.1)
    assert smoothed[0, 3] == pytest.approx(0.3 * 0.0001, rel=1e-3)
    assert rotation_angle_deg(smoothed[:3, :3], np.eye(3)) == pytest.approx(0.3 * np.degrees(0.001), rel=1e-3)


def test_jumps_are_taken_at_once():
    new = make_transform(exp_so3([0.0, 1.0, 0.0]), [0.11, 0.0, 0.0])
    assert np.allclose(smooth_pose(np.eye(4), new, 0.05, 0.1), new)


def test_a_moving_object_is_followed_closely_and_noise_is_damped():
    rng = np.random.default_rng(0)
    share = compute_gain(0.6, 1 / 30)
    pose, lags, noise = np.eye(4), [], []
    for k in range(300):
        truth = min(k, 150) * 0.3 / 30  # 0.3 m/s, then at rest
        pose = smooth_pose(pose, make_transform(np.eye(3), [truth + rng.normal(0, 0.003), 0, 0]), share, 0.075)
        (lags if 50 < k < 150 else noise if k > 200 else []).append(pose[0, 3] - truth)
    assert np.abs(lags).max() < 0.05
    assert np.std(noise) < 0.0015


def smoothed_one(old, new, share, jump_m):
    """The filter in scipy's words, one pose at a time."""
    R_old, R_new = Rotation.from_matrix(old[:3, :3]), Rotation.from_matrix(new[:3, :3])
    move, turn = new[:3, 3] - old[:3, 3], (R_old.inv() * R_new).as_rotvec()
    raised = [
        share + (1 - share) * min(1.0, deviation) ** 2
        for deviation in (np.linalg.norm(move) / jump_m, np.linalg.norm(turn) / np.radians(40.0))
    ]
    R = R_old * Rotation.from_rotvec(raised[1] * turn)
    return make_transform(R.as_matrix(), old[:3, 3] + raised[0] * move)


@given(arrays(np.float64, (5, 6), elements=st.floats(-0.5, 0.5)), st.lists(strengths, min_size=5, max_size=5))
def test_many_at_once_are_as_each_alone(twists, shares):
    old, new = exp_se3(twists), exp_se3(np.roll(twists, 1, axis=0))
    smoothed = smooth_pose(old, new, shares, 0.1)
    for k in range(5):
        assert np.allclose(smoothed[k], smoothed_one(old[k], new[k], shares[k], 0.1), atol=1e-9)
