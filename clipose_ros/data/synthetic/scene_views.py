"""Rendered views of synthetic table scenes with label images and ground truth, stored in a folder.

===================== ==================================================================================================
``camera.json``       intrinsics, and the settings that determine the views
``*-color.png``       colour image
``*-depth.png``       measured depth, millimetres; 0 is invalid
``*-truth.npz``       label image, and pose, size and visibility of every object with a visible pixel
===================== ==================================================================================================

The folder is also a folder of RGB-D frames; see ``rgbd_folder``.
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

from clipose_ros.atomic_files import write_arrays, write_atomically
from clipose_ros.bounded_files import read_json
from clipose_ros.data.arrays import open_arrays
from clipose_ros.data.parallel import parallel_map
from clipose_ros.data.rgbd_folder import METRES_PER_MILLIMETRE, open_rgbd_folder
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY, ObjectLibrary
from clipose_ros.data.synthetic.depth_noise import add_depth_noise, random_depth_noise
from clipose_ros.data.synthetic.renderer import ObjectTruth, RenderedFrame, Renderer
from clipose_ros.data.synthetic.samples import VIEWS_PER_SCENE, random_scene_config
from clipose_ros.data.synthetic.scenes import make_scene
from clipose_ros.data.synthetic.sequence import default_intrinsics
from clipose_ros.data.synthetic.viewpoints import random_view
from clipose_ros.errors import ConfigError, DataError, UnreadableFileError
from clipose_ros.types import CameraIntrinsics, RgbdFrame

CAMERA_FILE = "camera.json"
_COLOUR_SUFFIX, _DEPTH_SUFFIX, _TRUTH_SUFFIX = "-color.png", "-depth.png", "-truth.npz"
_TRUTH_ARRAYS = ("instance", "category", "T_camera_object", "size", "visible_fraction", "handle_visible")


@dataclass(frozen=True)
class ViewRecipe:
    """Settings that determine the views.

    Attributes:
        seed: Seed of the scenes. Scene i equals scene i of the clouds of the same seed and object library.
        width: Image width, pixels.
        height: Image height, pixels.
        object_library: Source of the objects.
        library_record: Description of the object library in ``camera.json``, compared when a folder is extended.
    """

    seed: int
    width: int = 640
    height: int = 480
    object_library: ObjectLibrary = NOCS_OBJECT_LIBRARY
    library_record: Mapping[str, Any] = field(default_factory=lambda: {"categories": "nocs"})

    def as_record(self) -> dict[str, Any]:
        """Return the settings as a record for ``camera.json``."""
        return {"seed": self.seed, "width": self.width, "height": self.height, "objects": dict(self.library_record)}

    @property
    def camera(self) -> CameraIntrinsics:
        """Return the intrinsics of all views."""
        return default_intrinsics(self.width, self.height)


@dataclass(frozen=True, slots=True, eq=False)
class SceneView:
    """A rendered view with ground truth.

    Attributes:
        name: Scene and view, such as ``000003_1``.
        frame: Colour, measured depth and label image.
        truths: Ground truth of every object with a visible pixel.
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
    _prepare_folder(folder, recipe)
    # The truth file of the last view marks a complete scene; see _store_scene.
    remaining = [
        scene
        for scene in range(scenes)
        if not (folder / f"{_view_name(scene, VIEWS_PER_SCENE - 1)}{_TRUTH_SUFFIX}").exists()
    ]
    try:
        for done, _ in enumerate(parallel_map(partial(_store_scene, folder, recipe), remaining, workers), start=1):
            if done % 10 == 0 or done == len(remaining):
                log(f"{done} of {len(remaining)} scenes rendered")
    except OSError as error:
        raise DataError(f"a view cannot be written to '{folder}': {error}") from error


class StoredViews:
    """Reader of the views of the first scenes of a folder.

    Args:
        folder: Folder written by ``store_views``.
        scenes: Number of scenes.

    Attributes:
        names: Names of the views, in order.

    Raises:
        DataError: The folder is missing or lacks a view; the message names it.
    """

    def __init__(self, folder: Path, scenes: int) -> None:
        self._folder, self._images = folder, open_rgbd_folder(folder)
        self._places = {colour.name: place for place, (colour, _) in enumerate(self._images.pairs)}
        self.names = tuple(_view_name(scene, view) for scene in range(scenes) for view in range(VIEWS_PER_SCENE))
        for name in self.names:
            if f"{name}{_COLOUR_SUFFIX}" not in self._places:
                raise DataError(f"'{folder}' lacks images of view {name}: delete the folder and render it again")

    def read(self, name: str) -> SceneView:
        """Read a view by name.

        Raises:
            DataError: A file is missing or malformed; the message names it.
        """
        labels, truths = _read_truth(self._folder / f"{name}{_TRUTH_SUFFIX}")
        # Folders of RGB-D frames have no label images; these come from the truth file.
        frame = self._images.read(self._places[f"{name}{_COLOUR_SUFFIX}"], frame_id="camera")
        return SceneView(name, replace(frame, labels=labels), truths)


def _prepare_folder(folder: Path, recipe: ViewRecipe) -> None:
    """Create a folder with ``camera.json``, or check that an existing one has the same settings."""
    folder.mkdir(parents=True, exist_ok=True)
    path, wanted = folder / CAMERA_FILE, recipe.as_record()
    if path.exists():
        try:
            record = read_json(path)
        except UnreadableFileError as error:
            raise DataError(f"'{path}' cannot be read: {error}; use a new folder") from error
        if not isinstance(record, dict):
            raise DataError(f"'{path}' cannot be read: it must be a mapping; use a new folder")
        before = record.get("made_by")
        if before != wanted:
            raise ConfigError(
                f"'{folder}' holds views of the settings {before}, expected {wanted}: use the same --seed and objects, "
                "or another folder"
            )
    elif any(folder.iterdir()):
        raise ConfigError(f"'{folder}' holds other files and no '{CAMERA_FILE}': use a new or empty folder")
    camera = recipe.camera
    pinhole = {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}
    record = {**pinhole, "depth_scale": METRES_PER_MILLIMETRE, "made_by": wanted}
    write_atomically(path, [json.dumps(record, indent=2).encode()])


def _view_name(scene: int, view: int) -> str:
    """Return the name of a view, such as ``000003_1``."""
    return f"{scene:06d}_{view}"


def _store_scene(folder: Path, recipe: ViewRecipe, scene: int) -> None:
    """Render and write the views of one scene.

    Each truth file is written after its images and renamed when complete. The truth file of the last view therefore
    marks a complete scene.
    """
    rng = np.random.default_rng([recipe.seed, scene])
    object_library, camera = recipe.object_library, recipe.camera
    scene_content = make_scene(rng, random_scene_config(rng, object_library.drawable), object_library.make)
    renderer = Renderer(scene_content, object_library.categories)
    for view in range(VIEWS_PER_SCENE):
        T_world_camera, sensor = random_view(rng, scene_content), random_depth_noise(rng)
        rendered = renderer.render(T_world_camera, camera)
        depth = add_depth_noise(rendered.depth, rendered.cos_incidence, rendered.albedo, camera.fx, rng, sensor)
        path = folder / _view_name(scene, view)
        # 16-bit millimetres, as in datasets: the noise model has quantized the depth to whole millimetres already.
        depth_mm = np.rint(depth / METRES_PER_MILLIMETRE).astype(np.uint16)
        for suffix, image in ((_COLOUR_SUFFIX, rendered.rgb[..., ::-1]), (_DEPTH_SUFFIX, depth_mm)):
            _, png = cv2.imencode(".png", image)
            write_atomically(path.with_name(f"{path.name}{suffix}"), [png.tobytes()])
        _write_truth(path, rendered)


def _write_truth(path: Path, rendered: RenderedFrame) -> None:
    """Write label image and ground truth of a view through a temporary file."""
    arrays: dict[str, Any] = {
        name: np.array([getattr(truth, name) for truth in rendered.truths]) for name in _TRUTH_ARRAYS
    }
    write_arrays(
        path.with_name(f"{path.name}{_TRUTH_SUFFIX}"), {"labels": rendered.labels, **arrays}, is_compressed=True
    )


def _read_truth(path: Path) -> tuple[Any, tuple[ObjectTruth, ...]]:
    """Read label image and ground truth of a view."""
    with open_arrays(path, "the truth of a view", "delete the folder and render it again") as archive:
        labels, columns = archive["labels"], [archive[name] for name in _TRUTH_ARRAYS]
    return labels, tuple(
        ObjectTruth(int(instance), str(category), T, size, float(fraction), bool(handle))
        for instance, category, T, size, fraction, handle in zip(*columns, strict=True)
    )
