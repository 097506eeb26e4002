"""Time of flight: noise, flying pixels and multipath."""

from dataclasses import replace

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.mesh import Mesh, box
from clipose_ros.data.synthetic.sensors.ray_images import RayScene
from clipose_ros.data.synthetic.sensors.time_of_flight import TimeOfFlightSensor, measure_time_of_flight
from clipose_ros.types import CameraIntrinsics, FloatArray

WINDOW = CameraIntrinsics(400.0, 400.0, 60.0, 40.0, 120, 80)
IDEAL = TimeOfFlightSensor(
    noise_mm=0.0, smooth_px=0.0, multipath=0.0, scatter=0.0, quantum_mm=0.0, min_coherence=0.0, min_amplitude=0.001
)


def wall(z: float, albedo: float = 0.5) -> Mesh:
    return box([4.0, 4.0, 0.02]).translated([0.0, 0.0, z + 0.01]).painted(np.full(3, albedo))


def measure(meshes: list[Mesh], sensor: TimeOfFlightSensor, seed: int = 0) -> FloatArray:
    scene = RayScene(meshes, np.random.default_rng(1), 0.0)
    return measure_time_of_flight(scene, np.eye(4), WINDOW, sensor, np.random.default_rng(seed))


@pytest.mark.parametrize("z", [0.3, 0.77, 1.9, 3.6])
@pytest.mark.parametrize("frequency", [80.0, 200.0])
def test_ideal_camera_measures_a_plane_beyond_its_unambiguous_range(z: float, frequency: float) -> None:
    depth = measure([wall(z)], replace(IDEAL, frequency_mhz=frequency))
    np.testing.assert_allclose(depth, z, atol=2e-4)


def test_noise_is_inversely_proportional_to_the_amplitude() -> None:
    sensor = replace(IDEAL, noise_mm=1.0)
    white, grey, far = (
        measure([wall(z, albedo)], sensor).std() * 1e3 for z, albedo in ((1.0, 0.8), (1.0, 0.2), (2.0, 0.8))
    )
    assert white == pytest.approx(1.0 / 0.8, rel=0.15)
    assert grey == pytest.approx(4.0 * white, rel=0.2)
    assert far == pytest.approx(4.0 * white, rel=0.2)


def test_flying_pixels_lie_between_both_surfaces_at_edges_only() -> None:
    post = box([0.1, 2.0, 0.02]).translated([0.0003, 0.0, 0.61])
    depth = measure([post, wall(0.8)], IDEAL)
    flying = (depth > 0.603) & (depth < 0.797)
    assert 1.0 <= flying.sum(axis=1).mean() <= 4.0
    columns = np.flatnonzero(flying.any(axis=0))
    edges = 60 + 400 * np.array([-0.0497, 0.0503]) / 0.6
    assert all(np.abs(edges - column).min() < 1.6 for column in columns)


def test_incoherent_edge_pixels_are_lost() -> None:
    """At 200 MHz, surfaces 0.375 m apart are half a period apart, so their waves cancel each other."""
    post = box([0.1, 2.0, 0.02]).translated([0.0003, 0.0, 0.61])
    sensor = replace(IDEAL, frequency_mhz=200.0)
    meshes = [post, wall(0.6 + 0.375 / 2, 0.8)]
    assert (measure(meshes, sensor) > 0).all()
    lost = measure(meshes, replace(sensor, min_coherence=0.9)) == 0
    assert 1.0 <= lost.sum(axis=1).mean() <= 4.0


def test_multipath_lengthens_the_depth_of_corners_and_not_of_planes() -> None:
    floor = box([2.0, 0.02, 2.0]).translated([0.0, 0.06, 1.0]).painted(np.full(3, 0.8))
    corner = [wall(0.9, 0.8), floor]
    ideal = measure(corner, IDEAL)
    error = {factor: measure(corner, replace(IDEAL, multipath=factor)) - ideal for factor in (0.5, 1.0)}
    near = {factor: float(np.median(values[54:70])) for factor, values in error.items()}
    assert near[1.0] > 2e-3
    assert near[1.0] > 4 * np.median(error[1.0][:20]), "it fades with the distance from the corner"
    assert error[1.0].min() > -1e-3
    assert near[1.0] == pytest.approx(2.0 * near[0.5], rel=0.35)
    plane = measure([wall(0.9, 0.8)], replace(IDEAL, multipath=1.0))
    np.testing.assert_allclose(plane, 0.9, atol=3e-4)


def test_dark_and_far_surfaces_are_lost() -> None:
    sensor = replace(IDEAL, min_amplitude=0.05)
    assert (measure([wall(1.0, 0.2)], sensor) > 0).all()
    assert not measure([wall(1.0, 0.02)], sensor).any()
    assert not measure([wall(2.5, 0.2)], sensor).any()


def test_offset_and_quantum() -> None:
    depth = measure([wall(1.0)], replace(IDEAL, offset_mm=7.9, quantum_mm=2.0))
    np.testing.assert_allclose(depth, 1.008, atol=1.1e-3)
    np.testing.assert_allclose(depth / 2e-3, np.rint(depth / 2e-3), atol=1e-3)
