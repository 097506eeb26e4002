"""Rasterized infrared images against ray-cast ones, and shadows of projectors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.synthetic.assets.household.shapes import make_household_object
from clipose_ros.data.synthetic.assets.mesh import Mesh, box
from clipose_ros.data.synthetic.object_scenes import ObjectSceneConfig, make_object_scene
from clipose_ros.data.synthetic.sensors.cameras import DEPTH_CAMERAS
from clipose_ros.data.synthetic.sensors.lighting import Lamp
from clipose_ros.data.synthetic.sensors.raster_images import RasterScene
from clipose_ros.data.synthetic.sensors.ray_images import RayScene
from clipose_ros.data.synthetic.viewpoints import look_at
from clipose_ros.types import CameraIntrinsics, FloatArray

WINDOW = CameraIntrinsics(300.0, 302.0, 70.0, 45.0, 140, 90)


def make_scenes(seed: int) -> tuple[RasterScene, RayScene]:
    names = NOCS_CATEGORIES.names
    scene = make_object_scene(np.random.default_rng(seed), ObjectSceneConfig(), names, make_household_object)
    bodies = zip(scene.objects, scene.T_world_objects, strict=True)
    meshes = [*(item.mesh.transformed(T) for item, T in bodies), *scene.others]
    return RasterScene(meshes, np.random.default_rng(seed)), RayScene(meshes, np.random.default_rng(seed))


def make_lamp(T: FloatArray, casts_shadows: bool) -> Lamp:
    return Lamp(T, 0.04, 300.0, 0.3, 1.5, 0.1, np.array([11.5, 470.25]), casts_shadows)


@given(seed=st.integers(0, 2**31), casts_shadows=st.booleans())
@settings(max_examples=16, deadline=None)
def test_brightness_and_surfaces_equal_those_of_rays(seed: int, casts_shadows: bool) -> None:
    rng = np.random.default_rng(seed)
    T = look_at(rng.uniform([-0.7, -0.7, 0.2], [0.7, 0.7, 0.7]), rng.normal(0.0, 0.05, 3), rng.uniform(-30, 30))
    fast, exact = (scene.view(T, WINDOW) for scene in make_scenes(seed))
    assert np.quantile(np.abs(fast.depth - exact.depth), 0.9) < 1e-5
    assume(np.median(exact.depth) > 0.05)  # a camera that touches a surface has its projector on or in it
    brightness, expected = (view.light(make_lamp(T, casts_shadows)) for view in (fast, exact))
    # Surfaces right before the projector are very bright.
    error = np.abs(brightness - expected) / (0.05 + expected)
    # The rasterizer rounds the edges of shadows to pixels.
    assert np.quantile(error, 0.75 if casts_shadows else 0.9) < 2e-3
    assert np.minimum(error, 1.0).mean() < 0.05
    for name in ("normals", "cosine", "albedo", "points"):
        values, true_values = (getattr(view.find_surfaces(), name) for view in (fast, exact))
        assert np.quantile(np.abs(values - true_values), 0.9) < 1e-3, name


@given(seed=st.integers(0, 2**31))
@settings(max_examples=10, deadline=None)
def test_bodies_equal_those_of_rays(seed: int) -> None:
    T = look_at(np.array([0.4, -0.5, 0.35]), np.array([0.0, 0.0, 0.05]))
    fast, exact = (scene.find_bodies(T, WINDOW) for scene in make_scenes(seed))
    same = fast.body == exact.body
    assert same.mean() > 0.999
    # Faces of overlapping parts may lie in one plane, so faces are compared by their depth.
    assert np.quantile(np.abs(fast.depth - exact.depth)[same], 0.9) < 1e-5
    near_far = make_scenes(seed)[0].find_depth_range(T, WINDOW)
    coarse = fast.depth[::6, ::6]
    assert near_far == pytest.approx((coarse[coarse > 0].min(), coarse.max()), rel=1e-6)


@pytest.mark.parametrize("x", [-0.3, 0.3])
def test_shadow_lies_on_the_side_away_from_the_projector(x: float) -> None:
    meshes = [
        box([0.02, 1.0, 0.02]).translated([0.0, 0.0, 0.5]),
        box([2.0, 2.0, 0.02]).translated([0.0, 0.0, 0.71]),
    ]
    window = CameraIntrinsics(100.0, 100.0, 40.0, 5.0, 81, 11)
    view = RasterScene(meshes, np.random.default_rng(0), 0.0).view(np.eye(4), window)
    lamp = Lamp(np.eye(4), x, 100.0, 0.0, 1.0, 0.5, np.zeros(2), True)
    columns = np.flatnonzero((view.light(lamp) == 0).all(axis=0)) - 40
    expected = -100.0 * x * (1 / 0.49 - 1 / 0.7)
    assert len(columns) and (np.sign(columns) == -np.sign(x)).all()
    assert columns.mean() == pytest.approx(expected, abs=3.0)


@pytest.mark.parametrize("name", DEPTH_CAMERAS)
def test_depth_cameras_measure_both_scenes_alike(name: str) -> None:
    can: Mesh = make_household_object("can", np.random.default_rng(1)).mesh.translated([0.0, 0.0, 0.7])
    meshes = [can, box([3.0, 3.0, 0.02]).translated([0.0, 0.0, 0.95])]
    depths = [
        DEPTH_CAMERAS[name].measure(kind(meshes, np.random.default_rng(0)), np.eye(4), WINDOW, np.random.default_rng(2))
        for kind in (RasterScene, RayScene)
    ]
    valid = [depth > 0 for depth in depths]
    assert (valid[0] == valid[1]).mean() > 0.97
    both = valid[0] & valid[1]
    assert np.quantile(np.abs(depths[0] - depths[1])[both], 0.9) < 3e-3


def test_nothing_in_view() -> None:
    scene = RasterScene([box([0.1, 0.1, 0.1]).translated([0.0, 0.0, -1.0])], np.random.default_rng(0))
    assert scene.find_depth_range(np.eye(4), WINDOW) is None
    view = scene.view(np.eye(4), WINDOW)
    assert not view.light(make_lamp(np.eye(4), True)).any() and not view.find_surfaces().albedo.any()
    for camera in DEPTH_CAMERAS.values():
        assert not camera.measure(scene, np.eye(4), WINDOW, np.random.default_rng(0)).any()
