"""Statistics of depth images with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from clipose_ros.data.synthetic.sensors.cameras import DEPTH_CAMERAS
from clipose_ros.data.synthetic.sensors.compare_cameras import draw_depth, main, simulate_tables
from clipose_ros.data.synthetic.sensors.depth_statistics import measure_statistics
from clipose_ros.types import CameraIntrinsics, FloatArray

FOCAL = 600.0


def plane(noise: float = 0.0, seed: int = 0) -> FloatArray:
    """Return a tilted plane with white noise of inverse depth, 1/m."""
    v, u = np.indices((120, 160))
    inverse = 1.0 + 2e-4 * u - 5e-4 * v
    return 1.0 / (inverse + noise * np.random.default_rng(seed).standard_normal(inverse.shape))


@pytest.mark.parametrize("noise", [1e-3, 4e-3])
def test_white_noise_of_a_tilted_plane(noise: float) -> None:
    statistics = measure_statistics([plane(noise)], FOCAL)
    # Three of 225 degrees of freedom are fitted.
    assert statistics.plane_mm[2] == pytest.approx(1e3 * noise, rel=0.05)
    np.testing.assert_allclose(statistics.correlation, 0.0, atol=0.05)
    assert statistics.invalid == 0.0 and np.isnan(statistics.left_shadow_mm)


def test_a_plane_without_noise_has_no_deviation() -> None:
    assert max(measure_statistics([plane()], FOCAL).plane_mm) < 1e-9


@pytest.mark.parametrize("side", ["left", "right"])
def test_shadows_give_the_baseline_on_their_side(side: str) -> None:
    near, far, baseline = 0.6, 0.9, 0.05
    width = round(FOCAL * baseline * (1 / near - 1 / far))
    image = np.full((60, 200), far)
    image[:, 90:130] = near
    image[:, (90 - width if side == "left" else 130) : (90 if side == "left" else 130 + width)] = 0.0
    statistics = measure_statistics([image], FOCAL)
    found = {"left": statistics.left_shadow_mm, "right": statistics.right_shadow_mm}
    assert found.pop(side) == pytest.approx(50.0, rel=0.05)
    assert np.isnan(next(iter(found.values())))


def test_holes_within_a_surface_and_far_surfaces_are_no_shadows() -> None:
    image = np.full((60, 200), 0.8)
    image[:, 50:53] = 0.0
    image[:, 150:] = 3.0
    statistics = measure_statistics([image], FOCAL)
    assert statistics.hole_px == 3 and np.isnan(statistics.left_shadow_mm) and np.isnan(statistics.right_shadow_mm)
    assert statistics.invalid == pytest.approx(3 / 200)


def test_simulated_camera_is_compared_and_drawn(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    small = CameraIntrinsics(150.0, 150.0, 79.5, 59.5, 160, 120)
    (depth,) = simulate_tables(DEPTH_CAMERAS["azure_kinect"], small, 1)
    assert depth.shape == (120, 160) and (depth > 0).mean() > 0.3
    assert draw_depth([depth, depth]).shape == (60, 160, 3)
    main(["kinect_v2", "--tables", "1", "--out", str(tmp_path / "x.png")])
    assert "kinect_v2: planes" in capsys.readouterr().out and (tmp_path / "x.png").exists()
