"""Synthetic segmentation data sets in the YOLO format: images of simulated tables with the polygon of every object.

======================== ===============================================================================================
``dataset.yaml``         folders of the images, names of the classes, and the settings that the images were made with
``images/<part>/*.jpg``  images; ``<part>`` is ``train`` or ``val``
``labels/<part>/*.txt``  one line per object: class number and polygon, x and y relative to the image's size
======================== ===============================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from clipose_ros.atomic_files import replace_file
from clipose_ros.bounded_files import read_yaml
from clipose_ros.data.parallel import parallel_map
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY, ObjectLibrary
from clipose_ros.data.synthetic.renderer import Renderer
from clipose_ros.data.synthetic.scenes import SceneConfig, make_scene
from clipose_ros.data.synthetic.viewpoints import random_view
from clipose_ros.errors import ConfigError, DataError, UnreadableFileError
from clipose_ros.segmenter_training.domain_randomization import randomize_domain
from clipose_ros.segmenter_training.polygons import format_label, mask_to_polygon
from clipose_ros.types import LABEL_BASE, ByteArray, CameraIntrinsics, LabelArray

DATASET_FILE = "dataset.yaml"
PARTS = ("train", "val")
IMAGES_PER_SCENE = 6
MIN_VISIBLE_PX = 60
"""Objects with fewer visible pixels are not labelled."""
_JPEG_QUALITY = 95
_MIN_SIDE, _MAX_SIDE = 32, 4096
"""Smallest and largest width and height of images, pixels."""


@dataclass(frozen=True)
class ImageSetConfig:
    """Settings of one part of a data set. Equal settings give equal images for any number of processes.

    Attributes:
        seed: Seed of the scenes. The two parts share no scene, even if their seeds are equal.
        part: ``train`` or ``val``.
        width: Image width, pixels.
        height: Image height, pixels.
        near_m: Smallest distance of the camera from the table, metres.
        far_m: Largest distance of the camera from the table, metres.
        object_library: Objects that are placed on the tables.
        objects: Description of the object library in ``dataset.yaml``, compared when a data set is continued.
    """

    seed: int
    part: str = "train"
    width: int = 160
    height: int = 128
    near_m: float = 0.25
    far_m: float = 0.85
    object_library: ObjectLibrary = NOCS_OBJECT_LIBRARY
    objects: Mapping[str, Any] = field(default_factory=lambda: {"categories": "nocs"})

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ConfigError(f"the part must be one of {', '.join(PARTS)}, got '{self.part}'")
        if not 0 <= self.seed < 1 << 63:
            raise ConfigError(f"the seed must be from 0 to 2^63 - 1, got {self.seed}")
        if not (_MIN_SIDE <= self.width <= _MAX_SIDE and _MIN_SIDE <= self.height <= _MAX_SIDE):
            raise ConfigError(
                f"images must be {_MIN_SIDE} to {_MAX_SIDE} pixels wide and high, got {self.width}x{self.height}"
            )
        if not 0.0 < self.near_m <= self.far_m < math.inf:
            raise ConfigError(f"distances must be positive and in order, got {self.near_m} to {self.far_m} m")

    def to_record(self) -> dict[str, Any]:
        """Return the plain values that ``dataset.yaml`` stores."""
        keys = ("seed", "width", "height", "near_m", "far_m")
        return {key: getattr(self, key) for key in keys} | {"objects": dict(self.objects)}

    def render_scene(self, scene: int) -> Iterator[tuple[ByteArray, LabelArray]]:
        """Yield the images of a scene, ``(H, W, 3)`` sRGB, each with its labels, category id x 1000 + instance."""
        # Seeded by scene, so the images do not depend on the order or number of the processes.
        rng = np.random.default_rng([self.seed, PARTS.index(self.part), scene])
        library, radius_m = self.object_library, float(rng.uniform(0.18, 0.42))
        scene_config = SceneConfig(categories=library.drawable, distractors_max=6, radius_m=radius_m)
        table = make_scene(rng, scene_config, library.make)
        renderer = Renderer(table, library.categories)
        for _ in range(IMAGES_PER_SCENE):
            focal = self.width * rng.uniform(0.75, 1.2)
            centre = (self.width - 1) / 2, (self.height - 1) / 2
            camera = CameraIntrinsics(focal, focal, *centre, self.width, self.height)
            viewpoint = random_view(rng, table, (self.near_m, self.far_m))
            view = renderer.render(viewpoint, camera, shadow_rays=2, instances=())
            yield randomize_domain(view.rgb, view.labels, rng, library.categories), view.labels


def write_images(
    folder: Path, config: ImageSetConfig, scenes: int, workers: int = 1, log: Callable[[str], None] = print
) -> int:
    """Render scenes into a data set; scenes of an earlier run with the same settings are kept.

    Args:
        folder: Folder of the data set; created if it does not exist.
        config: Settings of the images.
        scenes: Number of scenes, ``IMAGES_PER_SCENE`` images each. A larger number than in an earlier run adds scenes.
        workers: Number of processes.
        log: Called with a line of progress now and then.

    Returns:
        Number of images in this part of the data set.

    Raises:
        ConfigError: A number is out of bounds, or the part was begun with other settings.
        DataError: An image cannot be written, or a worker was killed.
    """
    if scenes < 1 or workers < 1:
        raise ConfigError(f"scenes and workers must be at least 1, got {scenes} and {workers}")
    _prepare_folder(folder, config)
    last = IMAGES_PER_SCENE - 1
    # The images of a scene are written in order, so the last one shows that the scene is complete.
    missing = [scene for scene in range(scenes) if not _image_path(folder, config, scene, last).exists()]
    log(f"{scenes - len(missing)} scenes exist already, {len(missing)} to render")
    try:
        for done, _ in enumerate(parallel_map(partial(_write_scene, folder, config), missing, workers), start=1):
            if done % 100 == 0 or done == len(missing):
                log(f"{done} of {len(missing)} scenes rendered")
    except OSError as error:
        raise DataError(
            f"an image cannot be written to '{folder}' ({error}): free disk space, or make the folder writable; "
            "then run the same command again"
        ) from error
    return scenes * IMAGES_PER_SCENE


def render_scene(config: ImageSetConfig, scene: int) -> Iterator[tuple[ByteArray, list[str]]]:
    """Yield the images of a scene, ``(H, W, 3)`` sRGB, each with the lines of its label file."""
    for rgb, labels in config.render_scene(scene):
        yield rgb, _label_lines(labels, config.object_library)


def _label_lines(labels: LabelArray, library: ObjectLibrary) -> list[str]:
    """Format a line per object with at least ``MIN_VISIBLE_PX`` visible pixels: class number and polygon."""
    height, width = labels.shape
    class_numbers = {category.id: number for number, category in enumerate(library.categories)}
    lines = []
    for label, pixels in zip(*np.unique(labels[labels > 0], return_counts=True), strict=True):
        polygon = mask_to_polygon(labels == label) if pixels >= MIN_VISIBLE_PX else np.empty((0, 2))
        if len(polygon):
            lines.append(format_label(class_numbers[int(label) // LABEL_BASE], polygon, width, height))
    return lines


def _prepare_folder(folder: Path, config: ImageSetConfig) -> None:
    """Create the folders and ``dataset.yaml``; raise ConfigError if this part was begun with other settings."""
    for kind in ("images", "labels"):
        (folder / kind / config.part).mkdir(parents=True, exist_ok=True)
    path, names = folder / DATASET_FILE, dict(enumerate(config.object_library.categories.names))
    try:
        read: Any = read_yaml(path) if path.exists() else {}
        made_by = dict(read.get("made_by", {}))
        before = read.get("names", names), made_by.get(config.part, config.to_record())
    except (AttributeError, TypeError, ValueError, UnreadableFileError) as error:
        raise DataError(f"'{path}' cannot be read ({error}): remove it, or choose another folder") from error
    # Continuing with other settings would mix two distributions in one data set.
    if before != (names, config.to_record()):
        raise ConfigError(f"'{path}' was begun with other settings: expected {before}, got {names, config.to_record()}")
    made_by[config.part] = config.to_record()
    parts = {part: f"images/{part}" for part in PARTS}
    document = {"path": str(folder.resolve()), **parts, "names": names, "made_by": made_by}
    with replace_file(path) as partial:
        partial.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def _image_path(folder: Path, config: ImageSetConfig, scene: int, view: int) -> Path:
    return folder / "images" / config.part / f"{scene:06d}_{view}.jpg"


def _write_scene(folder: Path, config: ImageSetConfig, scene: int) -> None:
    """Render and write one scene.

    An image is written after its label file and moved into place as a whole. A scene whose last image exists is
    therefore complete.
    """
    for view, (rgb, lines) in enumerate(render_scene(config, scene)):
        path = _image_path(folder, config, scene, view)
        label = folder / "labels" / config.part / f"{path.stem}.txt"
        _, jpeg = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        temporary = path.with_suffix(".part")
        try:
            label.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            temporary.write_bytes(jpeg.tobytes())
            temporary.replace(path)
        except OSError:
            # Not replace_file, which waits for the disk: an incomplete scene is rendered again.
            label.unlink(missing_ok=True)
            temporary.unlink(missing_ok=True)
            raise
