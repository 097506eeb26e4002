"""NOCS result files: one pickle per image, ``results_*.pkl``, with truths and predictions."""

from __future__ import annotations

import glob
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clipose_ros.data.safe_pickle import as_numbers, read_pickle
from clipose_ros.errors import DataError, UnreadableFileError, quoted
from clipose_ros.geometry.similarity import describe_similarity_faults
from clipose_ros.types import BoolArray, FloatArray, IndexArray

_ONE_PIXEL = (0.0, 0.0, 1.0, 1.0)


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
        pixels = np.tile(_ONE_PIXEL, (n, 1)) if boxes is None else np.asarray(boxes, dtype=np.float64)
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
        handles_stated: False if the file does not state the visibility of handles; all count as visible then.
    """

    name: str
    truths: NocsObjects
    handle_visible: BoolArray
    predictions: NocsObjects
    scores: FloatArray
    extras: Mapping[Any, Any] = field(default_factory=dict)
    handles_stated: bool = True


def find_results(patterns: Sequence[str]) -> list[Path]:
    """Return the sorted files that match glob patterns; a folder stands for the ``results_*.pkl`` in it.

    Raises:
        DataError: A pattern matches nothing.
    """
    files: set[Path] = set()
    for pattern in patterns:
        # Folders and files are taken as they are: their names may hold the special characters of patterns.
        named = glob.escape(pattern) if Path(pattern).exists() else pattern
        file_pattern = str(Path(named) / "results_*.pkl") if Path(pattern).is_dir() else named
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
        DataError: The file cannot be read or is no plain pickle, an entry is missing or has a wrong shape, or a true
            pose or size is impossible. The message names the entry and its row.
    """
    content = read_pickle(path)
    frames = content if isinstance(content, list) else [content]
    if not frames:
        raise DataError(f"'{path}' holds an empty list: expected a dictionary per image")
    for number, entries in enumerate(frames):
        name, place = (
            (path.stem, f"'{path}'") if len(frames) == 1 else (f"{path.stem}[{number}]", f"'{path}'[{number}]")
        )
        if not isinstance(entries, dict):
            raise DataError(f"{place}: expected a dictionary per image, got {type(entries).__name__}")
        yield _Entries(place, entries).frame(name)


def write_results(path: Path, frame: NocsFrame) -> None:
    """Write a frame in the format of the released evaluation code, readable under any version of NumPy."""
    entries = {
        **frame.extras,
        "gt_class_ids": frame.truths.class_ids.astype(np.int32),
        "gt_bboxes": frame.truths.boxes,
        "gt_RTs": frame.truths.S_camera_object,
        "gt_scales": frame.truths.extents,
        "pred_class_ids": frame.predictions.class_ids.astype(np.int32),
        "pred_bboxes": frame.predictions.boxes,
        "pred_scores": frame.scores,
        "pred_RTs": frame.predictions.S_camera_object,
        "pred_scales": frame.predictions.extents,
    }
    if frame.handles_stated:
        entries["gt_handle_visibility"] = frame.handle_visible.astype(np.int32)
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
    """Entries of one frame; each is checked when it is read.

    Args:
        place: File and number of the frame, for messages.
        entries: The entries.
    """

    def __init__(self, place: str, entries: Mapping[object, object]) -> None:
        self._place = place
        self._entries = entries
        self._used: set[object] = set()

    def frame(self, name: str) -> NocsFrame:
        """Return the frame.

        Raises:
            DataError: An entry is missing or malformed.
        """
        truths, predictions = self._objects("gt"), self._objects("pred")
        self._check_truths(truths)
        scores: FloatArray = self._array("pred_scores", (len(predictions.class_ids),)).astype(np.float64)
        self._check_rows("pred_scores", np.isfinite(scores), scores, "a number")
        # Files of the release have the longer key, the truths of CAMERA25 the shorter one, older files have none.
        key = next((key for key in ("gt_handle_visibility", "handle_visibility") if key in self._entries), None)
        count = len(truths.class_ids)
        visible = np.ones(count) if key is None else self._array(key, (count,))
        self._check_rows(str(key), np.isin(visible, (0, 1)), visible, "0 or 1")
        extras = {key: value for key, value in self._entries.items() if key not in self._used}
        return NocsFrame(name, truths, visible != 0, predictions, scores, extras, key is not None)

    def _objects(self, side: str) -> NocsObjects:
        """Return the truths (``gt``) or the predictions (``pred``)."""
        n = self._numbers(f"{side}_class_ids").size
        ids = self._array(f"{side}_class_ids", (n,))
        whole = np.asarray(np.isfinite(ids) & (ids == np.rint(ids)), dtype=np.bool_)
        self._check_rows(f"{side}_class_ids", whole, ids, "a whole number")
        has_boxes = self._entries.get(f"{side}_bboxes") is not None
        return NocsObjects(
            ids.astype(np.int64),
            self._array(f"{side}_RTs", (n, 4, 4)).astype(np.float64),
            self._array(f"{side}_scales", (n, 3)).astype(np.float64),
            self._array(f"{side}_bboxes", (n, 4)).astype(np.float64) if has_boxes else np.tile(_ONE_PIXEL, (n, 1)),
        )

    def _check_truths(self, truths: NocsObjects) -> None:
        """Raise DataError for a true pose that is no similarity, or a true size that is not positive."""
        for row, fault in enumerate(describe_similarity_faults(truths.S_camera_object)):
            if fault:
                raise DataError(f"{self._place}: gt_RTs[{row}] {fault}")
        extents = truths.extents
        valid = np.asarray((np.isfinite(extents) & (extents > 0.0)).all(axis=1))
        self._check_rows("gt_scales", valid, extents, "positive extents")

    def _check_rows(self, key: str, valid: BoolArray, values: NDArray[Any], expected: str) -> None:
        """Raise DataError for the first row that is not valid."""
        for row in np.flatnonzero(~valid)[:1]:
            raise DataError(f"{self._place}: {key}[{row}] is {quoted(values[row].tolist())}: expected {expected}")

    def _numbers(self, key: str) -> NDArray[Any]:
        """Return an entry as an array of numbers; an empty one for None."""
        if key not in self._entries:
            present = quoted(", ".join(sorted(map(str, self._entries))))
            raise DataError(f"{self._place}: expected an entry '{key}', got only {present}")
        self._used.add(key)
        value = self._entries[key]
        if key == "pred_RTs" and isinstance(value, list):
            # Some methods store None for a failure, which the release counts as false.
            value = [np.full((4, 4), np.nan) if row is None else row for row in value]
        try:
            return as_numbers([] if value is None else value)
        except UnreadableFileError as error:
            raise DataError(f"{self._place}: '{key}' is malformed: {error}") from error

    def _array(self, key: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return an entry as an array; for no objects it may have any shape."""
        array = self._numbers(key)
        if array.shape == shape or array.size == shape[0] == 0:
            return array.reshape(shape)
        got = "None" if self._entries[key] is None else array.shape
        raise DataError(f"{self._place}: '{key}' must have shape {shape}, one row per object, got {got}")
