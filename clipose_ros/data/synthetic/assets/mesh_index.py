"""The index of a folder of meshes: what each is, which way it faces, and how big it is.

A CSV file with a heading and one row per mesh:

========= ==============================================================================================================
category  a category's name
file      path within the folder; PLY, OBJ, STL, GLB and what else trimesh reads
up        direction of the object's +y in the file's coordinates: ``x``, ``-z``, or three numbers as in ``0.1 0 0.99``
front     direction of the object's +x: a mug's handle, a camera's lens, away from a laptop's lid. May be empty where
          ``axial`` is yes
axial     ``yes`` where any turn about y leaves the object (about) the same: then ``front`` may be empty in an axially
          symmetric category. In another one it may not, for clouds would teach a turn that nothing shows
handle    ``yes`` where a handle points to +x out of a round body; its visibility is then told
unit      unit of the file: ``m``, ``cm``, ``mm`` or ``in``; empty where the file's size means nothing
height_mm instead of a unit: the extent along y, one number or a range to draw from (``80-100``). With neither, the size
          is drawn from the category's size range
split     ``train``, ``val``, or ``none`` to leave it out
========= ==============================================================================================================

Other columns (licence, source, note) are for the reader.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipose_ros.errors import DataError
from clipose_ros.types import FloatArray

SPLITS = ("train", "val", "none")
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}
"""Metres per unit."""
_REQUIRED = ("category", "file", "up", "front", "axial", "split")


@dataclass(frozen=True, slots=True)
class MeshEntry:
    """One row of an index.

    Attributes:
        category: Name of the category.
        path: The mesh file.
        up: Direction of the object's +y, in the file's coordinates.
        front: Direction of the object's +x, or None for an axial object.
        handle: Whether a handle points to +x.
        unit_m: Metres per unit of the file, or None.
        height_m: Least and largest extent along y, metres, or None.
        split: ``train``, ``val`` or ``none``.
    """

    category: str
    path: Path
    up: tuple[float, ...]
    front: tuple[float, ...] | None
    handle: bool
    unit_m: float | None
    height_m: tuple[float, float] | None
    split: str

    @property
    def R_object_file(self) -> FloatArray:
        """``(3, 3)`` rotation from the file's coordinates to the object frame."""
        y = np.asarray(self.up, dtype=np.float64) / np.linalg.norm(self.up)
        across = np.eye(3)[int(np.argmin(np.abs(y)))] if self.front is None else np.asarray(self.front)
        x = across - (across @ y) * y
        x /= np.linalg.norm(x)
        return np.stack([x, y, np.cross(x, y)])


def read_mesh_index(index: str | Path, folder: str | Path) -> list[MeshEntry]:
    """Read an index; mesh files are looked for but not opened.

    Args:
        index: The CSV file.
        folder: The folder that its ``file`` column starts from.

    Raises:
        DataError: The index or a mesh of the splits ``train`` and ``val`` is missing, or a row is wrong; the message
            names file and row.
    """
    index, folder = Path(index), Path(folder)
    try:
        with index.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            columns = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the mesh index '{index}' cannot be read: {error}") from error
    if missing := [name for name in _REQUIRED if name not in columns]:
        raise DataError(f"the mesh index '{index}' lacks the columns {', '.join(missing)}: it has {', '.join(columns)}")
    return list(_entries(index, folder, rows))


def _entries(index: Path, folder: Path, rows: list[dict[str, str]]) -> Iterator[MeshEntry]:
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        try:
            entry = _entry(folder, {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)})
        except ValueError as error:
            raise DataError(f"'{index}', line {number}: {error}") from error
        if entry.split != "none" and not entry.path.is_file():
            raise DataError(f"'{index}', line {number}: there is no mesh '{entry.path}'")
        if row["file"] in seen:
            raise DataError(f"'{index}', line {number}: '{row['file']}' comes twice; splits must not share an object")
        seen.add(row["file"])
        yield entry


def _entry(folder: Path, row: Mapping[str, str]) -> MeshEntry:
    """One row, or ValueError with what is wrong in it."""
    if not row["category"] or not row["file"]:
        raise ValueError("'category' and 'file' must not be empty")
    axial = _yes(row, "axial")
    up = _direction("up", row["up"])
    front = _direction("front", row["front"]) if row["front"] else None
    if front is None and not axial:
        raise ValueError("'front' must not be empty where 'axial' is no: give the direction of the object's +x")
    if front is not None and np.linalg.norm(np.cross(up, front)) < 0.1 * np.linalg.norm(up) * np.linalg.norm(front):
        raise ValueError(f"'front' must be across 'up', got up '{row['up']}' and front '{row['front']}'")
    unit = row.get("unit", "")
    if unit and unit not in UNITS:
        raise ValueError(f"'unit' must be one of {', '.join(UNITS)} or empty, got '{unit}'")
    height = _range_mm(row.get("height_mm", ""))
    if unit and height:
        raise ValueError(f"give 'unit' or 'height_mm', not both: got '{unit}' and '{row['height_mm']}'")
    if row["split"] not in SPLITS:
        raise ValueError(f"'split' must be one of {', '.join(SPLITS)}, got '{row['split']}'")
    handle = _yes(row, "handle")
    return MeshEntry(row["category"], folder / row["file"], up, front, handle, UNITS.get(unit), height, row["split"])


def _yes(row: Mapping[str, str], column: str) -> bool:
    value = row.get(column, "") or "no"
    if value not in ("yes", "no"):
        raise ValueError(f"'{column}' must be yes or no, got '{value}'")
    return value == "yes"


def _direction(column: str, text: str) -> tuple[float, ...]:
    """An axis with its sign, or three numbers."""
    axis = text.lstrip("+-")
    if axis in ("x", "y", "z"):
        sign = -1.0 if text.startswith("-") else 1.0
        return tuple(sign * float(axis == name) for name in "xyz")
    try:
        values = tuple(float(part) for part in text.split())
    except ValueError:
        values = ()
    if len(values) != 3 or not np.isfinite(values).all() or np.linalg.norm(values) < 1e-6:
        raise ValueError(f"'{column}' must be x, y, z, one of them with a minus, or three numbers, got '{text}'")
    return values


def _range_mm(text: str) -> tuple[float, float] | None:
    """``80`` or ``80-100`` in metres, None of nothing."""
    if not text:
        return None
    low, _, high = text.partition("-")
    try:
        span = (float(low) * 1e-3, float(high or low) * 1e-3)
    except ValueError:
        span = (0.0, 0.0)
    if not 0.0 < span[0] <= span[1] < 10.0:
        raise ValueError(f"'height_mm' must be a number or a range such as 80-100, in millimetres, got '{text}'")
    return span
