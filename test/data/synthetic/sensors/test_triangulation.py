"""Stereo and structured light: quantization, shadows, light and texture."""

from dataclasses import replace

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.mesh import Mesh, box
from clipose_ros.data.synthetic.sensors.ray_images import RayScene
from clipose_ros.data.synthetic.sensors.triangulation import TriangulationSensor, measure_by_triangulation
from clipose_ros.types import CameraIntrinsics, FloatArray

FOCAL = 450.0
WINDOW = CameraIntrinsics(FOCAL, FOCAL, 70.0, 40.0, 140, 80)
STEREO = TriangulationSensor(quantum_mm=0.0)
STRUCTURED_LIGHT = replace(
    STEREO, is_stereo=False, ambient=0.1, disparity_step_px=1 / 8, baseline_m=0.075, min_contrast=0.03
)
SENSORS = [STEREO, STRUCTURED_LIGHT]
NEAR, FAR = 0.6, 0.8


def wall(z: float, albedo: float = 0.5) -> Mesh:
    return box([4.0, 4.0, 0.02]).translated([0.0, 0.0, z + 0.01]).painted(np.full(3, albedo))


def post(z: float) -> Mesh:
    """Return a wide post with its front at z and its centre on the optical axis."""
    return box([0.06, 2.0, 0.02]).translated([0.0, 0.0, z + 0.01])


def measure(meshes: list[Mesh], sensor: TriangulationSensor, seed: int = 0, contrast: float = 0.6) -> FloatArray:
    scene = RayScene(meshes, np.random.default_rng(1), contrast)
    return measure_by_triangulation(scene, np.eye(4), WINDOW, sensor, np.random.default_rng(seed))


@pytest.mark.parametrize("sensor", SENSORS, ids=["stereo", "structured_light"])
@pytest.mark.parametrize("z", [0.5, 0.83, 1.4])
def test_plane_is_measured_within_a_tenth_of_a_pixel(sensor: TriangulationSensor, z: float) -> None:
    depth = measure([wall(z)], sensor)
    disparity = FOCAL * sensor.baseline_m / depth[depth > 0]
    error = disparity - FOCAL * sensor.baseline_m / z
    assert (depth > 0).mean() > 0.95
    assert abs(np.median(error)) < 0.1
    assert np.median(np.abs(error)) < 0.1


@pytest.mark.parametrize("step", [1 / 4, 1 / 8])
def test_depth_is_quantized_to_steps_of_the_disparity(step: float) -> None:
    """Neighbouring depths differ by z^2 step / (f b)."""
    sensor = replace(STEREO, disparity_step_px=step)
    depth = measure([wall(0.9), box([0.1, 0.1, 0.1]).rotated("y", 30).translated([0, 0, 0.8])], sensor)
    disparity = FOCAL * sensor.baseline_m / depth[depth > 0].astype(np.float64)
    np.testing.assert_allclose(disparity / step, np.rint(disparity / step), atol=1e-3)
    values = np.unique(depth[depth > 0])
    gaps = np.diff(values)
    expected = values[1:] * values[:-1] * step / (FOCAL * sensor.baseline_m)
    assert np.min(gaps / expected) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("sensor", SENSORS, ids=["stereo", "structured_light"])
def test_shadow_lies_left_of_near_surfaces_and_has_the_width_of_the_parallax(sensor: TriangulationSensor) -> None:
    depth = measure([post(NEAR), wall(FAR)], replace(sensor, smooth_px=0.0, block_px=5))
    half = 0.03 / NEAR * FOCAL
    left, right = round(70 - half), round(70 + half)
    width = FOCAL * sensor.baseline_m * (1 / NEAR - 1 / FAR)
    rows = slice(10, 70)
    lost = (depth[rows, left - round(width) - 6 : left + 2] == 0).sum(axis=1)
    # Fattened edges fill a part of the shadow, lost edge pixels widen it.
    assert np.median(lost) == pytest.approx(width, abs=4.5)
    assert (depth[rows, right + 6 : right + 16] > 0).mean() > 0.95, "no shadow right of the post"


def test_near_edges_grow_by_at_most_half_a_patch() -> None:
    for block in (5, 11):
        depth = measure([post(NEAR), wall(FAR)], replace(STEREO, block_px=block, smooth_px=0.0, uniqueness=0))
        near = (np.abs(depth - NEAR) < 0.02)[10:70]
        true = 2 * 0.03 / NEAR * FOCAL
        assert -2.0 < np.median(near.sum(axis=1)) - true <= block + 1


def test_structured_light_needs_its_pattern_and_stereo_needs_contrast() -> None:
    assert (measure([wall(0.8)], replace(STRUCTURED_LIGHT, pattern=0.0)) > 0).mean() < 0.05
    assert (measure([wall(0.8, albedo=0.0)], replace(STEREO, min_contrast=0.02)) > 0).mean() < 0.05
    assert (measure([wall(0.8)], STEREO) > 0).mean() > 0.95


def test_passive_stereo_loses_surfaces_without_texture() -> None:
    passive = replace(STEREO, pattern=0.0, min_contrast=0.02)
    plain = wall(0.8, albedo=0.02)
    assert (measure([plain], passive, contrast=0.0) > 0).mean() < 0.2
    assert (measure([plain], replace(STEREO, min_contrast=0.005), contrast=0.0) > 0).mean() > 0.9


def test_calibration_error_shifts_the_disparity() -> None:
    exact, shifted = (measure([wall(0.8)], replace(STEREO, disparity_error_px=error)) for error in (0.0, 0.5))
    both = (exact > 0) & (shifted > 0)
    change = FOCAL * STEREO.baseline_m * (1 / shifted[both] - 1 / exact[both])
    np.testing.assert_allclose(change, 0.5, atol=1e-3)


def test_noise_grows_as_the_light_fades() -> None:
    def interquartile_range(noise: float) -> float:
        depth = measure([wall(1.0, albedo=0.1)], replace(STEREO, noise=noise, smooth_px=0.0, disparity_step_px=0.001))
        return float(np.subtract(*np.percentile(depth[depth > 0], [75, 25])))

    assert interquartile_range(0.03) > 1.5 * interquartile_range(0.001)
