"""Pictures of simulated tables with the outline of every object seen, in the folder layout that YOLO trainers read.

======================== ===============================================================================================
``dataset.yaml``         where the pictures are, the names of the classes, and what the pictures were made of
``images/<part>/*.jpg``  pictures; ``<part>`` is ``train`` or ``val``
``labels/<part>/*.txt``  for each object a line: class number and its outline, x and y as shares of the picture
======================== ===============================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from clipose_ros.data.parallel import parallel_map
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY, ObjectLibrary
from clipose_ros.data.synthetic.renderer import Renderer
from clipose_ros.data.synthetic.scenes import SceneConfig, make_scene
from clipose_ros.data.synthetic.viewpoints import random_view
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.segmenter_training.domain_randomization import randomize_domain
from clipose_ros.segmenter_training.polygons import outline
from clipose_ros.types import LABEL_BASE, ByteArray, CameraIntrinsics, LabelArray

DATASET = "dataset.yaml"
PARTS = ("train", "val")
VIEWS = 6
"""Pictures of each scene."""
MIN_PIXELS = 60
"""Objects of which fewer pixels are seen are not outlined."""
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class PictureRecipe:
    """All that decides the pictures of one part.

    Attributes:
        seed: Scene i of a seed and part is always the same, however many processes draw.
        part: ``train`` or ``val``; equal seeds share no scene between the two.
        width: Pixels.
        height: Pixels.
        near_m: Nearest distance of the camera from what it looks at, metres.
        far_m: Farthest.
        object_library: What is put on the tables.
        objects: What ``dataset.yaml`` says of the object library, for people and to know it again.
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
        if min(self.width, self.height) < 32:
            raise ConfigError(f"pictures must be at least 32 pixels wide and high, got {self.width}x{self.height}")
        if not 0.0 < self.near_m <= self.far_m:
            raise ConfigError(f"distances must be positive and in order, got {self.near_m} to {self.far_m} m")

    def as_record(self) -> dict[str, Any]:
        """As ``dataset.yaml`` keeps it."""
        told = ("seed", "width", "height", "near_m", "far_m")
        return {name: getattr(self, name) for name in told} | {"objects": dict(self.objects)}


def write_pictures(
    folder: Path, recipe: PictureRecipe, scenes: int, workers: int = 1, tell: Callable[[str], None] = print
) -> int:
    """Draw scenes into a folder; what an earlier run drew is kept.

    Args:
        folder: Made if it does not exist.
        recipe: What is drawn.
        scenes: How many, each seen from ``VIEWS`` places; more than at an earlier run adds some.
        workers: Processes.
        tell: Called with a line now and then.

    Returns:
        Pictures of this part that are there now.

    Raises:
        ConfigError: A number is out of bounds, or the part was begun otherwise.
        DataError: A picture cannot be written, or a worker was killed.
    """
    if scenes < 1 or workers < 1:
        raise ConfigError(f"scenes and workers must be at least 1, got {scenes} and {workers}")
    _begin(folder, recipe)
    left = [scene for scene in range(scenes) if not _picture(folder, recipe, scene, VIEWS - 1).exists()]
    tell(f"{scenes - len(left)} scenes are there already, {len(left)} to draw")
    try:
        for done, _ in enumerate(parallel_map(partial(_write_scene, folder, recipe), left, workers), start=1):
            if done % 100 == 0 or done == len(left):
                tell(f"{done} of {len(left)} scenes drawn")
    except OSError as error:
        raise DataError(f"a picture cannot be written to '{folder}': {error}") from error
    return scenes * VIEWS


def scene_pictures(recipe: PictureRecipe, scene: int) -> Iterator[tuple[ByteArray, list[str]]]:
    """The pictures of a scene, ``(H, W, 3)`` sRGB, each with the lines of its label file."""
    rng = np.random.default_rng([recipe.seed, PARTS.index(recipe.part), scene])
    config = SceneConfig(
        categories=recipe.object_library.drawable, distractors_max=6, radius_m=float(rng.uniform(0.18, 0.42))
    )
    drawn = make_scene(rng, config, recipe.object_library.make)
    renderer = Renderer(drawn, recipe.object_library.categories)
    for _ in range(VIEWS):
        focal = recipe.width * rng.uniform(0.75, 1.2)
        centre = (recipe.width - 1) / 2, (recipe.height - 1) / 2
        camera = CameraIntrinsics(focal, focal, *centre, recipe.width, recipe.height)
        view = renderer.render(
            random_view(rng, drawn, (recipe.near_m, recipe.far_m)), camera, shadow_rays=2, instances=()
        )
        yield randomize_domain(view.rgb, view.labels, rng), _lines(view.labels, recipe.object_library)


def _lines(labels: LabelArray, object_library: ObjectLibrary) -> list[str]:
    """A line for every object of which enough is seen."""
    height, width = labels.shape
    numbers = {category.id: number for number, category in enumerate(object_library.categories)}
    lines = []
    for label, pixels in zip(*np.unique(labels[labels > 0], return_counts=True), strict=True):
        path = outline(labels == label) if pixels >= MIN_PIXELS else np.empty((0, 2))
        if len(path):
            shares, number = (path + 0.5) / (width, height), numbers[int(label) // LABEL_BASE]
            lines.append(" ".join([str(number), *(f"{value:.5f}" for value in shares.ravel())]))
    return lines


def _begin(folder: Path, recipe: PictureRecipe) -> None:
    """Make the folders and ``dataset.yaml``, or check that this part was begun alike."""
    for kind in ("images", "labels"):
        (folder / kind / recipe.part).mkdir(parents=True, exist_ok=True)
    path, names = folder / DATASET, dict(enumerate(recipe.object_library.categories.names))
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        made_by = dict(told.get("made_by", {}))
        before = told.get("names", names), made_by.get(recipe.part, recipe.as_record())
    except (AttributeError, TypeError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"'{path}' cannot be read: {error}") from error
    if before != (names, recipe.as_record()):
        raise ConfigError(f"'{path}' was begun with other settings: expected {before}, got {names, recipe.as_record()}")
    made_by[recipe.part] = recipe.as_record()
    parts = {part: f"images/{part}" for part in PARTS}
    told = {"path": str(folder.resolve()), **parts, "names": names, "made_by": made_by}
    path.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")


def _picture(folder: Path, recipe: PictureRecipe, scene: int, view: int) -> Path:
    return folder / "images" / recipe.part / f"{scene:06d}_{view}.jpg"


def _write_scene(folder: Path, recipe: PictureRecipe, scene: int) -> None:
    """Draw and write one scene. A picture appears last and whole, so that a scene with its last one is whole too."""
    for view, (rgb, lines) in enumerate(scene_pictures(recipe, scene)):
        path = _picture(folder, recipe, scene, view)
        label = folder / "labels" / recipe.part / f"{path.stem}.txt"
        label.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        _, coded = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        part = path.with_suffix(".part")
        part.write_bytes(coded.tobytes())
        part.replace(path)
