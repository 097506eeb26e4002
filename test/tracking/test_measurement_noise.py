"""Noise of measurements: monotone in confidence and coverage, valid in every case."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.geometry.se3 import make_transform
from clipose_ros.tracking.measurement_noise import (
    USUAL_COVERAGE,
    bias_correlation,
    estimate_noise,
    silhouette_coverage,
)

unit = st.floats(0.0, 1.0)
SIZE = np.array([[0.1, 0.2, 0.1]])


def noise(confidence_y=0.9, confidence_x=0.9, axial=False, coverage=USUAL_COVERAGE, size=SIZE):
    return estimate_noise(size, np.array([[confidence_y, confidence_x]]), np.array([axial]), np.array([coverage])).row(
        0
    )


@given(unit, unit, st.booleans(), st.floats(0.0, 2.0))
def test_noise_is_positive_and_finite(confidence_y, confidence_x, axial, coverage):
    found = noise(confidence_y, confidence_x, axial, coverage)
    for part in (found.position, found.rotation, found.size):
        assert (part.white > 0.0).all() and (part.bias > 0.0).all() and np.isfinite(part.total).all()
    assert 0.0 < found.flip_probability <= 0.5


@given(unit, unit, unit)
def test_lower_confidence_never_means_less_noise(low, high, confidence_x):
    low, high = sorted((low, high))
    sure, unsure = noise(high, confidence_x), noise(low, confidence_x)
    assert (unsure.position.total >= sure.position.total).all()
    assert unsure.rotation.total[0] >= sure.rotation.total[0]
    assert unsure.flip_probability >= sure.flip_probability


def test_tilt_of_a_confidence_is_the_axis_error_that_it_stands_for():
    error = 0.2  # chord between predicted and true axis
    tilt = noise(np.exp(-13.7 * error**2)).rotation.total[[0, 2]]
    assert tilt.sum() == pytest.approx(error**2, rel=1e-6)


def test_half_covered_objects_have_larger_noise_of_position_and_size():
    whole, half = noise(coverage=0.6), noise(coverage=0.3)
    assert (half.position.total > 3.0 * whole.position.total).all() and (half.size.total > whole.size.total).all()


def test_measured_turn_of_an_axially_symmetric_object_carries_no_information():
    assert noise(axial=True).rotation.white[1] > 1e3


def test_coverage_is_the_share_of_the_silhouette_that_points_cover():
    T, size = make_transform(np.eye(3), [0.0, 0.0, 1.0]), np.array([0.2, 0.2, 0.2])
    u, v = np.meshgrid(np.linspace(-0.1, 0.1, 21), np.linspace(-0.1, 0.1, 21))
    front = np.stack([u.ravel(), v.ravel(), np.full(u.size, 0.9)], axis=1)
    assert silhouette_coverage(front, T, size) == pytest.approx(1.0, abs=1e-4)
    assert silhouette_coverage(front[front[:, 0] < 1e-9], T, size) == pytest.approx(0.5, abs=1e-4)
    assert silhouette_coverage(front, make_transform(np.eye(3), np.zeros(3)), size) == USUAL_COVERAGE


@pytest.mark.parametrize("depth", [1e-45, 1e-30, 1e-5])
def test_coverage_of_a_point_almost_beside_the_camera_is_the_usual_one(depth):
    T, size = make_transform(np.eye(3), [0.0, 0.0, 1.0]), np.array([0.2, 0.2, 0.2])
    points = np.array([[0.0, 0.0, 0.9], [0.1, 0.0, 0.9], [0.1, 0.1, depth]])
    assert silhouette_coverage(points, T, size) == USUAL_COVERAGE


def test_coverage_of_points_on_one_ray_is_none():
    T, size = make_transform(np.eye(3), [0.0, 0.0, 1.0]), np.array([0.2, 0.2, 0.2])
    points = np.array([[0.0, -0.0, 0.9], [-0.0, 0.0, 0.95], [0.0, 0.0, 1.0], [-0.0, -0.0, 1.0]])
    assert silhouette_coverage(points, T, size) == 0.0
    assert np.isfinite(noise(coverage=0.0).position.total).all()


def test_biases_of_a_changing_view_decorrelate():
    assert bias_correlation(0.0, 0.0) == 1.0
    assert bias_correlation(0.5, 0.1) < bias_correlation(0.1, 0.1) < 1.0
