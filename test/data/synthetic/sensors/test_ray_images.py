"""Ray-cast images: depth, normals, cosine, albedo and light of surfaces with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.data.synthetic.assets.mesh import box
from clipose_ros.data.synthetic.sensors.ray_images import RayScene
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.types import CameraIntrinsics

WINDOW = CameraIntrinsics(300.0, 310.0, 20.0, 12.0, 50, 30)


@given(tilt=st.floats(-50, 50), z=st.floats(0.3, 2.0))
@settings(max_examples=25, deadline=None)
def test_tilted_plane(tilt: float, z: float) -> None:
    plate = box([8.0, 8.0, 0.02]).translated([0.0, 0.0, 0.01]).rotated("x", tilt).translated([0.0, 0.0, z])
    view = RayScene([plate], np.random.default_rng(0), 0.0).cast(np.eye(4), WINDOW)
    normal = np.array([0.0, np.sin(np.radians(tilt)), -np.cos(np.radians(tilt))])
    u, v = np.meshgrid((np.arange(50) - 20.0) / 300.0, (np.arange(30) - 12.0) / 310.0)
    rays = np.stack([u, v, np.ones(u.shape)], axis=-1)
    expected = -z * np.cos(np.radians(tilt)) / (rays @ normal)
    np.testing.assert_allclose(view.depth, expected, rtol=1e-4)
    np.testing.assert_allclose(view.points, rays * expected[..., None], atol=2e-4)
    np.testing.assert_allclose(view.normals, np.broadcast_to(normal, view.normals.shape), atol=1e-5)
    np.testing.assert_allclose(view.cosine, -(rays @ normal) / np.linalg.norm(rays, axis=-1), atol=1e-5)
    assert (view.body == 0).all() and np.abs(view.albedo - 0.5).max() < 0.025


def test_rays_without_hit_are_zero_and_bodies_agree() -> None:
    boxes = [
        box([0.04, 0.04, 0.04]).translated([x, 0.0, 0.6]).painted(np.full(3, a)) for x, a in ((0, 0.2), (0.05, 0.8))
    ]
    scene = RayScene(boxes, np.random.default_rng(0))
    view, bodies = scene.cast(np.eye(4), WINDOW), scene.find_bodies(np.eye(4), WINDOW)
    empty = view.body < 0
    assert empty.any() and set(np.unique(view.body)) == {-1, 0, 1}
    for image in (view.depth, view.cosine, view.albedo, view.normals):
        assert not image[empty].any()
    np.testing.assert_array_equal(bodies.body, view.body)
    np.testing.assert_array_equal(bodies.face, view.face)
    np.testing.assert_array_equal(bodies.depth, view.depth)
    assert view.albedo[view.body == 0].max() < 0.35 < view.albedo[view.body == 1].min()


def test_texture_is_fixed_to_the_world() -> None:
    plate = box([2.0, 2.0, 0.02]).translated([0.0, 0.0, 0.81])
    scene = RayScene([plate], np.random.default_rng(4), 0.6)
    moved = make_transform(np.eye(3), np.array([0.8 * 10 / 300.0, 0.0, 0.0]))
    first, second = scene.cast(np.eye(4), WINDOW), scene.cast(moved, WINDOW)
    np.testing.assert_allclose(second.albedo[:, :-10], first.albedo[:, 10:], atol=2e-3)
    assert first.albedo.std() > 0.003


@pytest.mark.parametrize("x", [-0.3, 0.3])
def test_light_is_blocked_on_the_side_away_from_its_source(x: float) -> None:
    post = box([0.02, 1.0, 0.02]).translated([0.0, 0.0, 0.5])
    wall = box([2.0, 2.0, 0.02]).translated([0.0, 0.0, 0.71])
    scene = RayScene([post, wall], np.random.default_rng(0))
    window = CameraIntrinsics(100.0, 100.0, 40.0, 5.0, 81, 11)
    view = scene.cast(np.eye(4), window)
    lit = scene.find_lit(view, np.array([x, 0.0, 0.0]))
    dark = (~lit & (view.body == 1)).any(axis=0)
    columns = np.flatnonzero(dark) - 40
    assert len(columns) and (np.sign(columns) == -np.sign(x)).all()
