"""Bounded reading of mesh files: PLY, OBJ, STL, OFF and GLB.

Counts in headers are compared with the size of the file before memory is reserved. Materials and images of OBJ files
are read (``texture_maps``), those of other files are skipped.
"""

from __future__ import annotations

import io
import logging
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import trimesh
from numpy.typing import NDArray

from clipose_ros.bounded_files import parse_json, read_bytes
from clipose_ros.data.synthetic.assets.obj_files import load_textured_obj, select_object
from clipose_ros.data.synthetic.assets.texture_maps import TextureMap, read_materials
from clipose_ros.errors import CliposeError, DataError, UnreadableFileError, quoted
from clipose_ros.types import FloatArray

FORMATS = (".ply", ".obj", ".stl", ".off", ".glb")
"""Suffixes of the mesh files that are read."""
MAX_MESH_BYTES = 1 << 28
"""Largest size of a mesh file, bytes."""
MAX_FACES = 5_000_000
"""Largest number of faces of a mesh."""
MAX_GLB_NODES = 1000
"""Largest number of nodes of a GLB scene."""
MAX_GAP_RATIO = 0.3
"""Largest gap between two parts of a mesh along an axis, relative to the largest extent of the mesh."""
MIN_AREA_RATIO = 1e-12
"""Smallest area of a face, relative to the squared extent of the mesh; smaller ones are degenerate."""
_PLY_HEADER = re.compile(rb"ply\s.*?end_header\r?\n", re.DOTALL)
_PLY_ELEMENT = re.compile(rb"^\s*element\s+\S+\s+(\S+)", re.MULTILINE)
_JSON_CHUNK = b"JSON"


class MeshData(NamedTuple):
    """Triangles of a mesh file.

    Attributes:
        vertices: ``(V, 3)`` float64 in file units, each used by a face.
        faces: ``(F, 3)`` indices of vertices.
        texture: Colours of the faces, or None if the file names no materials.
    """

    vertices: FloatArray
    faces: NDArray[np.int32]
    texture: TextureMap | None = None


def check_format(path: Path) -> None:
    """Raise DataError if a file has another suffix than ``FORMATS``."""
    if path.suffix.lower() not in FORMATS:
        raise DataError(
            f"'{path}' is no mesh file that can be read: expected {', '.join(FORMATS)}; export CAD models "
            "such as STEP as STL or PLY, and scenes such as glTF as GLB"
        )


def read_mesh(path: Path, object_name: str = "") -> MeshData:
    """Read the triangles of a mesh file; a scene is merged to one mesh.

    Args:
        path: The file.
        object_name: Name of the only object (or, in files without objects, group) of an OBJ file that is read; empty
            for the whole file.

    Raises:
        DataError: The file, its materials or their images cannot be read, or its triangles are invalid or lie far
            apart; the message names it.
    """
    check_format(path)
    try:
        data = read_bytes(path, MAX_MESH_BYTES)
        _check_claims(path.suffix.lower(), data)
        if object_name:
            data = select_object(data, object_name)
        materials = read_materials(path, data) if path.suffix.lower() == ".obj" else {}
        loaded, corners, texture = load_textured_obj(data, materials) if materials else (*_load(path, data), None)
        vertices, faces = _check_triangles(loaded, corners)
        _check_gaps(vertices[faces])
    except CliposeError as error:
        raise DataError(f"'{path}' cannot be used as a mesh: {error}") from error
    edges = vertices[faces[:, 1:]] - vertices[faces[:, :1]]
    areas = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) / 2.0
    degenerate = int(np.count_nonzero(areas <= MIN_AREA_RATIO * np.ptp(vertices, axis=0).max() ** 2))
    if degenerate == len(faces):
        raise DataError(f"'{path}' cannot be used as a mesh: none of its {degenerate} faces has an area")
    if degenerate:
        logging.getLogger(__name__).warning("'%s': %d of %d faces have no area", path, degenerate, len(faces))
    return MeshData(vertices, faces, texture)


def _load(path: Path, data: bytes) -> tuple[NDArray[Any], NDArray[Any]]:
    """Parse a mesh file with trimesh."""
    try:
        # A stream without a resolver keeps trimesh from opening files and addresses that the mesh names.
        # NumPy would print a warning for values that are checked later.
        with np.errstate(all="ignore"):
            loaded: Any = trimesh.load(
                io.BytesIO(data), path.suffix.lower()[1:], force="mesh", process=False, skip_materials=True
            )
            return np.asarray(loaded.vertices, dtype=np.float64), np.asarray(loaded.faces)
    except Exception as error:
        raise UnreadableFileError(f"it is damaged or of another format ({quoted(error)})") from error


def _check_claims(suffix: str, data: bytes) -> None:
    """Raise UnreadableFileError if a header states more elements than the file can hold."""
    counts: list[object] = []
    if suffix == ".ply":
        header = _PLY_HEADER.match(data[: 1 << 16])
        if header is None:
            raise UnreadableFileError("it is no PLY file: its header is missing or has no end")
        counts = [int(count) if count.isdigit() else -1 for count in _PLY_ELEMENT.findall(header[0])]
    elif suffix == ".off":
        # The header is the word OFF and the numbers of vertices, faces and edges.
        words = re.sub(rb"#[^\n]*", b"", data[: 1 << 16]).split()[1:3]
        counts = [int(word) if word.isdigit() else -1 for word in words]
    elif suffix == ".glb":
        counts = _glb_counts(data)
    # Each element takes at least one byte.
    if any(not isinstance(count, int) or not 0 <= count <= len(data) for count in counts):
        raise UnreadableFileError(f"its header states {quoted(counts)} elements in {len(data)} bytes")


def _glb_counts(data: bytes) -> list[object]:
    """Return the number of elements in each array of a GLB file, and their sum over all parts of its scene."""
    length = int.from_bytes(data[12:16], "little")
    if data[:4] != b"glTF" or data[16:20] != _JSON_CHUNK or 20 + length > len(data):
        raise UnreadableFileError("it is no GLB file: its header is damaged")
    scene = parse_json(data[20 : 20 + length])
    accessors, meshes, nodes = (_records(scene, key) for key in ("accessors", "meshes", "nodes"))
    if len(nodes) > MAX_GLB_NODES:
        raise UnreadableFileError(f"its scene has {len(nodes)} nodes, at most {MAX_GLB_NODES} are read")
    if any("bufferView" not in accessor or "sparse" in accessor for accessor in accessors):
        raise UnreadableFileError("an array of its scene has no data")
    # A mesh that many nodes repeat would unpack to more than the memory.
    if len(nodes) * sum(len(_records(mesh, "primitives")) for mesh in meshes) > MAX_FACES:
        raise UnreadableFileError("its scene repeats too many meshes")
    counts = [accessor.get("count") for accessor in accessors]
    total = sum(count for count in counts if isinstance(count, int))
    repeats = max(1, sum("mesh" in node for node in nodes))
    if total * repeats > 3 * MAX_FACES:
        raise UnreadableFileError(f"its {repeats} parts may have {total} elements each")
    return [*counts, total]


def _records(value: object, key: str) -> list[dict[str, object]]:
    """Return the list of mappings under a key of a mapping; an empty list if the key is missing."""
    records = value.get(key, []) if isinstance(value, dict) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UnreadableFileError(f"its scene has no list of {key}")
    return records


def _check_triangles(vertices: NDArray[Any], faces: NDArray[Any]) -> tuple[FloatArray, NDArray[np.int32]]:
    """Return used vertices and faces; raise UnreadableFileError for triangles that are none."""
    if not len(faces):
        raise UnreadableFileError("it has no faces: export surfaces, not points or curves")
    if len(faces) > MAX_FACES:
        raise UnreadableFileError(f"it has {len(faces)} faces, at most {MAX_FACES} are read: simplify it")
    if (
        vertices.ndim != 2
        or vertices.shape[1] != 3
        or faces.ndim != 2
        or faces.shape[1] != 3
        or faces.dtype.kind not in "iu"
    ):
        raise UnreadableFileError(f"expected triangles, got faces of shape {faces.shape}")
    wrong = np.flatnonzero(((faces < 0) | (faces >= len(vertices))).any(axis=1))
    if len(wrong):
        named = faces[wrong[0]].tolist()
        raise UnreadableFileError(f"face {wrong[0]} has the vertices {named} of {len(vertices)}: the file is damaged")
    # Unreferenced vertices would enlarge the bounding box.
    used, places = np.unique(faces, return_inverse=True)
    if len(broken := np.flatnonzero(~np.isfinite(vertices[used]).all(axis=1))):
        raise UnreadableFileError(f"vertex {used[broken[0]]} is not finite: {vertices[used[broken[0]]].tolist()}")
    return vertices[used], places.reshape(-1, 3).astype(np.int32)


def _check_gaps(corners: FloatArray) -> None:
    """Raise UnreadableFileError if some faces ``(F, 3, 3)`` lie far from the others.

    Along each axis, faces are intervals. They are sorted by their low end; a gap is where the next interval begins
    beyond the high ends of all before it.
    """
    low, high = corners.min(axis=1), corners.max(axis=1)
    largest = (high.max(axis=0) - low.min(axis=0)).max()
    for axis, name in enumerate("xyz"):
        order = np.argsort(low[:, axis])
        gaps = low[order[1:], axis] - np.maximum.accumulate(high[order, axis])[:-1]
        if len(gaps) and (gap := float(gaps.max())) > MAX_GAP_RATIO * largest:
            before = int(gaps.argmax()) + 1
            raise UnreadableFileError(
                f"{min(before, len(corners) - before)} of its {len(corners)} faces lie {gap:.4g} (file units) from the "
                f"others along {name}: remove stray faces"
            )
