"""Mesh index: category, orientation, size and split of each mesh file of a folder.

The index is a CSV file with a header and one row per mesh:

========= ==============================================================================================================
category  name of the category
file      path within the folder; PLY, OBJ, STL, OFF or GLB
up        direction of the object's +y in file coordinates: ``x``, ``-z``, or three numbers such as ``0.1 0 0.99``
front     direction of the object's +x: a mug's handle, a camera's lens, away from a laptop's lid. May be empty if
          ``axial`` is yes
axial     ``yes`` if the object is (nearly) unchanged by rotation about y; ``front`` may then be empty, provided that
          the category is axially symmetric too. Otherwise clouds would train an arbitrary rotation about y
handle    ``yes`` if a handle points to +x from a round body; its visibility is then computed
unit      unit of the file: ``m``, ``cm``, ``mm`` or ``in``; empty if the scale of the file is arbitrary
height_mm instead of a unit: extent along y, one number or a range (``80-100``). With neither, the size is drawn from
          the size range of the category
split     ``train``, ``val``, or ``none`` for unused meshes
object    name of the only object of an OBJ file that is used: a cup without its saucer; empty for the whole file.
          A file has one row: copy it to use another of its objects
========= ==============================================================================================================

Other columns (licence, source, note) are ignored. Commas, semicolons or tabs separate the values, the text is UTF-8.
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipose_ros.bounded_files import read_bytes
from clipose_ros.data.synthetic.assets.mesh_files import check_format
from clipose_ros.data.synthetic.assets.mesh_text import locate_below
from clipose_ros.errors import DataError, UnreadableFileError, quoted
from clipose_ros.types import FloatArray

SPLITS = ("train", "val", "none")
"""Values of the column ``split``."""
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}
"""Metres per unit."""
_REQUIRED = ("category", "file", "up", "front", "axial", "split")
_COLUMNS = (*_REQUIRED, "handle", "unit", "height_mm", "object")
_MAX_INDEX_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class MeshEntry:
    """One row of a mesh index.

    Attributes:
        category: Name of the category.
        path: Mesh file.
        up: Direction of the object's +y in file coordinates.
        front: Direction of the object's +x in file coordinates, or None for an axially symmetric object.
        handle: True if a handle points to +x.
        unit_m: Metres per unit of the file, or None.
        height_m: Smallest and largest extent along y, metres, or None.
        split: ``train``, ``val`` or ``none``.
        object_name: Name of the only object of the file that is used; empty for the whole file.
    """

    category: str
    path: Path
    up: tuple[float, ...]
    front: tuple[float, ...] | None
    handle: bool
    unit_m: float | None
    height_m: tuple[float, float] | None
    split: str
    object_name: str = ""

    @property
    def R_object_file(self) -> FloatArray:
        """Return the rotation ``(3, 3)`` from file coordinates to the object frame.

        The front direction is orthogonalized to up. An entry without front takes the coordinate axis farthest from up.
        """
        y = np.asarray(self.up, dtype=np.float64) / np.linalg.norm(self.up)
        # Any x axis is correct for an axially symmetric object; the farthest axis is the most accurate.
        across = np.eye(3)[int(np.argmin(np.abs(y)))] if self.front is None else np.asarray(self.front)
        x = across - (across @ y) * y
        x /= np.linalg.norm(x)
        return np.stack([x, y, np.cross(x, y)])


def read_mesh_index(index: str | Path, folder: str | Path) -> list[MeshEntry]:
    """Read a mesh index and check that the mesh files exist. They are not opened.

    Args:
        index: The CSV file.
        folder: Folder to which the column ``file`` is relative.

    Raises:
        DataError: The index, or a mesh of the splits ``train`` and ``val``, is missing, or a row is invalid; the
            message names file and row.
    """
    index, folder = Path(index), Path(folder)
    try:
        text = read_bytes(index, _MAX_INDEX_BYTES).decode("utf-8-sig")
        lines, columns = _read_rows(text)
    except UnicodeDecodeError as error:
        raise DataError(
            f"the mesh index '{index}' is not UTF-8 text (byte {error.start}): save it as CSV UTF-8"
        ) from error
    except (UnreadableFileError, csv.Error) as error:
        raise DataError(f"the mesh index '{index}' cannot be read: {error}") from error
    if missing := [name for name in _REQUIRED if name not in columns]:
        found = quoted(", ".join(columns))
        raise DataError(f"the mesh index '{index}' lacks the columns {', '.join(missing)}: it has {found}")
    for column in columns:
        near = difflib.get_close_matches(column.lower(), _COLUMNS, n=1, cutoff=0.8)
        if column and columns.count(column) > 1:
            raise DataError(f"the mesh index '{index}' has the column {quoted(column)} twice")
        # A misspelt optional column would be ignored.
        if near and column not in _COLUMNS:
            raise DataError(f"the mesh index '{index}' has the column {quoted(column)}: did you mean '{near[0]}'?")
    return list(_parse_rows(index, folder, lines, columns))


def _read_rows(text: str) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Return the line number and the cells of each row that is not empty, and the names of the columns."""
    # Spreadsheets of some languages separate by semicolons.
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    # strict: an unclosed quote would otherwise swallow the rest of the file.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise csv.Error(f"line {reader.line_num}: {error}") from error
    filled = [(number, cells) for number, cells in rows if any(cells)]
    return filled[1:], filled[0][1] if filled else []


def _parse_rows(
    index: Path, folder: Path, lines: list[tuple[int, list[str]]], columns: list[str]
) -> Iterator[MeshEntry]:
    """Parse all rows; add file and line to the errors and reject repeated meshes."""
    seen: set[Path] = set()
    for number, cells in lines:
        try:
            if any(cells[len(columns) :]):
                raise ValueError(f"{len(cells)} values in {len(columns)} columns: put values with commas in quotes")
            entry = _parse_row(folder, dict.fromkeys(columns, "") | dict(zip(columns, cells, strict=False)))
        except (ValueError, DataError) as error:
            raise DataError(f"'{index}', line {number}: {error}") from error
        # Unused meshes may be missing.
        if entry.split != "none" and not entry.path.is_file():
            raise DataError(f"'{index}', line {number}: there is no mesh '{entry.path}'")
        if entry.path in seen:
            raise DataError(f"'{index}', line {number}: '{entry.path}' is repeated: a file has one row, in one split")
        seen.add(entry.path)
        yield entry


def _parse_row(folder: Path, row: Mapping[str, str]) -> MeshEntry:
    """Parse one row, or raise ValueError naming the invalid column."""
    if not row["category"] or not row["file"]:
        raise ValueError("'category' and 'file' must not be empty")
    axial = _parse_yes_no(row, "axial")
    up = _parse_direction("up", row["up"])
    front = _parse_direction("front", row["front"]) if row["front"] else None
    if front is None and not axial:
        raise ValueError("'front' must not be empty if 'axial' is no: set it to the direction of the object's +x")
    # The sine of the angle between the directions must be at least 0.1.
    if front is not None and np.linalg.norm(np.cross(up, front)) < 0.1 * np.linalg.norm(up) * np.linalg.norm(front):
        raise ValueError(f"'front' must be across 'up', got up {quoted(row['up'])} and front {quoted(row['front'])}")
    unit = row.get("unit", "")
    if unit and unit not in UNITS:
        raise ValueError(f"'unit' must be one of {', '.join(UNITS)} or empty, got {quoted(unit)}")
    height = _parse_height_range(row.get("height_mm", ""))
    if unit and height:
        raise ValueError(f"give 'unit' or 'height_mm', not both: got '{unit}' and {quoted(row['height_mm'])}")
    if row["split"] not in SPLITS:
        raise ValueError(f"'split' must be one of {', '.join(SPLITS)}, got {quoted(row['split'])}")
    handle, path = _parse_yes_no(row, "handle"), _parse_path(folder, row["file"])
    if row["split"] != "none":
        check_format(path)
    part = row.get("object", "")
    if part and path.suffix.lower() != ".obj":
        raise ValueError(f"'object' selects a part of OBJ files only: leave it empty, got {quoted(part)}")
    return MeshEntry(row["category"], path, up, front, handle, UNITS.get(unit), height, row["split"], part)


def _parse_path(folder: Path, text: str) -> Path:
    """Return the path of a mesh, or raise ValueError if it leaves the folder."""
    try:
        return locate_below(folder, text)
    except UnreadableFileError as error:
        raise ValueError(f"'file' must be a path within the folder of the meshes, got {quoted(text)}") from error


def _parse_yes_no(row: Mapping[str, str], column: str) -> bool:
    """Parse a column with ``yes`` or ``no``; empty means no."""
    value = row.get(column, "") or "no"
    if value not in ("yes", "no"):
        raise ValueError(f"'{column}' must be yes or no, got {quoted(value)}")
    return value == "yes"


def _parse_direction(column: str, text: str) -> tuple[float, ...]:
    """Parse a signed coordinate axis or three numbers."""
    axis = text.lstrip("+-")
    if axis in ("x", "y", "z"):
        sign = -1.0 if text.startswith("-") else 1.0
        return tuple(sign * float(axis == name) for name in "xyz")
    try:
        values = tuple(float(part) for part in text.split())
    except ValueError:
        values = ()
    if len(values) != 3 or not np.isfinite(values).all() or np.linalg.norm(values) < 1e-6:
        raise ValueError(f"'{column}' must be x, y, z, one of them with a minus, or three numbers, got {quoted(text)}")
    return values


def _parse_height_range(text: str) -> tuple[float, float] | None:
    """Parse ``80`` or ``80-100``, millimetres, to a range in metres; empty gives None."""
    if not text:
        return None
    low, _, high = text.partition("-")
    try:
        span = (float(low) * 1e-3, float(high or low) * 1e-3)
    except ValueError:
        span = (0.0, 0.0)
    if not 0.0 < span[0] <= span[1] < 10.0:
        raise ValueError(f"'height_mm' must be a number or a range such as 80-100, in millimetres, got {quoted(text)}")
    return span
