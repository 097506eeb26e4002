"""Depth cameras: sensor, image sizes, and the place of the colour camera; presets and random variation.

Sources of the presets are in ``docs/explanation/simulator.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from clipose_ros.data.synthetic.sensors.lighting import SurfaceScene
from clipose_ros.data.synthetic.sensors.registration import register_depth
from clipose_ros.data.synthetic.sensors.time_of_flight import TimeOfFlightSensor, measure_time_of_flight
from clipose_ros.data.synthetic.sensors.triangulation import TriangulationSensor, measure_by_triangulation
from clipose_ros.geometry.camera import project
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.types import CameraIntrinsics, FloatArray

Sensor = TriangulationSensor | TimeOfFlightSensor


@dataclass(frozen=True, slots=True, eq=False)
class DepthCamera:
    """A depth camera with a colour camera beside it, to whose image depth is registered.

    Attributes:
        name: Key of ``DEPTH_CAMERAS``.
        sensor: Kind and parameters of the sensor.
        focal_px: Focal length of the depth image, pixels.
        offset_m: Position of the colour camera in the depth camera's frame, ``(x, y, z)``, metres.
    """

    name: str
    sensor: Sensor
    focal_px: float
    offset_m: tuple[float, float, float]

    def measure(
        self, scene: SurfaceScene, T_world_colour: FloatArray, window: CameraIntrinsics, rng: np.random.Generator
    ) -> FloatArray:
        """Measure the depth of a window of the colour image.

        Args:
            scene: The scene.
            T_world_colour: ``(4, 4)`` pose of the colour camera, optical frame, metres.
            window: Intrinsics of the window of the colour image.
            rng: Random generator; equal states give equal depth.

        Returns:
            Registered depth of the window, ``(H, W)`` float32, metres; 0 is invalid.
        """
        T_colour_depth = make_transform(np.eye(3), -np.asarray(self.offset_m))
        near_far = scene.find_depth_range(T_world_colour, window)
        if near_far is None:
            return np.zeros((window.height, window.width), dtype=np.float32)
        depth_window = self._find_window(window, T_colour_depth, *near_far)
        T_world_depth = T_world_colour @ T_colour_depth
        if isinstance(self.sensor, TimeOfFlightSensor):
            depth = measure_time_of_flight(scene, T_world_depth, depth_window, self.sensor, rng)
        else:
            depth = measure_by_triangulation(scene, T_world_depth, depth_window, self.sensor, rng)
        return register_depth(depth, depth_window, window, T_colour_depth)

    def _find_window(
        self, window: CameraIntrinsics, T_colour_depth: FloatArray, near_m: float, far_m: float
    ) -> CameraIntrinsics:
        """Return the window of the depth image that contains all surfaces of a window of the colour image."""
        full = CameraIntrinsics(self.focal_px, self.focal_px, 0.0, 0.0, 1, 1)
        u, v = (grid.ravel() for grid in np.meshgrid([-0.5, window.width - 0.5], [-0.5, window.height - 0.5]))
        rays = np.stack([(u - window.cx) / window.fx, (v - window.cy) / window.fy, np.ones(4)], axis=1)
        corners = np.concatenate([rays * near_m, rays * far_m]) - T_colour_depth[:3, 3]
        pixels = project(corners, full)
        margin = 4
        x0, y0 = np.floor(pixels.min(axis=0)).astype(int) - margin
        x1, y1 = np.ceil(pixels.max(axis=0)).astype(int) + margin + 1
        return CameraIntrinsics(self.focal_px, self.focal_px, -float(x0), -float(y0), int(x1 - x0), int(y1 - y0))


_STEREO = TriangulationSensor()
_LUXONIS = replace(_STEREO, baseline_m=0.075, disparity_step_px=1 / 8)
_STRUCTURED_LIGHT = TriangulationSensor(
    is_stereo=False,
    baseline_m=0.075,
    ambient=0.1,
    uniqueness=25,
    disparity_step_px=1 / 8,
    min_contrast=0.015,
    min_m=0.4,
)
_TIME_OF_FLIGHT = TimeOfFlightSensor()
DEPTH_CAMERAS = {
    camera.name: camera
    for camera in (
        DepthCamera("d415", replace(_STEREO, baseline_m=0.055), 665.0, (-0.015, 0.0, 0.0)),
        DepthCamera("d435", replace(_STEREO, baseline_m=0.05), 425.0, (-0.015, 0.0, 0.0)),
        DepthCamera("d455", replace(_STEREO, baseline_m=0.095), 425.0, (-0.059, 0.0, 0.0)),
        DepthCamera("oak_d", replace(_LUXONIS, pattern=0.0, ambient=1.0), 441.0, (0.0375, 0.0, 0.0)),
        DepthCamera("oak_d_pro", _LUXONIS, 441.0, (0.0375, 0.0, 0.0)),
        DepthCamera("xtion", _STRUCTURED_LIGHT, 570.0, (0.025, 0.0, 0.0)),
        DepthCamera("azure_kinect", replace(_TIME_OF_FLIGHT, frequency_mhz=200.0), 504.0, (0.032, 0.002, 0.0)),
        DepthCamera("kinect_v2", replace(_TIME_OF_FLIGHT, frequency_mhz=80.0), 366.0, (-0.052, 0.0, 0.0)),
    )
}
"""Presets by name."""
_SHARES = {
    "d415": 0.14, "d435": 0.26, "d455": 0.08, "oak_d": 0.05, "oak_d_pro": 0.09,
    "xtion": 0.16, "azure_kinect": 0.14, "kinect_v2": 0.08,
}  # fmt: skip


def random_depth_camera(rng: np.random.Generator) -> DepthCamera:
    """Draw a preset and vary it."""
    return vary_depth_camera(DEPTH_CAMERAS[str(rng.choice(list(_SHARES), p=list(_SHARES.values())))], rng)


def vary_depth_camera(camera: DepthCamera, rng: np.random.Generator) -> DepthCamera:
    """Vary the parameters of a camera, so that training does not overfit to one."""
    focal = camera.focal_px * rng.uniform(0.95, 1.05)
    if isinstance(camera.sensor, TimeOfFlightSensor):
        # Pixels are often binned.
        binned = focal * float(rng.choice([1.0, 1.0, 0.5]))
        return replace(camera, sensor=_vary_time_of_flight(camera.sensor, rng), focal_px=max(binned, 200.0))
    if camera.sensor.is_stereo:
        # Stereo cameras also match at lower resolutions, which costs precision; structured light does not.
        focal = max(focal * float(rng.choice([1.0, 1.0, 1.0, 0.75])), 300.0)
    return replace(camera, sensor=_vary_triangulation(camera.sensor, rng), focal_px=focal)


def _vary_triangulation(sensor: TriangulationSensor, rng: np.random.Generator) -> TriangulationSensor:
    """Vary light, noise, matching and calibration of a stereo or structured-light camera."""
    return replace(
        sensor,
        pattern=sensor.pattern * float(rng.uniform(0.4, 1.5)),
        ambient=sensor.ambient * float(rng.uniform(0.3, 2.0)),
        noise=sensor.noise * float(np.exp(rng.uniform(-0.7, 1.0))),
        block_px=int(rng.choice([5, 7, 7, 9])),
        smoothness=float(rng.uniform(0.4, 1.5)),
        uniqueness=min(int(sensor.uniqueness * rng.uniform(0.5, 1.6)), 50),
        disparity_error_px=float(rng.normal(0.0, 0.08)),
        smooth_px=float(rng.uniform(0.5, 2.5)),
    )


def _vary_time_of_flight(sensor: TimeOfFlightSensor, rng: np.random.Generator) -> TimeOfFlightSensor:
    """Vary noise, multipath, edges and offset of a time-of-flight camera."""
    return replace(
        sensor,
        noise_mm=sensor.noise_mm * float(np.exp(rng.uniform(-0.7, 1.0))),
        smooth_px=float(rng.uniform(0.0, 1.0)),
        multipath=float(rng.uniform(0.3, 1.5)),
        scatter=float(rng.uniform(0.0, 0.02)),
        offset_mm=float(rng.normal(0.0, 3.0)),
        min_coherence=float(rng.uniform(0.3, 0.95)),
        min_amplitude=float(rng.uniform(0.01, 0.05)),
    )
