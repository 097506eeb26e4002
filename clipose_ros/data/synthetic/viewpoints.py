"""Camera poses: look-at transforms, random viewpoints of a scene, and a smooth orbit around a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.data.synthetic.scenes import Scene
from clipose_ros.errors import DegenerateInputError
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.types import FloatArray


def look_at(eye: FloatArray, target: FloatArray, roll_deg: float = 0.0) -> FloatArray:
    """Compute the pose of a camera that faces a point with a level horizon, rolled about its optical axis.

    Args:
        eye: ``(3,)`` camera position, metres, world frame (z up).
        target: ``(3,)`` point on the optical axis, metres, world frame.
        roll_deg: Clockwise rotation of the camera about its optical axis, degrees.

    Returns:
        ``T_world_camera`` ``(4, 4)``, optical frame.

    Raises:
        DegenerateInputError: Camera and target coincide, or the optical axis is vertical.
    """
    forward = np.asarray(target, dtype=np.float64) - eye
    right = np.cross(forward, [0.0, 0.0, 1.0])
    if np.linalg.norm(right) < 1e-9:
        raise DegenerateInputError(
            f"the view from {eye} to {target} is vertical and has no horizon: move the camera off the vertical through "
            "its target"
        )
    forward /= np.linalg.norm(forward)
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    R = np.stack([c * right + s * down, -s * right + c * down, forward], axis=1)
    return make_transform(R, eye)


def random_view(rng: np.random.Generator, scene: Scene, distance_m: tuple[float, float] = (0.35, 2.0)) -> FloatArray:
    """Draw a viewpoint 15 to 75 degrees above the table, aimed near one of the objects.

    Args:
        rng: Random generator.
        scene: The scene to view.
        distance_m: Range of the distance to the target, metres; drawn uniformly in its logarithm.

    Returns:
        ``T_world_camera`` ``(4, 4)``, optical frame. The camera is at least 80 mm above the table.
    """
    centres = np.array([item.T_world_object[:3, 3] for item in scene.objects]) if scene.objects else np.zeros((1, 3))
    # Aiming between an object and the table centre puts objects at different places in the image.
    target = centres[rng.integers(len(centres))] * rng.uniform(0.3, 1.0) + rng.normal(0.0, 0.03, 3)
    distance = np.exp(rng.uniform(*np.log(distance_m)))
    elevation, azimuth = np.radians(rng.uniform(15, 75)), rng.uniform(0, 2 * np.pi)
    flat = np.cos(elevation)
    eye = target + distance * np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
    # The camera must not be below the table top.
    eye[2] = max(eye[2], 0.08)
    # One of five views has an arbitrary roll, as from a camera on a robot arm.
    roll = rng.normal(0.0, 6.0) if rng.uniform() < 0.8 else rng.uniform(-180.0, 180.0)
    return look_at(eye, target, roll)


@dataclass(frozen=True, slots=True)
class Orbit:
    """Smooth periodic camera path around the table, with varying azimuth, elevation and distance.

    Attributes:
        distance_m: Mean distance from the target, metres.
        elevation_deg: Mean elevation above the table, degrees.
        azimuth_deg: Mean azimuth, degrees.
        swing_deg: Amplitude of the azimuth, degrees.
        period_s: Period of the path, seconds.
        target: Mean target of the optical axis, metres, world frame.
    """

    distance_m: float = 0.95
    elevation_deg: float = 38.0
    azimuth_deg: float = 0.0
    swing_deg: float = 55.0
    period_s: float = 30.0
    target: tuple[float, float, float] = (0.0, 0.0, 0.05)

    def T_world_camera(self, time_s: float) -> FloatArray:
        """Return the camera pose ``(4, 4)`` at a time, seconds."""
        phase = 2 * np.pi * time_s / self.period_s
        azimuth = np.radians(self.azimuth_deg + self.swing_deg * np.sin(phase))
        elevation = np.radians(self.elevation_deg + 9.0 * np.sin(2 * phase))
        distance = self.distance_m * (1.0 + 0.15 * np.cos(phase))
        flat = np.cos(elevation)
        offset = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
        # The target moves by up to 40 mm, so that it is not fixed at the image centre.
        target = np.asarray(self.target) + 0.02 * np.array([np.sin(phase), np.cos(phase) - 1.0, 0.0])
        return look_at(target + distance * offset, target, 3.0 * np.sin(2 * phase))
