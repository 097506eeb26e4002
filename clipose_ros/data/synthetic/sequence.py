"""Recorded sequence of a static table scene: a moving camera with measured depth, labels and ground truth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import ConfigNode, option
from clipose_ros.data.parallel import parallel_map
from clipose_ros.data.synthetic.depth_noise import add_depth_noise
from clipose_ros.data.synthetic.renderer import ObjectTruth, Renderer
from clipose_ros.data.synthetic.scenes import Scene, SceneConfig, make_scene
from clipose_ros.data.synthetic.viewpoints import Orbit
from clipose_ros.types import CameraIntrinsics, FloatArray, RgbdFrame

FOCAL_PER_WIDTH = 600.0 / 640.0
"""Ratio of focal length to image width, typical of RGB-D cameras."""
_DEMO_SCENE = SceneConfig(objects_min=6, objects_max=8, lying=0.1, tilted=0.0, stacked=0.0, distractors_max=3)


def default_intrinsics(width: int, height: int) -> CameraIntrinsics:
    """Return the intrinsics of a synthetic camera with its principal point at the image centre."""
    focal = FOCAL_PER_WIDTH * width
    return CameraIntrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)


@dataclass(frozen=True)
class SequenceConfig(ConfigNode):
    """Settings of a recorded sequence."""

    seed: int = option(0, "Seed of scene and sensor noise.", low=0, high=2**31 - 1)
    objects: int = option(
        0, "Number of objects, without distractors; 0 for at least one of each category, with distractors.",
        low=0, high=10,
    )  # fmt: skip
    frames: int = option(
        60, "Frames of one sweep of the camera, all rendered before the first is shown.", low=2, high=3000
    )
    width: int = option(640, "Image width, pixels.", low=64, high=1920)
    height: int = option(480, "Image height, pixels.", low=48, high=1440)
    swing_deg: float = option(18.0, "Amplitude of the camera's azimuth to either side, degrees.", low=0.0, high=180.0)
    distance_m: float = option(
        0.95, "Mean distance of the camera from the centre of the table, metres.", low=0.3, high=3.0
    )
    workers: int = option(0, "Rendering processes; 0 for one per core, at most 8.", low=0, high=256)


@dataclass(frozen=True, slots=True, eq=False)
class SequenceFrame:
    """One frame of a recorded sequence.

    Attributes:
        frame: Colour, measured depth and label image.
        truths: Ground truth of every object with at least one visible pixel.
        T_world_camera: ``(4, 4)`` camera pose, metres; the world has z up and its origin at the centre of the table
            top.
    """

    frame: RgbdFrame
    truths: tuple[ObjectTruth, ...]
    T_world_camera: FloatArray


def make_demo_scene(seed: int, objects: int = 0) -> Scene:
    """Generate a table scene with a given number of objects of as many categories as possible.

    Args:
        seed: Seed of the scene.
        objects: Number of objects, at most 10; 0 for at least one of every category, with distractors.
    """
    rng, config = np.random.default_rng(seed), _DEMO_SCENE
    if objects:
        config = replace(_DEMO_SCENE, objects_min=objects, objects_max=objects, distractors_max=0)
    kinds = min(objects or len(NOCS_CATEGORIES), len(NOCS_CATEGORIES))
    while True:  # placement fails for some object in about one of three scenes
        scene = make_scene(rng, config)
        enough = len(scene.objects) >= objects
        if enough and len({item.object.category for item in scene.objects}) == kinds:
            return scene


def render_sequence(config: SequenceConfig, colour: bool = True) -> Iterator[SequenceFrame]:
    """Render one sweep of the camera in a pool of processes and yield its frames in order.

    Playing the frames forwards and backwards in turn gives continuous motion.

    Args:
        config: Settings of the sequence. Equal settings give equal frames for any number of processes.
        colour: Render colour; False leaves rgb black and takes half the time.

    Raises:
        DataError: A rendering process was killed.
    """
    workers = min(config.workers or min(os.cpu_count() or 1, 8), config.frames)
    return parallel_map(partial(_render_frame, config, colour), range(config.frames), workers)


def _render_frame(config: SequenceConfig, colour: bool, index: int) -> SequenceFrame:
    """Render one frame in a worker process."""
    return _create_renderer(config, colour).render_frame(index)


class _SequenceRenderer:
    """Renderer of single frames of a sequence.

    Args:
        config: Settings of the sequence.
        colour: Render colour.
    """

    def __init__(self, config: SequenceConfig, colour: bool) -> None:
        self._intrinsics = default_intrinsics(config.width, config.height)
        # The sweep between the two turning points is half a period of the orbit.
        self._orbit = Orbit(
            distance_m=config.distance_m, swing_deg=config.swing_deg, period_s=2.0 * (config.frames - 1)
        )
        self._config, self._colour = config, colour
        self._renderer = Renderer(make_demo_scene(config.seed, config.objects))

    def render_frame(self, index: int) -> SequenceFrame:
        """Render a frame by index; its sensor noise depends on seed and index only."""
        # Time runs symmetrically about 0, where the camera is in the middle of its sweep.
        T_world_camera = self._orbit.T_world_camera(index - (self._config.frames - 1) / 2)
        view = self._renderer.render(T_world_camera, self._intrinsics, self._colour, shadow_rays=2)
        rng = np.random.default_rng([self._config.seed, index])
        depth = add_depth_noise(view.depth, view.cos_incidence, view.albedo, self._intrinsics.fx, rng)
        frame = RgbdFrame(view.rgb, depth, self._intrinsics, labels=view.labels)
        return SequenceFrame(frame, view.truths, T_world_camera)


@lru_cache(maxsize=1)
def _create_renderer(config: SequenceConfig, colour: bool) -> _SequenceRenderer:
    """Return the renderer of a sequence; cached, so that each process builds the scene once."""
    return _SequenceRenderer(config, colour)


def ping_pong_indices(count: int) -> Iterator[int]:
    """Yield the indices 0, 1, ..., count - 1, count - 2, ..., 1, 0, 1, ... without end."""
    period = max(2 * (count - 1), 1)
    step = 0
    while True:
        yield count - 1 - abs(count - 1 - step)
        step = (step + 1) % period
