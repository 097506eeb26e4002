"""Object models of the NOCS datasets: extents and the corrections of mugs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipose_ros.bounded_files import read_bytes
from clipose_ros.data.nocs.files import MetaLine, NocsSubset
from clipose_ros.data.safe_pickle import as_numbers, read_pickle
from clipose_ros.errors import DataError, UnreadableFileError, quoted
from clipose_ros.geometry.similarity import Similarity
from clipose_ros.types import FloatArray

MUG_META = "obj_models/mug_meta.pkl"
"""File of the mug corrections, relative to the root."""
_MAX_BOX_BYTES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class MugCorrection:
    """Correction that moves a mug's origin from the centre of its box to the axis of its body.

    A NOCS coordinate c becomes ``factor * (c + shift)``. The similarity p = s R c + t of camera points then has the
    scale s / factor and the translation t - s R shift.

    Attributes:
        shift: ``(3,)`` offset, NOCS units.
        factor: Ratio of corrected to stored NOCS units.
    """

    shift: FloatArray
    factor: float

    def correct_pose(self, fit: Similarity) -> Similarity:
        """Convert the similarity of stored coordinates to that of corrected coordinates."""
        return Similarity(fit.R, fit.t - fit.scale * fit.R @ self.shift, fit.scale / self.factor)

    def correct_coordinates(self, stored: FloatArray) -> FloatArray:
        """Correct stored coordinates ``(..., 3)``."""
        return self.factor * (stored + self.shift)

    def correct_extents(self, stored: FloatArray) -> FloatArray:
        """Return the extents ``(3,)`` of the box around the mug that is centred at the corrected origin."""
        # The box stays symmetric about its new centre, so it grows by the shift on both sides.
        return self.factor * (stored + 2.0 * np.abs(self.shift))


class NocsModels:
    """Extents and corrections of the models of a subset, read on first use and cached.

    Args:
        root: Root folder of the data.
        subset: Layout of the subset.
    """

    def __init__(self, root: Path, subset: NocsSubset) -> None:
        self._root, self._subset = root, subset
        self._extents: dict[str, FloatArray] = {}
        self._mug_corrections: Mapping[str, MugCorrection] | None = None

    def read_extents(self, line: MetaLine) -> FloatArray:
        """Return the full extents ``(3,)`` of a model in NOCS units; their diagonal is 1.

        Raises:
            DataError: The file of the model's box is missing or malformed.
        """
        if line.model not in self._extents:
            folder = self._root / self._subset.models
            path = folder / line.synset / line.model / "bbox.txt" if line.synset else folder / f"{line.model}.txt"
            self._extents[line.model] = _read_extents(path)
        return self._extents[line.model]

    def mug_correction(self, model: str) -> MugCorrection | None:
        """Return the correction of a mug, or None if the file has none, which marks models known to be improper.

        Raises:
            DataError: ``mug_meta.pkl`` is missing or malformed.
        """
        if self._mug_corrections is None:
            self._mug_corrections = _read_mug_corrections(self._root / MUG_META)
        return self._mug_corrections.get(model)


def _read_extents(path: Path) -> FloatArray:
    """Read three extents, or two opposite corners, and scale the extents to a diagonal of 1."""
    if not path.is_file():
        raise DataError(f"there is no '{path}', which holds the model's box: unpack obj_models.zip")
    try:
        lines = read_bytes(path, _MAX_BOX_BYTES).splitlines()
        values = np.array([[float(word) for word in line.split()] for line in lines if line.strip()])
    except (UnreadableFileError, ValueError) as error:
        raise DataError(f"'{path}' must hold numbers: {error}") from error
    # CAMERA stores two opposite corners of the box, REAL three extents.
    values = np.abs(values[0] - values[1]) if values.shape == (2, 3) else values.squeeze()
    if values.shape != (3,) or not (np.isfinite(values) & (values > 0.0)).all():
        raise DataError(f"'{path}' must hold three extents or two corners of a box, got {quoted(values.tolist())}")
    extents: FloatArray = values / np.linalg.norm(values)
    return extents


def _read_mug_corrections(path: Path) -> Mapping[str, MugCorrection]:
    """Read the mug corrections by model name."""
    if not path.is_file():
        raise DataError(
            f"there is no '{path}', which holds the correction of every mug: download it with the other NOCS files, or "
            "read without it (correct_mugs=False)"
        )
    stored = read_pickle(path)
    if not isinstance(stored, dict):
        raise DataError(f"'{path}' must map models to a shift (3,) and a factor, got {type(stored).__name__}")
    return {str(model): _parse_mug_correction(path, model, entry) for model, entry in stored.items()}


def _parse_mug_correction(path: Path, model: object, entry: object) -> MugCorrection:
    """Return the correction of one mug, or raise DataError if it is malformed."""
    if isinstance(entry, list | tuple) and len(entry) == 2:
        with suppress(UnreadableFileError):
            shift, factor = (as_numbers(part).astype(np.float64) for part in entry)
            if shift.shape == (3,) and factor.shape == () and np.isfinite(shift).all() and 0.0 < factor < np.inf:
                return MugCorrection(shift, float(factor))
    raise DataError(f"'{path}', {quoted(model)}: expected a shift (3,) and a positive factor")
