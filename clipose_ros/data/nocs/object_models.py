"""What the NOCS data knows of its models: extents, and the correction of mugs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipose_ros.data.nocs.files import MetaLine, NocsSubset
from clipose_ros.data.safe_pickle import read_pickle
from clipose_ros.errors import DataError
from clipose_ros.geometry.similarity import Similarity
from clipose_ros.types import FloatArray

MUG_META = "obj_models/mug_meta.pkl"


@dataclass(frozen=True, slots=True, eq=False)
class MugCorrection:
    """Moves a mug's origin from the centre of its box to the axis of its body: ``corrected = factor (c + shift)``.

    Attributes:
        shift: ``(3,)`` in NOCS units.
        factor: New over old NOCS units.
    """

    shift: FloatArray
    factor: float

    def pose(self, fit: Similarity) -> Similarity:
        """The similarity of corrected coordinates, of that of coordinates as stored."""
        return Similarity(fit.R, fit.t - fit.scale * fit.R @ self.shift, fit.scale / self.factor)

    def coordinates(self, stored: FloatArray) -> FloatArray:
        """Corrected coordinates ``(..., 3)``."""
        return self.factor * (stored + self.shift)

    def extents(self, stored: FloatArray) -> FloatArray:
        """Extents ``(3,)`` of the box that is centred at the new origin and holds the mug."""
        return self.factor * (stored + 2.0 * np.abs(self.shift))


class NocsModels:
    """Extents and corrections by model, read when first asked for.

    Args:
        root: Folder of the data.
        subset: Whose models.
    """

    def __init__(self, root: Path, subset: NocsSubset) -> None:
        self._root, self._subset = root, subset
        self._extents: dict[str, FloatArray] = {}
        self._mugs: Mapping[str, MugCorrection] | None = None

    def extents(self, line: MetaLine) -> FloatArray:
        """Full extents ``(3,)`` in NOCS units, with which the diagonal is 1.

        Raises:
            DataError: The file with the model's box is missing or malformed.
        """
        if line.model not in self._extents:
            folder = self._root / self._subset.models
            path = folder / line.synset / line.model / "bbox.txt" if line.synset else folder / f"{line.model}.txt"
            self._extents[line.model] = _read_extents(path)
        return self._extents[line.model]

    def mug_correction(self, model: str) -> MugCorrection | None:
        """The correction of a mug, or None where the file has none for it: its model is known to be improper.

        Raises:
            DataError: ``mug_meta.pkl`` is missing or malformed.
        """
        if self._mugs is None:
            self._mugs = _read_mugs(self._root / MUG_META)
        return self._mugs.get(model)


def _read_extents(path: Path) -> FloatArray:
    """Three extents, or two opposite corners, scaled to a diagonal of 1."""
    try:
        values = np.loadtxt(path, dtype=np.float64)
    except OSError as error:
        raise DataError(f"there is no '{path}', which holds the model's box: unpack obj_models.zip there") from error
    except ValueError as error:
        raise DataError(f"'{path}' must hold numbers: {error}") from error
    if values.shape == (2, 3):
        values = np.abs(values[0] - values[1])
    if values.shape != (3,) or not (values > 0.0).all():
        raise DataError(f"'{path}' must hold three extents or two corners of a box, got shape {values.shape}")
    extents: FloatArray = values / np.linalg.norm(values)
    return extents


def _read_mugs(path: Path) -> Mapping[str, MugCorrection]:
    if not path.is_file():
        raise DataError(
            f"there is no '{path}', which holds the correction of every mug: get it with the other NOCS files, or read "
            "without it (correct_mugs=False)"
        )
    stored = read_pickle(path)
    try:
        return {
            str(model): MugCorrection(np.asarray(shift, dtype=np.float64).reshape(3), float(factor))
            for model, (shift, factor) in stored.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"'{path}' must map models to a shift (3,) and a factor: {error}") from error
