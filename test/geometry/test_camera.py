"""Projection and back-projection: known pixels, inverses and invalid depth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipose_ros.errors import ShapeError
from clipose_ros.geometry.camera import backproject, backproject_pixels, project
from clipose_ros.types import CameraIntrinsics

CAMERA = CameraIntrinsics(500.0, 400.0, 31.5, 20.0, 64, 48)


def test_backproject_pixels_of_a_known_pixel():
    """x points right, y points down, z is the depth."""
    points = backproject_pixels(np.array([131.5]), np.array([60.0]), np.array([2.0]), CAMERA)
    assert np.allclose(points, [[0.4, 0.2, 2.0]])


@given(
    arrays(np.float64, 5, elements=st.floats(-100, 1000)),
    arrays(np.float64, 5, elements=st.floats(-100, 1000)),
    arrays(np.float64, 5, elements=st.floats(0.01, 50)),
)
def test_project_is_the_inverse_of_backproject(u, v, z):
    assert np.allclose(project(backproject_pixels(u, v, z, CAMERA), CAMERA), np.stack([u, v], axis=1), atol=1e-9)


def test_project_of_points_behind_the_camera_is_nan():
    assert np.isnan(project(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, -2.0]]), CAMERA)).all()


def test_backproject_agrees_with_single_pixels_and_is_nan_at_invalid_depth():
    depth = np.random.default_rng(0).uniform(0.5, 2.0, (48, 64)).astype(np.float32)
    depth[3, 4], depth[5, 6], depth[7, 8], depth[9, 10] = 0.0, np.nan, -1.0, np.inf
    points = backproject(depth, CAMERA)
    assert points.shape == (48, 64, 3) and points.dtype == np.float64
    assert np.isnan(points[[3, 5, 7, 9], [4, 6, 8, 10]]).all()
    assert np.isfinite(points).all(axis=-1).sum() == 48 * 64 - 4
    v, u = np.nonzero(np.isfinite(points[..., 2]))
    assert np.allclose(points[v, u], backproject_pixels(u, v, depth[v, u], CAMERA))


def test_backproject_of_a_box_is_a_crop():
    depth = np.random.default_rng(0).uniform(0.5, 2.0, (48, 64)).astype(np.float32)
    assert np.array_equal(backproject(depth, CAMERA, (10, 5, 30, 40)), backproject(depth, CAMERA)[5:40, 10:30])


def test_backproject_of_another_image_size_raises():
    with pytest.raises(ShapeError, match=r"depth must have shape \(48, 64\), got \(64, 48\)"):
        backproject(np.ones((64, 48), np.float32), CAMERA)
