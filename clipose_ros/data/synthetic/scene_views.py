"""SampleMetadata of simulated tables as a robot gets them, with labels and truth: rendered once, kept in a folder.

===================== ==================================================================================================
``camera.json``       the camera, and what the views were made of
``*-color.png``       colour
``*-depth.png``       measured depth, millimetres; 0 is invalid
``*-truth.npz``       label image, and pose, size and visibility of every object of which a pixel is seen
===================== ==================================================================================================

It is a folder of RGB-D frames, see ``rgbd_folder``, and can be played as one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from clipose_ros.data.arrays import open_arrays
from clipose_ros.data.parallel import parallel_map
from clipose_ros.data.rgbd_folder import METRES_PER_MILLIMETRE, open_rgbd_folder
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY, ObjectLibrary
from clipose_ros.data.synthetic.depth_noise import add_depth_noise, random_depth_noise
from clipose_ros.data.synthetic.renderer import ObjectTruth, Renderer
from clipose_ros.data.synthetic.samples import VIEWS_PER_SCENE, random_scene_config
from clipose_ros.data.synthetic.scenes import make_scene
from clipose_ros.data.synthetic.sequence import default_intrinsics
from clipose_ros.data.synthetic.viewpoints import random_view
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.types import CameraIntrinsics, RgbdFrame

CAMERA = "camera.json"
_COLOUR, _DEPTH, _TRUTH = "-color.png", "-depth.png", "-truth.npz"
_FIELDS = ("instance", "category", "T_camera_object", "size", "visible_fraction", "handle_visible")


@dataclass(frozen=True)
class ViewRecipe:
    """All that decides the views.

    Attributes:
        seed: Scene i of a seed is always the same table: that of scene i of the clouds of this seed and object library.
        width: Pixels.
        height: Pixels.
        object_library: What is put on the tables.
        objects: What ``camera.json`` says of the object library, for people and to know it again.
    """

    seed: int
    width: int = 640
    height: int = 480
    object_library: ObjectLibrary = NOCS_OBJECT_LIBRARY
    objects: Mapping[str, Any] = field(default_factory=lambda: {"categories": "nocs"})

    def as_record(self) -> dict[str, Any]:
        """As ``camera.json`` keeps it."""
        return {"seed": self.seed, "width": self.width, "height": self.height, "objects": dict(self.objects)}

    @property
    def camera(self) -> CameraIntrinsics:
        """The same for all views."""
        return default_intrinsics(self.width, self.height)


@dataclass(frozen=True, slots=True, eq=False)
class SceneView:
    """One view.

    Attributes:
        name: Scene and view, such as ``000003_1``.
        frame: Colour, measured depth and true labels.
        truths: Every object of which a pixel is seen.
    """

    name: str
    frame: RgbdFrame
    truths: tuple[ObjectTruth, ...]


def store_views(
    folder: Path, recipe: ViewRecipe, scenes: int, workers: int = 1, log: Callable[[str], None] = print
) -> None:
    """Render scenes into a folder. Scenes rendered by an earlier run are kept.

    Args:
        folder: Output folder; created if missing.
        recipe: Settings that determine the views.
        scenes: Number of scenes, each with ``VIEWS_PER_SCENE`` views and random sensor noise. A larger number than in
            an earlier run adds scenes.
        workers: Number of processes.
        log: Called with a line of progress after every tenth scene.

    Raises:
        ConfigError: A number is less than 1, or the folder holds views of other settings.
        DataError: A view cannot be written, or a worker was killed.
    """
    if scenes < 1:
        raise ConfigError(f"scenes must be at least 1, got {scenes}")
    _begin(folder, recipe)
    left = [scene for scene in range(scenes) if not (folder / f"{_name(scene, VIEWS_PER_SCENE - 1)}{_TRUTH}").exists()]
    try:
        for done, _ in enumerate(parallel_map(partial(_store_scene, folder, recipe), left, workers), start=1):
            if done % 10 == 0 or done == len(left):
                log(f"{done} of {len(left)} scenes rendered")
    except OSError as error:
        raise DataError(f"a view cannot be written to '{folder}': {error}") from error


class StoredViews:
    """The views of the first scenes of a folder.

    Args:
        folder: Where ``store_views`` put them.
        scenes: How many scenes.

    Attributes:
        names: Of the views, in order.

    Raises:
        DataError: The folder is missing, or lacks a view; the message names it.
    """

    def __init__(self, folder: Path, scenes: int) -> None:
        self._folder, self._images = folder, open_rgbd_folder(folder)
        self._places = {colour.name: place for place, (colour, _) in enumerate(self._images.pairs)}
        self.names = tuple(_name(scene, view) for scene in range(scenes) for view in range(VIEWS_PER_SCENE))
        for name in self.names:
            if f"{name}{_COLOUR}" not in self._places:
                raise DataError(f"'{folder}' lacks images of view {name}: remove the folder and have it rendered anew")

    def read(self, name: str) -> SceneView:
        """One view.

        Raises:
            DataError: A file is missing or something else; the message names it.
        """
        labels, truths = _read_truth(self._folder / f"{name}{_TRUTH}")
        frame = self._images.read(self._places[f"{name}{_COLOUR}"], frame_id="camera")
        return SceneView(name, replace(frame, labels=labels), truths)


def _begin(folder: Path, recipe: ViewRecipe) -> None:
    """Make folder and ``camera.json``, or check that it was begun alike."""
    folder.mkdir(parents=True, exist_ok=True)
    path, wanted = folder / CAMERA, recipe.as_record()
    if path.exists():
        try:
            before = dict(json.loads(path.read_text(encoding="utf-8"))).get("made_by")
        except (TypeError, ValueError) as error:
            raise DataError(f"'{path}' cannot be read: {error}") from error
        if before != wanted:
            raise ConfigError(
                f"'{folder}' holds views made of {before}, not of {wanted}: take the same --seed and objects, or "
                "another folder"
            )
    elif any(folder.iterdir()):
        raise ConfigError(f"'{folder}' holds other files and no '{CAMERA}': name a new or empty folder for the views")
    camera = recipe.camera
    pinhole = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
    path.write_text(
        json.dumps({**pinhole, "depth_scale": METRES_PER_MILLIMETRE, "made_by": wanted}, indent=2), encoding="utf-8"
    )


def _name(scene: int, view: int) -> str:
    return f"{scene:06d}_{view}"


def _store_scene(folder: Path, recipe: ViewRecipe, scene: int) -> None:
    """Render and write one scene. A truth appears after its images and whole: with the last, a scene is whole too."""
    rng = np.random.default_rng([recipe.seed, scene])
    object_library, camera = recipe.object_library, recipe.camera
    drawn = make_scene(rng, random_scene_config(rng, object_library.drawable), object_library.make)
    renderer = Renderer(drawn, object_library.categories)
    for view in range(VIEWS_PER_SCENE):
        T_world_camera, sensor = random_view(rng, drawn), random_depth_noise(rng)
        seen = renderer.render(T_world_camera, camera)
        depth = add_depth_noise(seen.depth, seen.cos_incidence, seen.albedo, camera.fx, rng, sensor)
        path = folder / _name(scene, view)
        for suffix, image in (
            (_COLOUR, seen.rgb[..., ::-1]),
            (_DEPTH, np.rint(depth / METRES_PER_MILLIMETRE).astype(np.uint16)),
        ):
            _, coded = cv2.imencode(".png", image)
            path.with_name(f"{path.name}{suffix}").write_bytes(coded.tobytes())
        columns: dict[str, Any] = {name: np.array([getattr(truth, name) for truth in seen.truths]) for name in _FIELDS}
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as stream:
            np.savez_compressed(stream, labels=seen.labels, **columns)
        part.replace(path.with_name(f"{path.name}{_TRUTH}"))


def _read_truth(path: Path) -> tuple[Any, tuple[ObjectTruth, ...]]:
    """Label image and truths of a view."""
    with open_arrays(path, "the truth of a view", "remove the folder and have it rendered anew") as archive:
        labels, columns = archive["labels"], [archive[name] for name in _FIELDS]
    return labels, tuple(
        ObjectTruth(int(instance), str(category), T, size, float(fraction), bool(handle))
        for instance, category, T, size, fraction, handle in zip(*columns, strict=True)
    )
