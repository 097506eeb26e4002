"""Camera poses: look-at transforms, random viewpoints and the orbit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.data.synthetic.scenes import make_scene
from clipose_ros.data.synthetic.viewpoints import Orbit, look_at, random_view
from clipose_ros.errors import DegenerateInputError
from clipose_ros.geometry.se3 import invert_transform, rotation_angle_deg, transform_points

coordinates = st.floats(-3.0, 3.0)


@given(eye=st.tuples(coordinates, coordinates, coordinates), target=st.tuples(coordinates, coordinates, coordinates))
@settings(max_examples=60, deadline=None)
def test_look_at_centres_the_target_with_a_level_horizon(eye, target):
    eye, target = np.array(eye), np.array(target)
    if np.hypot(*(target - eye)[:2]) < 1e-3:
        return
    T = look_at(eye, target)
    target_camera = transform_points(invert_transform(T), target[None])[0]
    np.testing.assert_allclose(target_camera, [0, 0, np.linalg.norm(target - eye)], atol=1e-9)
    assert T[2, 0] == pytest.approx(0.0, abs=1e-9)  # x axis level
    assert T[2, 1] <= 0.0  # y axis down
    np.testing.assert_allclose(T[:3, 3], eye)
    assert np.linalg.det(T[:3, :3]) == pytest.approx(1.0)


def test_look_at_rolls_clockwise_about_the_optical_axis():
    level, rolled = (look_at(np.array([0.0, -1.0, 0.0]), np.zeros(3), roll) for roll in (0.0, 90.0))
    np.testing.assert_allclose(level[:3, :3], np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]), atol=1e-12)
    np.testing.assert_allclose(rolled[:3, 2], level[:3, 2], atol=1e-12)
    np.testing.assert_allclose(rolled[:3, 0], level[:3, 1], atol=1e-12)  # the rolled x axis is the level y axis


def test_look_at_straight_down_raises():
    with pytest.raises(DegenerateInputError, match="no horizon"):
        look_at(np.array([0.0, 0.0, 1.0]), np.zeros(3))


def test_random_view_is_above_the_objects_within_the_distance_range():
    scene = make_scene(np.random.default_rng(0))
    for seed in range(30):
        T = random_view(np.random.default_rng(seed), scene, (0.5, 1.0))
        assert T[2, 3] > 0.0 and T[2, 2] < 0.0
        centres = np.array([item.T_world_object[:3, 3] for item in scene.objects])
        assert 0.2 < np.linalg.norm(centres - T[:3, 3], axis=1).min() < 1.2


def test_orbit_is_smooth_and_periodic_with_its_target_in_view():
    orbit = Orbit(period_s=20.0)
    np.testing.assert_allclose(orbit.T_world_camera(0.0), orbit.T_world_camera(20.0), atol=1e-9)
    previous = orbit.T_world_camera(0.0)
    for time in np.arange(0.05, 20.0, 0.05):
        T = orbit.T_world_camera(time)
        assert np.linalg.norm(T[:3, 3] - previous[:3, 3]) < 0.05 * 0.6, "less than 0.6 m/s"
        assert rotation_angle_deg(T[:3, :3], previous[:3, :3]) < 2.0
        target_camera = transform_points(invert_transform(T), np.array([orbit.target]))[0]
        assert target_camera[2] > 0.5 and np.abs(target_camera[:2] / target_camera[2]).max() < 0.1
        previous = T
