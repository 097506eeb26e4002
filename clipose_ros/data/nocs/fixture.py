"""Synthetic fixture in the format of the NOCS data: the same folders, files, units and axes, for tests and trials.

In the coordinate maps every object's box, a mug's included, has a diagonal of 1 and its centre at the middle of the
unit cube. The corrections in ``mug_meta.pkl`` move mugs to the axis of their body.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.mask_augmentation import augment_mask
from clipose_ros.data.nocs.files import BACKGROUND, SUBSETS, NocsSubset, encode_coordinates, encode_object_depth
from clipose_ros.data.nocs.object_models import MUG_META
from clipose_ros.data.safe_pickle import read_pickle
from clipose_ros.data.synthetic.renderer import ObjectTruth, RenderedFrame, Renderer
from clipose_ros.data.synthetic.scenes import PlacedObject, Scene, SceneConfig, make_scene
from clipose_ros.data.synthetic.viewpoints import random_view
from clipose_ros.errors import ConfigError
from clipose_ros.geometry.camera import backproject
from clipose_ros.geometry.se3 import invert_transform, transform_points
from clipose_ros.types import LABEL_BASE, FloatArray, InstanceMask

SYNSETS = {
    "bottle": "02876657",
    "bowl": "02880940",
    "camera": "02942699",
    "can": "02946921",
    "laptop": "03642806",
    "mug": "03797390",
}
"""WordNet synset numbers, by which CAMERA groups its models."""
_FIXTURE_SCENE = SceneConfig(objects_min=4, objects_max=6, distractors_max=2, lying=0.1, tilted=0.1)


def write_nocs_fixture(
    root: str | Path, subset: str, *, scenes: int = 1, frames: int = 2, seed: int = 0
) -> dict[str, tuple[ObjectTruth, ...]]:
    """Simulate scenes and write them as one subset of the NOCS data.

    Args:
        root: Output folder; files of other subsets are kept.
        subset: ``camera_train``, ``camera_val``, ``real_train`` or ``real_test``.
        scenes: Number of scenes.
        frames: Number of views of each scene.
        seed: Seed of scenes and views; equal seeds write equal files.

    Returns:
        The renderer's ground truth by frame name, such as ``scene_1/0000``. Origins are box centres; mugs are not
        corrected.

    Raises:
        ConfigError: The subset is unknown.
    """
    if subset not in SUBSETS:
        raise ConfigError(f"unknown NOCS subset '{subset}': expected one of {', '.join(SUBSETS)}")
    layout, root = SUBSETS[subset], Path(root)
    truths = {}
    mugs = _read_mug_corrections(root / MUG_META)
    for number in range(1, scenes + 1):
        rng = np.random.default_rng([seed, number])
        scene = make_scene(rng, _FIXTURE_SCENE)
        renderer = Renderer(scene)
        name = f"scene_{number}" if subset.startswith("real") else f"{number - 1:05d}"
        models = {item.instance: f"{item.object.category}_{name}_{item.instance}_norm" for item in scene.objects}
        meta = _format_meta(layout, scene, models)
        for item in scene.objects:
            _write_model(root, layout, item, models[item.instance])
            if item.object.category == "mug":
                mugs[models[item.instance]] = compute_mug_correction(item.object.size)
        for index in range(frames):
            view = renderer.render(random_view(rng, scene, (0.5, 1.0)), layout.intrinsics, shadow_rays=0)
            frame = f"{name}/{index:04d}"
            _write_frame(root, layout, frame, view, meta)
            _write_records(root, layout, frame, view, rng)
            truths[frame] = view.truths
    _write_pickle(root / MUG_META, mugs)
    return truths


def compute_mug_correction(size: FloatArray) -> list[Any]:
    """Compute shift and factor of the correction of a mug with the given size ``(3,)``; see ``MugCorrection``.

    The diameter of the body is the z extent, so its axis lies (x - z) / 2 behind the centre of the box.
    """
    x, y, z = size / np.linalg.norm(size)
    shift = (x - z) / 2.0
    return [np.array([shift, 0.0, 0.0]), float(1.0 / np.linalg.norm([x + 2.0 * shift, y, z]))]


def render_coordinate_map(view: RenderedFrame, subset: NocsSubset) -> FloatArray:
    """Compute the centred NOCS coordinates ``(H, W, 3)`` of all object pixels; 0 for other pixels."""
    coordinates = np.zeros((*view.depth.shape, 3))
    points = backproject(view.depth, subset.intrinsics)
    for truth in view.truths:
        pixels = view.labels == _compute_label(truth)
        local = transform_points(invert_transform(truth.T_camera_object), points[pixels])
        coordinates[pixels] = local / np.linalg.norm(truth.size)
    return coordinates


def _format_meta(subset: NocsSubset, scene: Scene, models: Mapping[int, str]) -> str:
    """Return the meta file of a scene: all objects in ascending order, those beyond the image too.

    CAMERA has distractors, of class 0. The one here has no pixels.
    """
    lines = []
    for item in sorted(scene.objects, key=lambda item: item.instance):
        category = item.object.category
        synset = f"{SYNSETS[category]} " if subset.composed else ""
        lines.append(f"{item.instance} {NOCS_CATEGORIES[category].id} {synset}{models[item.instance]}\n")
    if subset.composed:
        lines.append(f"{max(models) + 1} 0 03211117 distractor\n")
    return "".join(lines)


def _write_frame(root: Path, subset: NocsSubset, frame: str, view: RenderedFrame, meta: str) -> None:
    """Write the files of a frame, with composed depth where the subset has it."""
    stem = root / subset.folders[0] / frame
    stem.parent.mkdir(parents=True, exist_ok=True)
    objects = view.labels > 0
    mask = np.where(objects, view.labels % LABEL_BASE, BACKGROUND).astype(np.uint8)
    depth = np.rint(1000.0 * view.depth).astype(np.uint16)
    coordinates = encode_coordinates(render_coordinate_map(view, subset))
    # The released coordinate maps are white outside the objects.
    coordinates[~objects] = 255
    _write_image(stem, "color.png", np.ascontiguousarray(view.rgb[..., ::-1]))
    _write_image(stem, "depth.png", encode_object_depth(np.where(objects, depth, 0)) if subset.composed else depth)
    _write_image(stem, "mask.png", mask)
    _write_image(stem, "coord.png", coordinates)
    stem.with_name(f"{stem.name}_meta.txt").write_text(meta, encoding="utf-8")
    if subset.composed is not None:
        composed = root / subset.composed / frame
        composed.parent.mkdir(parents=True, exist_ok=True)
        _write_image(composed, "composed.png", depth)


def _write_records(root: Path, subset: NocsSubset, frame: str, view: RenderedFrame, rng: np.random.Generator) -> None:
    """Write official truths and simulated detections of a frame, if the subset has them."""
    if subset.truth is None or subset.detections is None:
        return
    image_path = f"/data/{subset.folders[-1]}/{frame}"
    masks = [InstanceMask.from_full(t.category, 1.0, view.labels == _compute_label(t)) for t in view.truths]
    true_masks = [mask for mask in masks if mask is not None]
    augmented = [augment_mask(mask, view.labels.shape, rng) for mask in true_masks]
    detected = [mask for mask in augmented if mask is not None]
    # Official poses are similarities: the 3x3 block is the rotation times the box diagonal.
    similarities = np.array([t.T_camera_object for t in view.truths]).reshape(-1, 4, 4)
    diagonals = np.array([np.linalg.norm(t.size) for t in view.truths])
    similarities[:, :3, :3] *= diagonals[:, None, None]
    rows = {
        "gt_class_ids": np.array([NOCS_CATEGORIES[t.category].id for t in view.truths], dtype=np.int64),
        "gt_bboxes": _stack_boxes(true_masks),
        "gt_scales": (np.array([t.size for t in view.truths]).reshape(-1, 3) / diagonals[:, None]).astype(np.float32),
    }
    truths: dict[str, Any] = {"gt_RTs": similarities, "image_path": image_path}
    visible = np.array([int(t.handle_visible) for t in view.truths], dtype=np.int64)
    # Only CAMERA states the visibility of handles.
    if subset.composed is not None:
        objects = [f"/data/obj_models/val/{SYNSETS[t.category]}/{t.instance}/model.obj" for t in view.truths]
        truths |= {**rows, "handle_visibility": visible, "obj_list": objects, "image_id": 0}
    detections = {
        "pred_class_ids": np.array([NOCS_CATEGORIES[mask.category].id for mask in detected], dtype=np.int32),
        "pred_bboxes": _stack_boxes(detected),
        "pred_scores": rng.uniform(0.8, 1.0, len(detected)).astype(np.float32),
        "pred_masks": _stack_masks(detected, view.labels.shape),
        "gt_RTs": similarities,
        "gt_handle_visibility": visible,
        **rows,
    }
    ending = f"{frame.replace('/', '_')}.pkl"
    for files, record in ((subset.truth, truths), (subset.detections, detections)):
        _write_pickle(root / files.folder / f"{files.prefixes[0]}_{ending}", record)


def _stack_boxes(masks: list[InstanceMask]) -> NDArray[np.int32]:
    """Return the boxes of masks as ``(N, 4)`` top, left, bottom, right."""
    sides = [(mask.box[1], mask.box[0], mask.box[3], mask.box[2]) for mask in masks]
    return np.array(sides, dtype=np.int32).reshape(-1, 4)


def _stack_masks(masks: list[InstanceMask], shape: tuple[int, ...]) -> Any:
    """Return masks as one image stack ``(H, W, N)`` bool."""
    stack = np.zeros((*shape, len(masks)), dtype=bool)
    for i, mask in enumerate(masks):
        x0, y0, x1, y1 = mask.box
        stack[y0:y1, x0:x1, i] = mask.mask
    return stack


def _write_model(root: Path, subset: NocsSubset, item: PlacedObject, model: str) -> None:
    """Write the box of a model: two corners for CAMERA, three extents for REAL."""
    folder = root / subset.models
    size: FloatArray = item.object.size
    path = folder / f"{model}.txt"
    if subset.composed is not None:
        path, size = folder / SYNSETS[item.object.category] / model / "bbox.txt", np.stack([size, -size]) / 2.0
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, size)


def _read_mug_corrections(path: Path) -> dict[str, Any]:
    """Read the mug corrections that an earlier call wrote for another subset."""
    known = read_pickle(path) if path.is_file() else {}
    return {str(model): correction for model, correction in known.items()} if isinstance(known, dict) else {}


def _write_image(stem: Path, suffix: str, image: Any) -> None:
    """Write an image of a frame, such as ``0000_color.png``."""
    cv2.imwrite(str(stem.with_name(f"{stem.name}_{suffix}")), image)


def _write_pickle(path: Path, value: Any) -> None:
    """Write a pickle; create its folder if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=3))


def _compute_label(truth: ObjectTruth) -> int:
    """Return the value of an object in the label image."""
    return NOCS_CATEGORIES[truth.category].id * LABEL_BASE + truth.instance
