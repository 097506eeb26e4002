"""Lines and file names in the text files of meshes: OBJ, their materials (MTL), and mesh indices."""

from __future__ import annotations

import os
import re
from pathlib import Path

from clipose_ros.errors import UnreadableFileError

USE_LINE = re.compile(rb"^[^\n]*usemtl[^\n]*", re.MULTILINE)
"""Lines of an OBJ file that contain the keyword of used materials, comments included."""


def split_line(line: bytes) -> tuple[str, str]:
    """Split a line at its first white space into keyword and value; both may be empty.

    The line is decoded on its own, as UTF-8 or else Latin-1: equal bytes give equal text in every file.
    """
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = line.decode("latin-1")
    keyword, value = (*text.split(maxsplit=1), "", "")[:2]
    return keyword, value.strip()


def normalize_name(name: str) -> str:
    """Return the name of a material or an object with single spaces."""
    return " ".join(name.split())


def find_used_material(line: bytes) -> str | None:
    """Return the name of the material that a line ``usemtl`` uses, None for other lines."""
    keyword, value = split_line(line)
    return normalize_name(value) if keyword == "usemtl" else None


def locate_below(folder: Path, name: str) -> Path:
    """Return the path of a file that is named relative to a folder; backslashes separate folders too.

    Raises:
        UnreadableFileError: The file is not in the folder or below, or its name has control characters.
    """
    relative = Path(os.path.normpath(name.replace("\\", "/")))
    if relative.is_absolute() or relative.parts[:1] == ("..",) or not name.isprintable():
        raise UnreadableFileError("it is not in the folder of the mesh")
    return folder / relative
