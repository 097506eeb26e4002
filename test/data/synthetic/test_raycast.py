"""Ray casting: pixel rays, depth of hits, and visible shares of silhouettes."""

from __future__ import annotations

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.mesh import box, ellipsoid
from clipose_ros.data.synthetic.raycast import (
    Silhouette,
    build_embree_scene,
    compute_ray_directions,
    find_intersections,
)
from clipose_ros.errors import DataError
from clipose_ros.geometry.camera import project
from clipose_ros.types import CameraIntrinsics

K = CameraIntrinsics(200.0, 210.0, 79.5, 59.5, 160, 120)
EVERYWHERE = np.ones((120, 160), bool)


def at(x, y, z):
    T = np.eye(4)
    T[:3, 3] = x, y, z
    return T


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


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_visible_fraction_is_the_share_of_the_mask(share):
    silhouette = Silhouette(box([0.3, 0.3, 0.1]))
    mask = EVERYWHERE.copy()
    projected = 200.0 * 0.3 / 0.95
    left = round(79.5 - projected / 2 + share * projected)
    mask[:, left:] = False
    visible, _ = silhouette.measure_visibility(at(0, 0, 1), K, mask)
    assert visible == pytest.approx(share, abs=0.05)


def test_visible_pixels_are_the_projected_area():
    _, pixels = Silhouette(ellipsoid([0.1, 0.1, 0.1])).measure_visibility(at(0, 0, 1), K, EVERYWHERE)
    assert pixels == pytest.approx(np.pi * (200.0 * 0.1) * (210.0 * 0.1), rel=0.05)


def test_object_outside_the_image_is_not_visible():
    visible, pixels = Silhouette(box([0.2, 0.2, 0.2])).measure_visibility(at(5, 0, 1), K, EVERYWHERE)
    assert (visible, pixels) == (0.0, 0)


def test_object_at_the_image_border_is_partly_visible():
    visible, _ = Silhouette(box([0.2, 0.2, 0.01])).measure_visibility(at(-0.3975, 0, 1), K, EVERYWHERE)
    assert visible == pytest.approx(0.5, abs=0.06)


def test_object_behind_the_camera_is_not_visible():
    assert Silhouette(box([0.2, 0.2, 0.2])).measure_visibility(at(0, 0, 0.05), K, EVERYWHERE) == (0.0, 0)
