"""Realistic images: tables in panoramas with printed objects, and composites of photographs and rendered cut-outs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from clipose_ros.data.synthetic.assets.collage import draw_collage
from clipose_ros.data.synthetic.assets.mesh import BODY
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY
from clipose_ros.data.synthetic.assets.shapes import MeshObject
from clipose_ros.data.synthetic.materials import Material, Surface
from clipose_ros.data.synthetic.object_materials import make_clear, make_object_material, make_random_prop_material
from clipose_ros.data.synthetic.raycast import compute_ray_directions
from clipose_ros.data.synthetic.renderer import Renderer
from clipose_ros.data.synthetic.scenes import Scene, SceneConfig, make_scene
from clipose_ros.data.synthetic.viewpoints import random_view
from clipose_ros.errors import ConfigError
from clipose_ros.segmenter_training.composites import Canvas
from clipose_ros.segmenter_training.cut_outs import CutOut, cut_out_photo, render_cut_out
from clipose_ros.segmenter_training.dataset import IMAGES_PER_SCENE, PARTS, ImageSetConfig
from clipose_ros.segmenter_training.domain_randomization import randomize_camera
from clipose_ros.segmenter_training.environment import Environment, random_environment, read_environment
from clipose_ros.segmenter_training.environment_shading import EnvironmentShader
from clipose_ros.segmenter_training.hard_negatives import make_hard_negative, make_holding_hands
from clipose_ros.segmenter_training.photo_set import Photo, read_photos, read_rgb
from clipose_ros.types import LABEL_BASE, ByteArray, CameraIntrinsics, FloatArray, LabelArray

RENDERED_SHARES = {"can": 0.32, "bottle": 0.17, "bowl": 0.13, "mug": 0.06, "camera": 0.02, "": 0.3}
"""Shares of the categories among rendered cut-outs; the empty name is an object of no category."""
SIZES_PX = {"laptop": (70, 300), "camera": (28, 230), "mug": (24, 220), "": (30, 220)}
"""Smallest and largest longer side of a cut-out, pixels in an image of 512 columns; others as mugs."""
PHOTOGRAPHED = ("camera", "laptop")
"""Categories that tables show mostly as cut-outs of photographs, if there are photographs."""
CLEAR_SHARES = {"bottle": 0.25, "bowl": 0.08, "mug": 0.06}
"""Shares of objects of clear glass or plastic on tables; others have none."""
_SKIN = Material({BODY: Surface(0.2, 0.6, textured=0.0)})
_FURNITURE = 8
"""Number of props of a room: table top, four legs, floor and two walls."""


@dataclass(frozen=True)
class RealisticSetConfig(ImageSetConfig):
    """Settings of one part of a set of realistic images.

    Attributes:
        photos: Folder of photographs with masks, or None.
        rejected: SHA-256 digests of photographs whose mask is wrong.
        panoramas: Folder of panoramas (.hdr), or None for rooms drawn at random.
        backgrounds: Folder of images (.jpg) that show no object of the categories, or None.
        tables: Share of scenes that are tables; the others are composites of photographs.
    """

    photos: Path | None = None
    rejected: frozenset[str] = field(default_factory=frozenset)
    panoramas: Path | None = None
    backgrounds: Path | None = None
    tables: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.tables <= 1.0:
            raise ConfigError(f"the share of tables must be between 0 and 1, got {self.tables}")
        for folder, kind, suffix in ((self.panoramas, "panorama", ".hdr"), (self.backgrounds, "background", ".jpg")):
            if folder is not None and not any(folder.glob(f"*{suffix}")):
                raise ConfigError(f"'{folder}' holds no {kind} ({suffix}): name another folder, or none")

    def to_record(self) -> dict[str, Any]:
        """Return the plain values that ``dataset.yaml`` stores."""
        names = ("photos", "panoramas", "backgrounds")
        folders = {name: str(getattr(self, name)) for name in names if getattr(self, name)}
        return super().to_record() | folders | {"rejected": len(self.rejected), "tables": self.tables}

    def render_scene(self, scene: int) -> Iterator[tuple[ByteArray, LabelArray]]:
        """Yield the images of a scene, ``(H, W, 3)`` sRGB, each with its labels."""
        rng = np.random.default_rng([self.seed, PARTS.index(self.part), scene, 1])
        environment = _draw_environment(rng, self)
        canvases = _render_table if rng.uniform() < self.tables else _compose_photos
        for canvas in canvases(rng, self, environment):
            yield randomize_camera(canvas.image, rng), canvas.labels


def _draw_environment(rng: np.random.Generator, config: RealisticSetConfig) -> Environment:
    """Draw one of the panoramas of the part, or a random room."""
    paths = _list_files(config.panoramas, ".hdr", config.part) if config.panoramas else ()
    if not paths or rng.uniform() < 0.25:
        return random_environment(rng)
    return read_environment(paths[int(rng.integers(len(paths)))], rng.uniform(0, 2 * np.pi))


@lru_cache(maxsize=4)
def _list_files(folder: Path, suffix: str, part: str) -> tuple[Path, ...]:
    """Return the files of a part: every sixth is for validation."""
    paths = sorted(folder.glob(f"*{suffix}"))
    return tuple(path for number, path in enumerate(paths) if (number % 6 == 5) == (part == "val"))


@lru_cache(maxsize=4)
def _load_photos(folder: Path, part: str, library: tuple[str, ...], rejected: frozenset[str]) -> tuple[Photo, ...]:
    """Return the photographs of a part; cached for the scenes of a process."""
    categories = NOCS_OBJECT_LIBRARY.categories
    return tuple(p for p in read_photos(folder, part, categories, rejected) if p.category in library)


@lru_cache(maxsize=256)
def _load_cut_out(photo: Photo) -> CutOut:
    return cut_out_photo(photo)


def _get_photos(config: RealisticSetConfig) -> tuple[Photo, ...]:
    if config.photos is None:
        return ()
    return _load_photos(config.photos, config.part, config.object_library.categories.names, config.rejected)


def _render_table(rng: np.random.Generator, config: RealisticSetConfig, environment: Environment) -> Iterator[Canvas]:
    """Render the views of one table in an environment; some get cut-outs of photographs."""
    library = config.object_library
    scene_config = SceneConfig(
        categories=_draw_table_categories(rng, library.drawable, bool(_get_photos(config))),
        objects_min=1,
        objects_max=7,
        distractors_max=16,
        lying=0.1,
        tilted=0.04,
        radius_m=float(rng.uniform(0.2, 0.5)),
    )
    scene = make_scene(rng, scene_config, library.make, make_hard_negative)
    # Without walls, and sometimes without floor, the panorama shows.
    furniture = scene.props[: int(rng.choice([5, 6, _FURNITURE]))]
    hands = make_holding_hands(rng, scene.objects)
    scene = Scene(scene.objects, furniture + scene.props[_FURNITURE:] + hands, scene.light)
    materials = [_draw_material(rng, item.object) for item in scene.objects]
    table = make_random_prop_material(rng, 0.4)
    materials += [table] * 5 + [make_random_prop_material(rng, 0.2) for _ in scene.props[5 : len(furniture)]]
    materials += [make_random_prop_material(rng, 0.6) for _ in scene.props[len(furniture) + len(hands) :]]
    materials += [_SKIN] * len(hands)
    shader = EnvironmentShader(environment, materials, rng, float(rng.uniform(0.45, 1.1)))
    renderer = Renderer(scene, library.categories, shader.attach)
    photos = _get_photos(config)
    for _ in range(IMAGES_PER_SCENE):
        focal = config.width * rng.uniform(0.8, 1.3)
        centre = (config.width - 1) / 2, (config.height - 1) / 2
        camera = CameraIntrinsics(focal, focal, *centre, config.width, config.height)
        pose = random_view(rng, scene, (config.near_m, config.far_m))
        view = renderer.render(pose, camera, shadow_rays=6, instances=())
        rgb, empty = view.rgb.copy(), view.depth == 0
        rays = compute_ray_directions(camera)[empty.ravel()] @ pose[:3, :3].T.astype(np.float32)
        rgb[empty] = shader.background(rays)
        canvas = Canvas(rgb.astype(np.float32) / 255.0, view.labels, library.categories)
        if photos and rng.uniform() < 0.5:
            for _ in range(int(rng.integers(1, 4))):
                _paste_photo(canvas, photos, rng)
        yield canvas


def _draw_material(rng: np.random.Generator, item: MeshObject) -> Material:
    """Draw the material of an object; some vessels without a texture are of clear glass or plastic."""
    material = make_object_material(rng, item.category, item.mesh)
    if item.mesh.texture is not None:
        return material
    return make_clear(rng, material) if rng.uniform() < CLEAR_SHARES.get(item.category, 0.0) else material


def _draw_table_categories(rng: np.random.Generator, drawable: tuple[str, ...], photographed: bool) -> tuple[str, ...]:
    """Return the categories of a table: mostly without those whose rendered objects resemble any box.

    Photographs show these categories better. A detector that learns them from rendered boxes and slabs finds them in
    cartons, containers and table tops.
    """
    if not photographed or rng.uniform() < 0.25:
        return drawable
    chosen = tuple(name for name in drawable if name not in PHOTOGRAPHED)
    return chosen or drawable


def _compose_photos(rng: np.random.Generator, config: RealisticSetConfig, environment: Environment) -> Iterator[Canvas]:
    """Compose images of a background, cut-outs of photographs and rendered cut-outs."""
    photos = _get_photos(config)
    for _ in range(IMAGES_PER_SCENE):
        canvas = _draw_background(rng, config, environment, photos)
        kind = rng.uniform()
        pasted = int(rng.integers(0, 3)) if kind < 0.5 else int(rng.integers(1, 6))
        for _ in range(pasted):
            if photos and rng.uniform() < 0.45:
                _paste_photo(canvas, photos, rng)
            else:
                _paste_rendered(canvas, config, environment, rng)
        yield canvas


def _draw_background(
    rng: np.random.Generator, config: RealisticSetConfig, environment: Environment, photos: tuple[Photo, ...]
) -> Canvas:
    """Draw a photograph with its object, a part of the panorama, or coloured patches."""
    shape, categories = (config.height, config.width), config.object_library.categories
    labels: LabelArray = np.zeros(shape, dtype=np.uint16)
    choice = rng.uniform()
    if photos and choice < 0.45:
        return _place_photo(photos[int(rng.integers(len(photos)))], shape, config, rng)
    backgrounds = _list_files(config.backgrounds, ".jpg", config.part) if config.backgrounds else ()
    if backgrounds and choice < 0.8:
        path = backgrounds[int(rng.integers(len(backgrounds)))]
        return Canvas(_crop_background(path, shape, rng), labels, categories)
    if choice < 0.95:
        return Canvas(_view_panorama(rng, config, environment), labels, categories)
    collage = np.asarray(cv2.GaussianBlur(draw_collage(shape, rng), (0, 0), rng.uniform(0.5, 6.0)), dtype=np.float32)
    return Canvas(collage, labels, categories)


def _crop_background(path: Path, shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Return a random part ``(H, W, 3)`` of an image that fills the canvas."""
    image = read_rgb(path).astype(np.float32) / 255.0
    height, width = shape
    fill = max(width / image.shape[1], height / image.shape[0])
    scale = fill * float(np.exp(rng.uniform(0.0, 0.7)))
    size = (max(round(image.shape[1] * scale), width), max(round(image.shape[0] * scale), height))
    method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    scaled = np.asarray(cv2.resize(image, size, interpolation=method), dtype=np.float32)
    left, top = int(rng.integers(0, size[0] - width + 1)), int(rng.integers(0, size[1] - height + 1))
    part = scaled[top : top + height, left : left + width]
    return np.ascontiguousarray(part[:, ::-1] if rng.uniform() < 0.5 else part)


def _view_panorama(rng: np.random.Generator, config: RealisticSetConfig, environment: Environment) -> FloatArray:
    """Return a view ``(H, W, 3)`` of the panorama, slightly downwards."""
    focal = config.width * rng.uniform(0.6, 1.1)
    centre = (config.width - 1) / 2, (config.height - 1) / 2
    rays = compute_ray_directions(CameraIntrinsics(focal, focal, *centre, config.width, config.height))
    pitch = np.radians(rng.uniform(-5, 45))
    c, s = np.cos(pitch), np.sin(pitch)
    # Optical axes: x right, y down, z forward; the panorama's z is up.
    R = np.array([[0.0, -s, c], [-1.0, 0.0, 0.0], [0.0, -c, -s]], dtype=np.float32)
    shader = EnvironmentShader(environment, [], rng, float(rng.uniform(0.4, 1.1)))
    view = shader.background(rays @ R.T).reshape(config.height, config.width, 3)
    return view.astype(np.float32) / 255.0


def _place_photo(photo: Photo, shape: tuple[int, int], config: RealisticSetConfig, rng: np.random.Generator) -> Canvas:
    """Return a photograph scaled and placed in an image; its border continues by reflection or in one colour."""
    image, mask = photo.load()
    height, width = shape
    fit = min(width / image.shape[1], height / image.shape[0])
    # Photographs of products are filled by their object.
    relative = rng.uniform(0.95, 1.05) if rng.uniform() < 0.4 else np.exp(rng.uniform(np.log(0.35), np.log(1.15)))
    scale = fit * float(relative)
    method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    size = (max(round(image.shape[1] * scale), 8), max(round(image.shape[0] * scale), 8))
    small = cv2.resize(image, size, interpolation=method).astype(np.float32) / 255.0
    inside = cv2.resize(mask.astype(np.float32), size, interpolation=method) > 0.5
    mirrored = rng.uniform() < 0.5
    small, inside = (small[:, ::-1], inside[:, ::-1]) if mirrored else (small, inside)
    free = np.array([width - size[0], height - size[1]])
    left, top = (rng.uniform(np.minimum(free, 0), np.maximum(free, 0))).astype(int).tolist()
    M = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
    edge = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    colour = np.median(edge, axis=0) if edge.std(axis=0).mean() < 0.12 else rng.uniform(0.1, 0.9, 3)
    pasted = cv2.warpAffine(
        np.ascontiguousarray(small), M, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=colour.tolist()
    )
    labels = cv2.warpAffine(np.ascontiguousarray(inside).astype(np.uint8), M, (width, height)) > 0
    categories = config.object_library.categories
    label = categories[photo.category].id * LABEL_BASE + 1
    return Canvas(np.asarray(pasted, dtype=np.float32), np.where(labels, label, 0).astype(np.uint16), categories)


def _paste_photo(canvas: Canvas, photos: tuple[Photo, ...], rng: np.random.Generator) -> None:
    """Paste a cut-out of a random photograph; categories are drawn equally often."""
    names = sorted({photo.category for photo in photos})
    name = str(rng.choice(names))
    chosen = [photo for photo in photos if photo.category == name]
    cut_out = _load_cut_out(chosen[int(rng.integers(len(chosen)))])
    side = _draw_size(name, canvas, rng)
    _paste(canvas, cut_out.resized(side, rng.normal(0.0, 7.0), bool(rng.uniform() < 0.5)), rng)


def _paste_rendered(
    canvas: Canvas, config: RealisticSetConfig, environment: Environment, rng: np.random.Generator
) -> None:
    """Paste a rendered cut-out of a random category, or of none."""
    library = config.object_library
    names = [name for name in RENDERED_SHARES if not name or name in library.drawable]
    shares = np.array([RENDERED_SHARES[name] for name in names])
    name = str(rng.choice(names, p=shares / shares.sum()))
    side = round(_draw_size(name, canvas, rng))
    _paste(canvas, render_cut_out(rng, library, name, environment, side), rng)


def _draw_size(category: str, canvas: Canvas, rng: np.random.Generator) -> float:
    """Draw the longer side of a cut-out, pixels, uniformly in its logarithm."""
    low, high = np.log(SIZES_PX.get(category, SIZES_PX["mug"]))
    return float(np.exp(rng.uniform(low, high)) * canvas.labels.shape[1] / 512.0)


def _paste(canvas: Canvas, cut_out: CutOut, rng: np.random.Generator) -> None:
    """Paste a cut-out at a random place; a second and a third place are tried if it does not fit."""
    height, width = canvas.labels.shape
    h, w = cut_out.alpha.shape
    for _ in range(3):
        left, top = int(rng.uniform(-0.25 * w, width - 0.75 * w)), int(rng.uniform(-0.15 * h, height - 0.75 * h))
        if canvas.paste(cut_out, left, top, rng):
            return
