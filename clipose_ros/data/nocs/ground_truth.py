"""Readers of the NOCS result pickles: official ground truth and Mask R-CNN detections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.data.safe_pickle import read_pickle
from clipose_ros.errors import DataError
from clipose_ros.types import FloatArray, InstanceMask


@dataclass(frozen=True, slots=True, eq=False)
class OfficialTruth:
    """Released ground truth of an instance.

    Attributes:
        category: Name of the category.
        box: Pixel box (x0, y0, x1, y1), x1 and y1 exclusive.
        T_camera_object: ``(4, 4)`` rigid pose, metres.
        scale: Metres per NOCS unit.
        size: ``(3,)`` full extent, metres, object frame.
        handle_visible: False for a mug whose handle is hidden.
    """

    category: str
    box: tuple[int, int, int, int]
    T_camera_object: FloatArray
    scale: float
    size: FloatArray
    handle_visible: bool


def read_official_truths(path: Path, categories: CategorySet) -> list[OfficialTruth]:
    """Read the official truths of a frame.

    The stored poses are similarities. Their scale is the cube root of the determinant of the 3x3 block.

    Raises:
        DataError: The file is missing, or its entries are missing, differ in length, or are not similarities.
    """
    record = _read_record(path)
    ids, boxes, poses, extents = (
        _get_array(path, record, f"gt_{key}") for key in ("class_ids", "bboxes", "RTs", "scales")
    )
    # Without this entry, all handles count as visible.
    handles = np.asarray(record.get("gt_handle_visibility", np.ones(len(ids))))
    _check_equal_lengths(path, ids, boxes, poses, extents, handles)
    truths = []
    for class_id, box, S, extent, handle in zip(ids, boxes, poses, extents, handles, strict=True):
        category = categories.by_id(int(class_id))
        if category is None:
            continue
        S = np.asarray(S, dtype=np.float64)
        determinant = float(np.linalg.det(S[:3, :3]))
        if S.shape != (4, 4) or not determinant > 0.0:
            raise DataError(f"'{path}': gt_RTs must be similarities (4, 4), got {S.shape} of determinant {determinant}")
        scale = float(np.cbrt(determinant))
        T = S.copy()
        T[:3, :3] /= scale
        # NOCS boxes list rows before columns.
        top, left, bottom, right = (int(side) for side in box)
        size = scale * np.asarray(extent, dtype=np.float64)
        truths.append(OfficialTruth(category.name, (left, top, right, bottom), T, scale, size, bool(handle)))
    return truths


def read_detections(path: Path, categories: CategorySet) -> list[InstanceMask]:
    """Read the detections of a frame. Empty masks and unknown classes are skipped; keys of both releases are accepted.

    Raises:
        DataError: The file is missing, or its entries are missing or differ in length.
    """
    record = _read_record(path)
    # The releases use different keys.
    new = "pred_masks" in record
    keys = ("pred_class_ids", "pred_scores", "pred_masks") if new else ("class_ids", "scores", "masks")
    ids, scores, masks = (_get_array(path, record, key) for key in keys)
    if masks.ndim != 3:
        raise DataError(f"'{path}': {keys[2]} must be (H, W, N), got {masks.shape}")
    _check_equal_lengths(path, ids, scores, np.moveaxis(masks, 2, 0))
    found = []
    for class_id, score, mask in zip(ids, scores, np.moveaxis(masks, 2, 0), strict=True):
        category = categories.by_id(int(class_id))
        instance = InstanceMask.from_full(category.name, float(score), mask.astype(bool)) if category else None
        if instance is not None:
            found.append(instance)
    return found


def _read_record(path: Path) -> Mapping[str, Any]:
    """Read a pickled dict, or raise DataError."""
    record = read_pickle(path)
    if not isinstance(record, Mapping):
        raise DataError(f"'{path}' must hold a dict, got {type(record).__name__}")
    return record


def _get_array(path: Path, record: Mapping[str, Any], key: str) -> Any:
    """Return an entry of a record as an array, or raise DataError."""
    if key not in record:
        raise DataError(f"'{path}' lacks '{key}': it has {', '.join(map(str, record))}")
    return np.asarray(record[key])


def _check_equal_lengths(path: Path, *columns: Any) -> None:
    """Raise DataError if the columns differ in length."""
    if len({len(column) for column in columns}) > 1:
        raise DataError(f"'{path}': entries differ in length: {', '.join(str(len(column)) for column in columns)}")
