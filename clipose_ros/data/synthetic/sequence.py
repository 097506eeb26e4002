"""A short film of a table: a camera that swings around a static scene, with measured depth, labels and truth."""

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
"""Focal length over image width, like that of common RGB-D cameras."""
_SCENE = SceneConfig(objects_min=6, objects_max=8, lying=0.1, tilted=0.0, stacked=0.0, distractors_max=3)


def simulated_camera(width: int, height: int) -> CameraIntrinsics:
    """A camera of so many pixels whose axis goes through the middle of the image."""
    focal = FOCAL_PER_WIDTH * width
    return CameraIntrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)


@dataclass(frozen=True)
class SequenceConfig(ConfigNode):
    """What is filmed, and how."""

    seed: int = option(0, "Equal seeds show equal scenes.", low=0, high=2**31 - 1)
    objects: int = option(
        0, "So many objects and nothing else on the table; 0: one of each category at least, among other things.",
        low=0, high=8,
    )  # fmt: skip
    frames: int = option(
        60, "Frames of one sweep of the camera, all rendered before the first is shown.", low=2, high=3000
    )
    width: int = option(640, "Image width, pixels.", low=64, high=1920)
    height: int = option(480, "Image height, pixels.", low=48, high=1440)
    swing_deg: float = option(18.0, "How far the camera swings to either side, degrees.", low=0.0, high=180.0)
    distance_m: float = option(0.95, "Mean distance between camera and table's middle, metres.", low=0.3, high=3.0)
    workers: int = option(0, "Processes that render; 0 for one per core, 8 at most.", low=0, high=256)


@dataclass(frozen=True, slots=True, eq=False)
class SequenceFrame:
    """One frame of the film.

    Attributes:
        frame: Colour, measured depth and labels.
        truths: Every object of which a pixel is visible.
        T_world_camera: ``(4, 4)`` camera pose; the world's z is up, its origin the middle of the table's top.
    """

    frame: RgbdFrame
    truths: tuple[ObjectTruth, ...]
    T_world_camera: FloatArray


def demo_scene(seed: int, objects: int = 0) -> Scene:
    """A table with so many objects, of as many categories as can be; the same for the same seed.

    Args:
        seed: Of the random choices.
        objects: At most 8; 0 for at least one of every category, and distractors.
    """
    rng, config = np.random.default_rng(seed), _SCENE
    if objects:
        config = replace(_SCENE, objects_min=objects, objects_max=objects, distractors_max=0)
    kinds = min(objects or len(NOCS_CATEGORIES), len(NOCS_CATEGORIES))
    while True:  # a crowded table may lack the room for one of them: one in three does
        scene = make_scene(rng, config)
        enough = len(scene.objects) >= objects
        if enough and len({item.object.category for item in scene.objects}) == kinds:
            return scene


def render_sequence(config: SequenceConfig, colour: bool = True) -> Iterator[SequenceFrame]:
    """Render one sweep, in order, on all cores. Played forwards and backwards in turn it moves without a jump.

    Args:
        config: What to film; equal settings give equal frames, however many processes render.
        colour: False leaves rgb black, in half the time.

    Raises:
        DataError: A rendering process was killed.
    """
    workers = min(config.workers or min(os.cpu_count() or 1, 8), config.frames)
    return parallel_map(partial(_frame, config, colour), range(config.frames), workers)


def _frame(config: SequenceConfig, colour: bool, index: int) -> SequenceFrame:
    """A frame, as a rendering process makes it."""
    return _film(config, colour).frame(index)


class _Film:
    """Renders single frames of the sequence."""

    def __init__(self, config: SequenceConfig, colour: bool) -> None:
        self._intrinsics = simulated_camera(config.width, config.height)
        # From one turning point of the swing to the other is half a period.
        self._orbit = Orbit(
            distance_m=config.distance_m, swing_deg=config.swing_deg, period_s=2.0 * (config.frames - 1)
        )
        self._config, self._colour = config, colour
        self._renderer = Renderer(demo_scene(config.seed, config.objects))

    def frame(self, index: int) -> SequenceFrame:
        """Frame ``index``; its sensor noise depends on seed and index alone."""
        T_world_camera = self._orbit.T_world_camera(index - (self._config.frames - 1) / 2)
        view = self._renderer.render(T_world_camera, self._intrinsics, self._colour, shadow_rays=2)
        rng = np.random.default_rng([self._config.seed, index])
        depth = add_depth_noise(view.depth, view.cos_incidence, view.albedo, self._intrinsics.fx, rng)
        frame = RgbdFrame(view.rgb, depth, self._intrinsics, labels=view.labels)
        return SequenceFrame(frame, view.truths, T_world_camera)


@lru_cache(maxsize=1)
def _film(config: SequenceConfig, colour: bool) -> _Film:
    """The film, whose scene a process builds only once."""
    return _Film(config, colour)


def ping_pong(count: int) -> Iterator[int]:
    """Indices 0, 1, ..., count - 1, count - 2, ..., 1, 0, 1, ... without end."""
    period = max(2 * (count - 1), 1)
    step = 0
    while True:
        yield count - 1 - abs(count - 1 - step)
        step = (step + 1) % period
