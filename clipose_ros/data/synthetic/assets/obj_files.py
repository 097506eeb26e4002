"""Parts and texture coordinates of OBJ files."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from clipose_ros.data.synthetic.assets.mesh_text import USE_LINE, find_used_material, normalize_name, split_line
from clipose_ros.data.synthetic.assets.texture_maps import DEFAULT_MATERIAL, FileMaterial, TextureMap
from clipose_ros.errors import UnreadableFileError, quoted
from clipose_ros.types import FloatArray

MAX_REPEATS = 2.0**31
"""Largest texture coordinate, repeats of the image; larger ones count as 0."""


def load_textured_obj(
    data: bytes, materials: Mapping[str, FileMaterial]
) -> tuple[NDArray[Any], NDArray[Any], TextureMap]:
    """Parse an OBJ file whose faces use materials. The faces are grouped by material.

    Args:
        data: Content of the file.
        materials: Materials by name.

    Returns:
        Vertices ``(V, 3)`` and faces ``(F, 3)`` as they are in the file, unchecked, and the colours of the faces.

    Raises:
        UnreadableFileError: The file is damaged.
    """
    text = _number_materials(data, list(materials))
    vertices, faces, uv, material = [np.empty((0, 3))], [], [], []
    try:
        # NumPy would print a warning for values that are checked later.
        with np.errstate(all="ignore"):
            # The materials are read already: trimesh needs their numbers alone, to group the faces.
            listing = _Listing("".join(f"newmtl {number}\n" for number in range(len(materials) + 1)))
            scene: Any = trimesh.load_scene(io.StringIO(text), "obj", resolver=listing, process=False)
            for part in (each for each in scene.geometry.values() if hasattr(each, "faces")):
                corners = np.asarray(part.faces)
                faces.append(corners + sum(len(earlier) for earlier in vertices))
                vertices.append(np.asarray(part.vertices, dtype=np.float64))
                uv.append(_find_corner_coordinates(part, corners))
                name = str(getattr(getattr(part.visual, "material", None), "name", ""))
                material.append(np.full(len(corners), int(name) if name.isdecimal() else len(materials)))
            if faces:
                all_materials = (*materials.values(), DEFAULT_MATERIAL)
                texture = TextureMap(all_materials, np.concatenate(material), np.concatenate(uv))
                return np.concatenate(vertices), np.concatenate(faces), texture
    except Exception as error:
        raise UnreadableFileError(f"it is damaged or of another format ({quoted(error)})") from error
    raise UnreadableFileError("it has no faces: export surfaces, not points or curves")


def _number_materials(data: bytes, names: Sequence[str]) -> str:
    """Return the text of an OBJ file with the numbers of the materials as their names.

    Numbers leave trimesh no choice of white space and encoding. Materials without a definition get the next number.
    """
    numbers = {name: number for number, name in enumerate(names)}

    def rename(line: re.Match[bytes]) -> bytes:
        name = find_used_material(line[0])
        # trimesh takes the keyword for a material in comments and names too.
        return line[0].replace(b"usemtl", b"") if name is None else b"usemtl %d" % numbers.get(name, len(names))

    return USE_LINE.sub(rename, data).decode("ascii", "replace")


class _Listing(Mapping[str, str]):
    """A resolver of trimesh that answers every name with the same text and opens nothing."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __getitem__(self, name: str) -> str:
        return self._text

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _find_corner_coordinates(part: Any, faces: NDArray[Any]) -> FloatArray:
    """Return the texture coordinates ``(F, 3, 2)`` of the corners of a part's faces; 0 where the file has none."""
    uv = getattr(part.visual, "uv", None)
    if uv is None or np.ndim(uv) != 2 or np.shape(uv)[1] < 2 or len(uv) != len(part.vertices):
        return np.zeros((len(faces), 3, 2), np.float32)
    corners = np.asarray(uv, dtype=np.float64)[faces, :2]
    corners = np.where(np.abs(corners) <= MAX_REPEATS, corners, 0.0)
    # The image repeats, so whole numbers change nothing but the precision.
    return np.asarray(corners - np.floor(corners.min(axis=1, keepdims=True)), dtype=np.float32)


def select_object(data: bytes, name: str) -> bytes:
    """Return an OBJ file with the faces and materials of one object; of one group, if the file has no objects.

    Raises:
        UnreadableFileError: The file has no such object.
    """
    key = b"o" if re.search(rb"^[ \t]*o[ \t]", data, re.MULTILINE) else b"g"
    name = normalize_name(name)
    names: list[str] = []
    kept: list[bytes] = []
    # A material holds for the faces behind it, also those of later objects.
    material, written = b"", b""
    for line in data.splitlines():
        keyword = b"".join(line.split(maxsplit=1)[:1])
        if keyword == key:
            names.append(normalize_name(split_line(line)[1]))
        if keyword == b"usemtl":
            material = line
        elif keyword != b"f":
            kept.append(line)
        elif names[-1:] == [name]:
            kept += [line] if material == written else [material, line]
            written = material
    if name not in names:
        found = quoted(", ".join(dict.fromkeys(names)))
        raise UnreadableFileError(f"it has no object {quoted(name)}: set 'object' in the index to one of {found}")
    return b"\n".join(kept)
