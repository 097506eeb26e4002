"""Short recorded sequences of random tables: a camera that moves or rests, deformed masks and a random depth sensor.

Each table has other objects, another camera and another depth sensor. The masks are deformed as those of a detector.
A deformation lasts for ``MASK_FRAMES`` frames, because the errors of a detector in successive frames are alike. The
noise of the depth is drawn anew in each frame.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import CloudConfig
from clipose_ros.data.mask_augmentation import augment_mask
from clipose_ros.data.parallel import parallel_map
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY, ObjectLibrary
from clipose_ros.data.synthetic.depth_noise import DepthNoiseConfig, add_depth_noise, random_depth_noise
from clipose_ros.data.synthetic.renderer import ObjectTruth, RenderedFrame, Renderer
from clipose_ros.data.synthetic.samples import (
    MIN_OBJECT_PIXELS,
    MIN_VISIBLE,
    crop_intrinsics,
    random_intrinsics,
    random_scene_config,
)
from clipose_ros.data.synthetic.scenes import Scene, SceneConfig, make_scene
from clipose_ros.data.synthetic.viewpoints import look_at
from clipose_ros.errors import DataError
from clipose_ros.evaluation.runs.recorded_sequence import FPS, RecordedSequence, assemble_sequence
from clipose_ros.geometry.se3 import invert_transform
from clipose_ros.inference.point_cloud import extract_cloud
from clipose_ros.types import LABEL_BASE, CameraIntrinsics, FloatArray, InstanceMask, ObjectCloud, RgbdFrame

MASK_FRAMES = 6
"""Number of successive frames with the same deformation of a mask."""
ARC_DEG_S = (20.0, 60.0)
"""Range of the speed of a moving camera around the table, degrees per second."""
_OBJECTS, _TILTED, _LYING = (5, 7), 0.08, 0.12
_STREAM = 14  # keeps the random numbers apart from those of training scenes with the same seed


@dataclass(frozen=True)
class TableRecipe:
    """Settings that determine the sequences of random tables.

    Attributes:
        seed: Seed of the tables.
        frames: Number of frames of each sequence, at 30 Hz.
        resting: True for a camera that rests. The tables and first views of both cameras are the same.
        object_library: Source of the objects.
        library_record: Description of the object library, stored with a film.
    """

    seed: int
    frames: int
    resting: bool
    object_library: ObjectLibrary = NOCS_OBJECT_LIBRARY
    library_record: Mapping[str, Any] = field(default_factory=lambda: {"categories": "nocs"})

    def describe(self) -> str:
        """Return the settings as JSON; equal settings give equal text."""
        camera = "resting" if self.resting else "moving"
        values = {"seed": self.seed, "frames": self.frames, "camera": camera, "objects": dict(self.library_record)}
        return json.dumps(values, sort_keys=True)


@dataclass(frozen=True, slots=True, eq=False)
class _ObjectView:
    """Rendered window of one object.

    Attributes:
        intrinsics: Intrinsics of the window.
        rendered: View without noise.
        mask: Visible pixels of the object.
        truth: True pose and size.
    """

    intrinsics: CameraIntrinsics
    rendered: RenderedFrame
    mask: InstanceMask
    truth: ObjectTruth


@dataclass(frozen=True, slots=True, eq=False)
class _CameraArc:
    """Camera path around a point at constant angular speed.

    Attributes:
        centre: ``(3,)`` point on the optical axis, metres.
        distance_m: Distance from the point, metres.
        azimuth: Angle at time 0 and its rate, radians and rad/s.
        elevation: Angle above the table at time 0 and its rate, radians and rad/s; at most 80 degrees.
        roll_deg: Rotation about the optical axis, degrees.
    """

    centre: FloatArray
    distance_m: float
    azimuth: tuple[float, float]
    elevation: tuple[float, float]
    roll_deg: float

    @classmethod
    def random(cls, rng: np.random.Generator, centre: FloatArray) -> _CameraArc:
        """Draw a path of 20 to 60 degrees per second."""
        distance_m, start = float(rng.uniform(0.55, 1.2)), np.radians(rng.uniform([0.0, 20.0], [360.0, 65.0]))
        turn = np.radians(rng.uniform(*ARC_DEG_S)) * rng.choice([-1.0, 1.0])
        climb = np.radians(rng.uniform(-10.0, 10.0))
        return cls(
            centre, distance_m, (float(start[0]), float(turn)), (float(start[1]), float(climb)), rng.normal(0, 5)
        )

    def T_world_camera(self, time_s: float) -> FloatArray:
        """Return the camera pose ``(4, 4)`` at a time, seconds."""
        azimuth = self.azimuth[0] + self.azimuth[1] * time_s
        elevation = np.clip(self.elevation[0] + self.elevation[1] * time_s, np.radians(10.0), np.radians(80.0))
        flat = np.cos(elevation)
        direction = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
        return look_at(self.centre + self.distance_m * direction, self.centre, self.roll_deg)


def record_tables(recipe: TableRecipe, tables: int, workers: int = 1) -> Iterator[RecordedSequence]:
    """Record the sequences of tables 0 to ``tables`` - 1 in a pool of processes and yield them in order.

    Args:
        recipe: Settings; equal settings give equal sequences for any number of processes.
        tables: Number of tables. A table without a sufficiently visible object is left out.
        workers: Number of rendering processes.

    Raises:
        DataError: No table has a visible object, or a process was killed.
    """
    empty = True
    for sequence in parallel_map(partial(record_table, recipe), range(tables), workers):
        if sequence is not None:
            empty = False
            yield sequence
    if empty:
        raise DataError(f"expected visible objects on {tables} tables of seed {recipe.seed}, got none: use more tables")


def record_table(recipe: TableRecipe, index: int) -> RecordedSequence | None:
    """Record the sequence of one table; return None if no object is sufficiently visible in any frame."""
    key = (_STREAM, recipe.seed, index)
    rng, library = np.random.default_rng(key), recipe.object_library
    scene = make_scene(rng, _draw_scene_config(rng, library.drawable), library.make)
    renderer = Renderer(scene, library.categories)
    camera, sensor = random_intrinsics(rng), random_depth_noise(rng)
    arc = _CameraArc.random(rng, np.mean([item.T_world_object[:3, 3] for item in scene.objects], axis=0))
    rows: list[tuple[int, FloatArray, ObjectTruth]] = []
    poses, views = [], list[_ObjectView]()
    for number in range(recipe.frames):
        poses.append(arc.T_world_camera(0.0 if recipe.resting else number / FPS))
        if not views or not recipe.resting:
            views = list(_render_objects(scene, renderer, camera, poses[-1], library.categories))
        for view in views:
            points = _measure_cloud(view, sensor, (*key, view.truth.instance), number)
            if points is not None:
                rows.append((number, points, view.truth))
    return assemble_sequence(rows, np.stack(poses)) if rows else None


def _draw_scene_config(rng: np.random.Generator, categories: tuple[str, ...]) -> SceneConfig:
    """Draw the settings of a table with five to seven objects, fewer of them lying or tilted than for training."""
    low, high = _OBJECTS
    config = random_scene_config(rng, categories)
    return replace(config, objects_min=low, objects_max=high, tilted=_TILTED, lying=_LYING)


def _render_objects(
    scene: Scene, renderer: Renderer, camera: CameraIntrinsics, T_world_camera: FloatArray, categories: CategorySet
) -> Iterator[_ObjectView]:
    """Render the window of each sufficiently visible object. Most objects fill a small part of the image."""
    for item in scene.objects:
        crop = crop_intrinsics(invert_transform(T_world_camera) @ item.T_world_object, item.object.size, camera)
        if crop is None:
            continue
        rendered = renderer.render(T_world_camera, crop, colour=False, instances=(item.instance,))
        if not rendered.truths or rendered.truths[0].visible_fraction < MIN_VISIBLE:
            continue
        truth = rendered.truths[0]
        label = categories[truth.category].id * LABEL_BASE + truth.instance
        mask = InstanceMask.from_full(truth.category, 1.0, rendered.labels == label)
        if mask is not None and np.count_nonzero(mask.mask) >= MIN_OBJECT_PIXELS:
            yield _ObjectView(crop, rendered, mask, truth)


def _measure_cloud(view: _ObjectView, sensor: DepthNoiseConfig, key: Sequence[int], number: int) -> FloatArray | None:
    """Return the cloud ``(N, 3)`` of an object under a deformed mask with the noise of a frame, or None.

    Args:
        view: Window without noise.
        sensor: Settings of the noise.
        key: Seed of the object.
        number: Index of the frame.
    """
    rendered, noise_rng = view.rendered, np.random.default_rng([*key, 0, number])
    depth = add_depth_noise(
        rendered.depth, rendered.cos_incidence, rendered.albedo, view.intrinsics.fx, noise_rng, sensor
    )
    mask = augment_mask(view.mask, depth.shape, np.random.default_rng([*key, 1, number // MASK_FRAMES]))
    if mask is None:
        return None
    cloud = extract_cloud(RgbdFrame(rendered.rgb, depth, view.intrinsics), mask, CloudConfig())
    return np.asarray(cloud.points_camera, dtype=np.float32) if isinstance(cloud, ObjectCloud) else None
