"""Readers of the pickles of NOCS data: released ground truth and Mask R-CNN detections.

The released truths (``gts``) of REAL275 hold ``gt_RTs`` and ``image_path``. Those of CAMERA25 hold ``gt_RTs``,
``handle_visibility``, ``gt_class_ids``, ``gt_bboxes``, ``gt_scales``, ``obj_list``, ``image_id`` and ``image_path``.
Row i belongs to the i-th instance in ascending order of the numbers in the mask. Distractors (class id 0) and instances
without a pixel have no row. As in the released evaluation, classes come from the meta file, boxes from the mask and
extents from the models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.data.nocs.files import IMAGE_SHAPE, MetaLine
from clipose_ros.data.nocs.object_models import NocsModels
from clipose_ros.data.safe_pickle import as_numbers, read_pickle
from clipose_ros.errors import DataError, UnreadableFileError, quoted
from clipose_ros.geometry.similarity import describe_similarity_faults
from clipose_ros.types import BoolArray, FloatArray, InstanceMask

_HANDLE_KEYS = ("handle_visibility", "gt_handle_visibility")
"""Keys of the visibility of handles in the released truths, and in result files that are used as truths."""
_NO_PIXELS = np.zeros((1, 1), dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class OfficialTruth:
    """Released ground truth of an instance.

    Attributes:
        instance: Instance number in the mask image.
        category: Name of the category.
        box: Pixel box (x0, y0, x1, y1), x1 and y1 exclusive.
        T_camera_object: ``(4, 4)`` rigid pose, metres.
        scale: Metres per NOCS unit.
        size: ``(3,)`` full extent, metres, object frame.
        handle_visible: False for a mug whose handle is hidden; True if the file does not state it.
    """

    instance: int
    category: str
    box: tuple[int, int, int, int]
    T_camera_object: FloatArray
    scale: float
    size: FloatArray
    handle_visible: bool


def read_official_truths(
    path: Path, instances: Sequence[tuple[MetaLine, BoolArray]], models: NocsModels, categories: CategorySet
) -> list[OfficialTruth]:
    """Read the official truths of a frame.

    The stored poses are similarities. Their scale is the cube root of the determinant of the 3x3 block.

    Args:
        path: The pickle.
        instances: Instances of the frame with their pixels ``(H, W)``, without distractors.
        models: Object models, which state the extents.
        categories: Categories of interest; instances of others are left out.

    Raises:
        DataError: A file is missing or malformed, or the rows of the pickle do not belong to the instances.
    """
    record = _read_record(path)
    rows = sorted(instances, key=lambda row: row[0].instance)
    matrices = _get_numbers(path, record, "gt_RTs").astype(np.float64)
    if matrices.shape[:1] != (len(rows),) or (rows and matrices.shape[1:] != (4, 4)):
        shown = ", ".join(f"{line.instance} {line.model}" for line, _ in rows)
        raise DataError(
            f"'{path}': gt_RTs must hold one matrix (4, 4) for each of the {len(rows)} objects of mask and meta file "
            f"({quoted(shown)}), got {matrices.shape}"
        )
    _check_columns(path, record, [line.class_id for line, _ in rows])
    handles = _read_handles(path, record, len(rows))
    for row, fault in enumerate(describe_similarity_faults(matrices.reshape(-1, 4, 4))):
        if fault:
            raise DataError(f"'{path}': gt_RTs[{row}] {fault}")
    truths = []
    for (line, pixels), S, handle in zip(rows, matrices, handles, strict=True):
        category = categories.by_id(line.class_id)
        mask = InstanceMask.from_full(category.name, 1.0, pixels) if category else None
        if mask is None:
            continue
        scale, T = float(np.cbrt(np.linalg.det(S[:3, :3]))), S.copy()
        T[:3, :3] /= scale
        size = scale * models.read_extents(line)
        truths.append(OfficialTruth(line.instance, mask.category, mask.box, T, scale, size, bool(handle)))
    return truths


def read_detections(path: Path, categories: CategorySet, shape: tuple[int, int] = IMAGE_SHAPE) -> list[InstanceMask]:
    """Read the detections of a frame; keys of both releases are accepted.

    A detection without a pixel is kept with an empty mask, since it counts as a false one.

    Args:
        path: The pickle.
        categories: Categories of interest; detections of others are left out.
        shape: Height and width of the images, pixels.

    Raises:
        DataError: The file is missing, an entry is missing or malformed, or a class id is unknown.
    """
    record = _read_record(path)
    # The releases use different keys.
    is_new = "pred_masks" in record
    keys = ("pred_class_ids", "pred_scores", "pred_masks") if is_new else ("class_ids", "scores", "masks")
    ids, scores, masks = (_get_numbers(path, record, key) for key in keys)
    if not ids.size and not scores.size:
        return []
    if ids.ndim != 1 or scores.shape != ids.shape or masks.shape != (*shape, len(ids)):
        raise DataError(
            f"'{path}': {keys[2]} must be (H, W, N) = {(*shape, ids.size)} beside {ids.size} class ids and "
            f"{scores.size} scores, got {masks.shape}"
        )
    found = []
    for row, (class_id, score) in enumerate(zip(ids.tolist(), scores.tolist(), strict=True)):
        category = categories.by_id(class_id)
        if category is None and NOCS_CATEGORIES.by_id(class_id) is None:
            raise DataError(f"'{path}': {keys[0]}[{row}] is {class_id}, which is no category: expected 1 to 6")
        if not np.isfinite(score):
            raise DataError(f"'{path}': {keys[1]}[{row}] is {score}: expected a number")
        if category is not None:
            mask = InstanceMask.from_full(category.name, score, masks[..., row].astype(np.bool_))
            found.append(mask or InstanceMask(category.name, score, (0, 0, 1, 1), _NO_PIXELS))
    return found


def _read_record(path: Path) -> Mapping[object, object]:
    """Read a pickled dict, or raise DataError."""
    record = read_pickle(path)
    if not isinstance(record, dict):
        raise DataError(f"'{path}' must hold a dict, got {type(record).__name__}")
    return record


def _get_numbers(path: Path, record: Mapping[object, object], key: str) -> NDArray[np.generic]:
    """Return an entry of a record as an array of numbers, or raise DataError."""
    if key not in record:
        raise DataError(f"'{path}' lacks '{key}': it has {quoted(', '.join(map(str, record)))}")
    try:
        return as_numbers(record[key])
    except UnreadableFileError as error:
        raise DataError(f"'{path}': '{key}' is malformed: {error}") from error


def _check_columns(path: Path, record: Mapping[object, object], class_ids: list[int]) -> None:
    """Raise DataError if the entries of a record that repeat mask and meta file disagree with them."""
    for key in ("gt_class_ids", "gt_bboxes", "gt_scales"):
        if key in record and len(np.atleast_1d(_get_numbers(path, record, key))) != len(class_ids):
            raise DataError(f"'{path}': '{key}' must have {len(class_ids)} rows, as many as mask and meta file show")
    stored = np.ravel(_get_numbers(path, record, "gt_class_ids")) if "gt_class_ids" in record else class_ids
    for row, (found, expected) in enumerate(zip(stored, class_ids, strict=True)):
        if found != expected:
            raise DataError(f"'{path}': gt_class_ids[{row}] is {found}, but the meta file states {expected}")


def _read_handles(path: Path, record: Mapping[object, object], count: int) -> NDArray[np.generic]:
    """Return the visibility of handles ``(N,)``: 0 or 1; 1 if the file does not state it."""
    key = next((key for key in _HANDLE_KEYS if key in record), None)
    handles = np.ones(count) if key is None else _get_numbers(path, record, key)
    if handles.shape != (count,) or not np.isin(handles, (0, 1)).all():
        raise DataError(
            f"'{path}': '{key}' must hold 0 or 1 for each of {count} objects, got {quoted(handles.tolist())}"
        )
    return handles
