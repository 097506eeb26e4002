"""Similarity fits: recovery of known transforms, outliers, and errors for degenerate points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipose_ros.errors import DegenerateInputError, ShapeError
from clipose_ros.geometry.se3 import exp_so3, rotation_angle_deg
from clipose_ros.geometry.similarity import Similarity, fit_similarity, fit_similarity_ransac

similarities = st.builds(
    Similarity,
    arrays(np.float64, 3, elements=st.floats(-3, 3)).map(exp_so3),
    arrays(np.float64, 3, elements=st.floats(-5, 5)),
    st.floats(0.01, 10),
)


def rotation_error(fit, truth):
    return rotation_angle_deg(fit.R, truth.R)


@given(similarities, st.integers(3, 50), st.integers(0, 2**31))
def test_fit_recovers_similarity(truth, count, seed):
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (count, 3))
    points[:3] = [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]]  # never collinear
    fit = fit_similarity(points, truth.apply(points))
    assert rotation_error(fit, truth) < 1e-5
    assert np.linalg.det(fit.R) == pytest.approx(1.0)
    assert fit.t == pytest.approx(truth.t, abs=1e-6)
    assert fit.scale == pytest.approx(truth.scale)


@given(similarities, st.integers(0, 2**31))
def test_fit_to_coplanar_points_is_no_reflection(truth, seed):
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (30, 3)) * [1, 1, 0]
    fit = fit_similarity(points, truth.apply(points))
    assert np.linalg.det(fit.R) == pytest.approx(1.0)
    assert rotation_error(fit, truth) < 1e-5
    assert fit.t == pytest.approx(truth.t, abs=1e-6)
    assert fit.scale == pytest.approx(truth.scale)


@given(similarities, st.integers(0, 2**31))
def test_fit_to_mirrored_points_is_no_reflection(truth, seed):
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (30, 3))
    assert np.linalg.det(fit_similarity(points, truth.apply(points * [1, 1, -0.5])).R) == pytest.approx(1.0)


@given(st.integers(2, 20), st.integers(0, 2**31))
def test_fit_to_collinear_points_raises(count, seed):
    rng = np.random.default_rng(seed)
    line = rng.normal(size=3) + np.outer(rng.normal(size=count + 1), rng.normal(size=3))
    cloud = rng.normal(size=(count + 1, 3))
    with pytest.raises(DegenerateInputError, match="points_object.*collinear"):
        fit_similarity(line, cloud)
    with pytest.raises(DegenerateInputError, match="collinear"):
        fit_similarity(cloud, line)


def test_fit_to_equal_points_raises():
    with pytest.raises(DegenerateInputError, match="collinear"):
        fit_similarity(np.ones((5, 3)), np.ones((5, 3)))


@pytest.mark.parametrize(("source", "target"), [((2, 3), (2, 3)), ((5, 3), (4, 3)), ((5, 2), (5, 2)), ((3,), (3,))])
def test_fit_to_wrong_shapes_raises(source, target):
    with pytest.raises(ShapeError, match="points_object and points_camera"):
        fit_similarity(np.zeros(source), np.zeros(target))


def test_fit_to_points_that_are_not_finite_raises():
    with pytest.raises(DegenerateInputError, match="finite"):
        fit_similarity(np.full((4, 3), np.nan), np.zeros((4, 3)))


@given(similarities.filter(lambda s: s.scale < 1.0), st.integers(0, 2**31))
def test_ransac_ignores_outliers(truth, seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.5, 0.5, (200, 3))
    target = truth.apply(points)
    target[:60] += rng.uniform(2.0, 3.0, (60, 3))
    fit, inliers = fit_similarity_ransac(points, target, rng, inlier_m=0.001)
    assert rotation_error(fit, truth) < 1e-5
    assert fit.scale == pytest.approx(truth.scale)
    assert not inliers[:60].any() and inliers[60:].all()


def test_ransac_without_inliers_raises():
    rng = np.random.default_rng(0)
    points, target = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    with pytest.raises(DegenerateInputError, match="no similarity fits 4 of 50 pairs within 1e-06 m"):
        fit_similarity_ransac(points, target, np.random.default_rng(1), inlier_m=1e-6)


def test_ransac_is_deterministic():
    rng = np.random.default_rng(0)
    points, target = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    target[:30] = 0.3 * points[:30] + 1.0
    fits = [fit_similarity_ransac(points, target, np.random.default_rng(1))[0] for _ in range(2)]
    assert np.array_equal(fits[0].R, fits[1].R) and np.array_equal(fits[0].t, fits[1].t)


def test_rigid_part_has_rotation_and_translation_without_scale():
    fit = Similarity(exp_so3([0.0, 1.0, 0.0]), np.array([1.0, 2.0, 3.0]), 2.0)
    assert np.array_equal(fit.T_camera_object[:3, :3], fit.R) and np.array_equal(fit.T_camera_object[:3, 3], fit.t)
