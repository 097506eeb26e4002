"""Ray casting: pixel rays and depth of hits."""

from __future__ import annotations

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.mesh import box
from clipose_ros.data.synthetic.raycast import build_embree_scene, compute_ray_directions, find_intersections
from clipose_ros.errors import DataError
from clipose_ros.geometry.camera import project
from clipose_ros.types import CameraIntrinsics

K = CameraIntrinsics(200.0, 210.0, 79.5, 59.5, 160, 120)


def test_ray_directions_project_to_their_pixels():
    rays = compute_ray_directions(K)
    u, v = np.meshgrid(np.arange(K.width), np.arange(K.height))
    np.testing.assert_allclose(project(rays, K), np.stack([u.ravel(), v.ravel()], axis=1), atol=1e-3)
    np.testing.assert_array_equal(rays[:, 2], 1.0)


def test_ray_directions_are_cached_and_read_only():
    assert compute_ray_directions(K) is compute_ray_directions(K)
    with pytest.raises(ValueError, match="read-only"):
        compute_ray_directions(K)[0] = 0


def test_scene_without_meshes_raises():
    with pytest.raises(DataError, match="at least one"):
        build_embree_scene([])


def test_intersection_distance_is_the_depth_of_the_nearest_mesh():
    near, far = (box([0.2, 0.2, 0.2]).translated([0, 0, z]) for z in (1.1, 2.1))
    directions = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.01, 0.02, 1.0]], np.float32)
    found = find_intersections(build_embree_scene([far, near]), np.zeros((3, 3), np.float32), directions)
    assert found.rays.tolist() == [1, 2], "the first ray hits nothing"
    assert found.body.tolist() == [1, 1]
    np.testing.assert_allclose(found.distance, 1.0, atol=1e-5)
    np.testing.assert_allclose(np.abs(found.normals[:, 2]) / np.linalg.norm(found.normals, axis=1), 1.0)
