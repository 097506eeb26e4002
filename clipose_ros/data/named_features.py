"""Files of feature vectors with a name for each row, such as CLIP features of images by category.

The files come from anywhere, and are read within limits of size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipose_ros.bounded_files import read_bytes, read_npy
from clipose_ros.data.arrays import open_arrays
from clipose_ros.errors import DataError, UnreadableFileError, quoted
from clipose_ros.model.text_features import unit_rows
from clipose_ros.types import FloatArray

MAX_FEATURE_BYTES = 1 << 29
"""Size limit of a file of features, bytes: 262 144 rows of 512 float32 values."""
_MAX_NAME_BYTES = 1 << 24
_CONTENT = "a file of features"
_REMEDY = (
    "give a .npz with features (N, D) of floats, labels (N,) of integers and categories (K,) of names, or a .npy "
    "(N, D) with a text file of N names"
)


@dataclass(frozen=True, eq=False)
class NamedFeatures:
    """Feature vectors and their names.

    Attributes:
        features: ``(N, D)`` float32, unit rows.
        names: Name of each row; several rows may have the same.
    """

    features: FloatArray
    names: tuple[str, ...]


def read_named_features(path: Path, names: Path | None = None) -> NamedFeatures:
    """Read features and the names of their rows.

    Args:
        path: A ``.npz`` with ``features`` ``(N, D)``, ``labels`` ``(N,)`` from 0 and ``categories`` ``(K,)``, or a
            ``.npy`` with features ``(N, D)``.
        names: UTF-8 text file with a name per line, for a ``.npy``.

    Raises:
        DataError: A file cannot be read or is malformed, or rows and names do not fit. The message names the row.
    """
    read = _read_npz(path) if names is None else _read_npy(path, names)
    if len(read.names) != len(read.features):
        raise DataError(
            f"features '{path}' have {len(read.features)} rows, but '{names}' has {len(read.names)} names: give a name "
            "per line for each row"
        )
    return read


def _read_npz(path: Path) -> NamedFeatures:
    """Read a ``.npz`` of features, labels and categories."""
    if path.suffix == ".npy":
        raise DataError(f"features '{path}' have no names: give the text file of their names as well, or a .npz")
    with open_arrays(path, _CONTENT, _REMEDY, MAX_FEATURE_BYTES) as arrays:
        features, labels, categories = (arrays[name] for name in ("features", "labels", "categories"))
        texts = [str(name) for name in categories.reshape(-1)]
    if labels.dtype.kind not in "iu" or labels.shape != features.shape[:1]:
        raise DataError(
            f"features '{path}': labels must be integers, one per row of features {features.shape}, got "
            f"{labels.shape} of type {labels.dtype}: {_REMEDY}"
        )
    if categories.dtype.kind != "U" or categories.ndim != 1:
        raise DataError(
            f"features '{path}': categories must be a list of names, got {categories.shape} of type "
            f"{quoted(categories.dtype)}: {_REMEDY}"
        )
    for row, label in enumerate(labels):
        if not 0 <= int(label) < len(texts):
            raise DataError(
                f"features '{path}': label of row {row} (from 0) is {label}, expected 0 to {len(texts) - 1} for the "
                f"{len(texts)} categories: correct the labels"
            )
    return NamedFeatures(_check_features(path, features), tuple(texts[int(label)] for label in labels))


def _read_npy(path: Path, names: Path) -> NamedFeatures:
    """Read a ``.npy`` of features and a text file of their names."""
    try:
        features = read_npy(path, MAX_FEATURE_BYTES)
    except UnreadableFileError as error:
        raise DataError(f"{path} is not {_CONTENT} ({error}): {_REMEDY}") from error
    try:
        lines = read_bytes(names, _MAX_NAME_BYTES).decode("utf-8-sig").splitlines()
    except (UnreadableFileError, UnicodeDecodeError) as error:
        raise DataError(f"{names} is not a list of names ({quoted(error)}): {_REMEDY}") from error
    return NamedFeatures(_check_features(path, features), tuple(line.strip() for line in lines))


def _check_features(path: Path, features: NDArray[np.generic]) -> FloatArray:
    """Return features as unit rows after checking shape, type and values."""
    if features.ndim != 2 or 0 in features.shape or features.dtype.kind != "f":
        raise DataError(
            f"features '{path}' must be (N, D), one row of floats per image, got {features.shape} of type "
            f"{quoted(features.dtype)}: {_REMEDY}"
        )
    return unit_rows(features, f"features '{path}'")
