"""NOCS result files: one pickle per image, ``results_*.pkl``, with truths and predictions."""

from __future__ import annotations

import glob
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from clipose_ros.data.safe_pickle import read_pickle
from clipose_ros.errors import DataError
from clipose_ros.types import BoolArray, FloatArray, IndexArray


@dataclass(frozen=True, slots=True, eq=False)
class NocsObjects:
    """Poses and boxes of the objects of one image.

    Attributes:
        class_ids: ``(N,)`` NOCS class ids, from 1.
        S_camera_object: ``(N, 4, 4)`` similarities, NOCS coordinates into camera coordinates in metres.
        extents: ``(N, 3)`` extents along the object's axes, NOCS units. Multiplied by the scale of the similarity they
            are metres.
        boxes: ``(N, 4)`` 2D boxes, pixels: top, left, bottom, right. The metrics do not depend on them.
    """

    class_ids: IndexArray
    S_camera_object: FloatArray
    extents: FloatArray
    boxes: FloatArray

    @classmethod
    def from_poses(
        cls, class_ids: Sequence[int], T_camera_object: ArrayLike, sizes: ArrayLike, boxes: ArrayLike | None = None
    ) -> NocsObjects:
        """Convert rigid poses and metric sizes. The NOCS unit is the diagonal of the box.

        Args:
            class_ids: NOCS class ids.
            T_camera_object: ``(N, 4, 4)`` poses.
            sizes: ``(N, 3)`` full extents, metres.
            boxes: ``(N, 4)`` 2D boxes; one pixel each if None, since the released code rejects empty boxes.
        """
        n = len(class_ids)
        sizes = np.asarray(sizes, dtype=np.float64).reshape(n, 3)
        S = np.array(T_camera_object, dtype=np.float64).reshape(n, 4, 4)
        diagonals = np.linalg.norm(sizes, axis=-1, keepdims=True)
        S[:, :3, :3] *= diagonals[..., None]
        pixels = np.tile([0.0, 0.0, 1.0, 1.0], (n, 1)) if boxes is None else np.asarray(boxes, dtype=np.float64)
        return cls(np.asarray(class_ids, dtype=np.int64), S, sizes / diagonals, pixels.reshape(n, 4))


@dataclass(frozen=True, slots=True, eq=False)
class NocsFrame:
    """Truths and predictions of one image.

    Attributes:
        name: Name of the image.
        truths: True objects.
        handle_visible: ``(G,)``, False for a mug whose handle is hidden; ignored for other classes.
        predictions: Predicted objects.
        scores: ``(P,)`` detection confidences.
        extras: Entries of the file that the evaluation does not use, such as ``image_path``; they are written back.
    """

    name: str
    truths: NocsObjects
    handle_visible: BoolArray
    predictions: NocsObjects
    scores: FloatArray
    extras: Mapping[str, Any] = field(default_factory=dict)


def find_results(patterns: Sequence[str]) -> list[Path]:
    """Return the sorted files that match glob patterns; a folder stands for the ``results_*.pkl`` in it.

    Raises:
        DataError: A pattern matches nothing.
    """
    files: set[Path] = set()
    for pattern in patterns:
        file_pattern = str(Path(pattern) / "results_*.pkl") if Path(pattern).is_dir() else pattern
        matching = glob.glob(file_pattern, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
        if not matching:
            raise DataError(
                f"expected result files, but nothing matches '{file_pattern}': quote the pattern, check the path"
            )
        files.update(Path(path) for path in matching)
    return sorted(files)


def read_results(path: Path) -> Iterator[NocsFrame]:
    """Yield the frames of one file, which holds a dictionary or a list of dictionaries.

    Raises:
        DataError: The file cannot be read or is no plain pickle, or an entry is missing or has a wrong shape.
    """
    content = read_pickle(path)
    frames = content if isinstance(content, list) else [content]
    for number, entries in enumerate(frames):
        name = path.stem if len(frames) == 1 else f"{path.stem}[{number}]"
        if not isinstance(entries, dict):
            raise DataError(f"{path}: expected a dictionary per image, got {type(entries).__name__}")
        yield _Entries(path, entries).frame(name)


def write_results(path: Path, frame: NocsFrame) -> None:
    """Write a frame in the format of the released evaluation code, readable under any version of NumPy."""
    entries = {
        **frame.extras,
        "gt_class_ids": frame.truths.class_ids.astype(np.int32),
        "gt_bboxes": frame.truths.boxes,
        "gt_RTs": frame.truths.S_camera_object,
        "gt_scales": frame.truths.extents,
        "gt_handle_visibility": frame.handle_visible.astype(np.int32),
        "pred_class_ids": frame.predictions.class_ids.astype(np.int32),
        "pred_bboxes": frame.predictions.boxes,
        "pred_scores": frame.scores,
        "pred_RTs": frame.predictions.S_camera_object,
        "pred_scales": frame.predictions.extents,
    }
    with path.open("wb") as stream:
        _PortablePickler(stream, protocol=4).dump(entries)


class _PortablePickler(pickle.Pickler):
    """Pickler that stores an array as a call of ``numpy.ndarray``: NumPy's private modules differ between versions."""

    def reducer_override(self, obj: Any) -> Any:
        """Return the call that rebuilds an array; ``NotImplemented`` for other objects."""
        if isinstance(obj, np.ndarray) and not obj.dtype.hasobject:
            return np.ndarray, (obj.shape, obj.dtype.str, obj.tobytes())
        return NotImplemented


class _Entries:
    """Entries of one frame; each is checked when it is read."""

    def __init__(self, path: Path, entries: dict[str, Any]) -> None:
        self._path = path
        self._entries = entries
        self._used: set[str] = set()

    def frame(self, name: str) -> NocsFrame:
        """Return the frame.

        Raises:
            DataError: An entry is missing or malformed.
        """
        truths, predictions = self._objects("gt"), self._objects("pred")
        finite = np.isfinite(truths.S_camera_object).all() and np.isfinite(truths.extents).all()
        scores = self._array("pred_scores", (len(predictions.class_ids),), np.float64)
        if not finite or not np.isfinite(scores).all():
            raise DataError(f"{self._path}: true poses and scores must be finite numbers")
        count = len(truths.class_ids)
        # files of the release have the shorter key, older files have none
        key = next((k for k in ("gt_handle_visibility", "handle_visibility") if k in self._entries), None)
        visible = np.ones(count) if key is None else self._array(key, (count,), np.float64)
        extras = {key: value for key, value in self._entries.items() if key not in self._used}
        return NocsFrame(name, truths, visible != 0, predictions, scores, extras)

    def _objects(self, side: str) -> NocsObjects:
        """Return the truths (``gt``) or the predictions (``pred``)."""
        key = f"{side}_class_ids"
        n = 0 if self._entries.get(key, ()) is None else len(self._value(key))
        boxes_known = self._entries.get(f"{side}_bboxes") is not None
        return NocsObjects(
            self._array(key, (n,), np.int64),
            self._array(f"{side}_RTs", (n, 4, 4), np.float64),
            self._array(f"{side}_scales", (n, 3), np.float64),
            self._array(f"{side}_bboxes", (n, 4), np.float64) if boxes_known else np.tile([0.0, 0.0, 1.0, 1.0], (n, 1)),
        )

    def _value(self, key: str) -> Any:
        if key not in self._entries:
            raise DataError(
                f"{self._path}: expected an entry '{key}', got only {', '.join(map(str, sorted(self._entries)))}"
            )
        self._used.add(key)
        return self._entries[key]

    def _array(self, key: str, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
        """Return an entry as an array; for no objects it may have any shape."""
        value = self._value(key)
        if shape[0] == 0 and (value is None or np.size(value) == 0):
            return np.zeros(shape, dtype=dtype)
        try:
            array = np.asarray(value).astype(dtype)
        except (TypeError, ValueError) as error:
            raise DataError(f"{self._path}: '{key}' must hold numbers: {error}") from error
        if array.shape != shape:
            raise DataError(f"{self._path}: '{key}' must have shape {shape}, one row per object, got {array.shape}")
        return array
