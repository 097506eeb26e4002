"""Depth cameras: every preset on a scene with a known answer, and random cameras."""

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.mesh import box, cylinder
from clipose_ros.data.synthetic.sensors.cameras import DEPTH_CAMERAS, random_depth_camera
from clipose_ros.data.synthetic.sensors.ray_images import RayScene
from clipose_ros.types import CameraIntrinsics

WINDOW = CameraIntrinsics(600.0, 600.0, 55.0, 50.0, 110, 100)


@pytest.fixture(scope="module")
def scene() -> RayScene:
    can = cylinder(0.033, 0.1).translated([0.0, 0.0, 0.7])
    return RayScene([can, box([3.0, 3.0, 0.02]).translated([0.0, 0.0, 0.95])], np.random.default_rng(0))


@pytest.mark.parametrize("name", DEPTH_CAMERAS)
def test_presets_measure_the_registered_depth_of_the_colour_image(name: str, scene: RayScene) -> None:
    camera = DEPTH_CAMERAS[name]
    depth = camera.measure(scene, np.eye(4), WINDOW, np.random.default_rng(0))
    body, _, true = scene.find_bodies(np.eye(4), WINDOW)
    assert depth.shape == true.shape and depth.dtype == np.float32
    inner = np.zeros(body.shape, bool)
    inner[25:75, 40:70] = True
    assert (body[inner] == 0).all()
    measured = inner & (depth > 0)
    assert measured.sum() > 0.85 * inner.sum()
    assert np.median(np.abs(depth - true)[measured]) < 0.006


def test_windows_of_one_image_are_alike(scene: RayScene) -> None:
    """A window that is larger does not move what it shares with a smaller one."""
    wide = CameraIntrinsics(600.0, 600.0, 75.0, 60.0, 150, 120)
    camera = DEPTH_CAMERAS["azure_kinect"]
    small, large = (camera.measure(scene, np.eye(4), window, np.random.default_rng(0)) for window in (WINDOW, wide))
    shared = large[10:110, 20:130]
    both = (small > 0) & (shared > 0)
    assert np.median(np.abs(small - shared)[both]) < 0.004


@pytest.mark.parametrize("seed", range(12))
def test_random_cameras_are_repeatable_and_valid(seed: int, scene: RayScene) -> None:
    first, again = (random_depth_camera(np.random.default_rng(seed)) for _ in range(2))
    assert first.sensor == again.sensor and first.focal_px == again.focal_px
    depth, same = (first.measure(scene, np.eye(4), WINDOW, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(depth, same)
    assert np.isfinite(depth).all() and (depth >= 0).all()
    assert (depth[30:70, 45:65] > 0).mean() > 0.5


def test_all_presets_are_drawn() -> None:
    rng = np.random.default_rng(0)
    assert {random_depth_camera(rng).name for _ in range(300)} == set(DEPTH_CAMERAS)


def test_an_empty_window_gives_no_depth() -> None:
    behind = RayScene([box([0.1, 0.1, 0.1]).translated([0.0, 0.0, -1.0])], np.random.default_rng(0))
    for camera in DEPTH_CAMERAS.values():
        assert not camera.measure(behind, np.eye(4), WINDOW, np.random.default_rng(0)).any()
