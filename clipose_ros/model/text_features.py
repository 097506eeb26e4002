"""Text features on disk: computed once and stored with the name of the CLIP model that computed them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipose_ros.bounded_files import read_npy
from clipose_ros.errors import DataError, UnreadableFileError
from clipose_ros.types import FloatArray

_MAX_BYTES = 1 << 32
"""Size limit of a file of features, bytes."""


def is_feature_file(path: Path) -> bool:
    """Return True for the path of a file of features, False for that of a folder that caches them."""
    return path.suffix in (".npy", ".npz")


@dataclass(frozen=True, eq=False)
class TextFeatures:
    """Texts and their features by a CLIP model.

    Attributes:
        model: Full name of the model, ``ClipConfig.name``.
        texts: T different texts.
        features: ``(T, D)`` float32, unit rows.
    """

    model: str
    texts: tuple[str, ...]
    features: FloatArray

    def rows(self, texts: Sequence[str]) -> list[int]:
        """Return the row of each text.

        Raises:
            DataError: A text has no feature.
        """
        places = {text: row for row, text in enumerate(self.texts)}
        if missing := [text for text in texts if text not in places]:
            raise DataError(
                f"{len(missing)} of {len(texts)} texts have no feature, first {missing[0]!r}: compute them again"
            )
        return [places[text] for text in texts]

    def save(self, path: Path) -> None:
        """Write one ``.npy`` of records (model, text, feature); the file is complete or absent."""
        text = f"U{max(map(len, self.texts))}"
        kinds = [("model", f"U{len(self.model)}"), ("text", text), ("feature", "f4", self.features.shape[1:])]
        records = np.empty(len(self.texts), dtype=np.dtype(kinds))
        records["model"], records["text"], records["feature"] = self.model, self.texts, self.features
        part = path.with_name(path.name + ".part")
        with part.open("wb") as stream:
            np.save(stream, records)
        part.replace(path)


def read_text_features(path: Path, model: str, texts: Sequence[str]) -> TextFeatures:
    """Read features from a file that ``save`` wrote, or from a plain array ``(T, D)`` of the texts in order.

    Args:
        path: A ``.npy`` file.
        model: Full name of the model that the run uses. A file that ``save`` wrote must be of this model; a plain array
            has no model name and is not checked.
        texts: Texts of the rows of a plain array.

    Raises:
        DataError: The file cannot be read, is of another model, or has another shape.
    """
    try:
        loaded: NDArray[Any] = read_npy(path, _MAX_BYTES)  # its fields have types of their own
    except UnreadableFileError as error:
        raise DataError(f"text features '{path}' cannot be read: {error}") from error
    if loaded.dtype.names == ("model", "text", "feature"):
        models = sorted({str(name) for name in loaded["model"]})
        if models != [model]:
            raise DataError(
                f"text features '{path}' are of {', '.join(models)}, expected {model}: features of different "
                "models cannot be combined; compute them again, or set clip.model and clip.pretrained"
            )
        # Not normalised again: rounding would make a resumed run differ from the run that computed the features.
        return TextFeatures(model, tuple(map(str, loaded["text"])), np.ascontiguousarray(loaded["feature"]))
    if loaded.ndim != 2 or len(loaded) != len(texts) or loaded.dtype.kind != "f":
        raise DataError(
            f"text features '{path}' must be ({len(texts)}, D), one row of floats per text, got {loaded.shape} of type "
            f"{loaded.dtype}"
        )
    return TextFeatures(model, tuple(texts), unit_rows(loaded, f"text features '{path}'"))


def cached_text_features(
    folder: Path, model: str, texts: Sequence[str], encode: Callable[[Sequence[str]], FloatArray]
) -> TextFeatures:
    """Return features of texts from the folder's file of a model; missing ones are computed and added to the file.

    Args:
        folder: Folder of the files, one per model.
        model: Full name of the model.
        texts: Texts; repetitions are allowed.
        encode: Computes unit features ``(T, D)`` of texts; it is called for missing texts only.
    """
    path = folder / f"{model.replace('/', '.')}.npy"
    known = read_text_features(path, model, ()) if path.is_file() else None
    have = set(known.texts) if known else set()
    # dict.fromkeys removes repetitions and, unlike a set, keeps the order, so that equal runs write equal files.
    fresh = [text for text in dict.fromkeys(texts) if text not in have]
    if not fresh and known is not None:
        return known
    features = unit_rows(encode(fresh), f"text features '{path}'")
    if known is not None:
        fresh, features = [*known.texts, *fresh], np.concatenate([known.features, features])
    result = TextFeatures(model, tuple(fresh), features)
    folder.mkdir(parents=True, exist_ok=True)
    result.save(path)
    return result


def unit_rows(features: NDArray[np.generic], name: str) -> FloatArray:
    """Return features ``(N, D)`` in float32, each of length 1.

    Args:
        features: ``(N, D)`` of a type of floats.
        name: Name of the features in messages, with the file.

    Raises:
        DataError: A row is zero or not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # reported below, by row
        values = features.astype(np.float32)
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
    if len(wrong := np.flatnonzero(~(np.isfinite(lengths) & (lengths > 1e-6)))):
        raise DataError(
            f"{name}: row {wrong[0]} (from 0) has length {lengths[wrong[0], 0]:g}, expected features other than 0: "
            "compute them again"
        )
    return (values / lengths).astype(np.float32)
