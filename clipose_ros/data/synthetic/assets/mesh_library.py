"""Objects from a folder of the user's own meshes, brought into the canonical object frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from clipose_ros.data.synthetic.assets.decoration import add_label_bands
from clipose_ros.data.synthetic.assets.mesh import BODY, HANDLE, Mesh
from clipose_ros.data.synthetic.assets.mesh_index import MeshEntry
from clipose_ros.data.synthetic.assets.shapes import MeshObject
from clipose_ros.data.synthetic.assets.textures import random_colour
from clipose_ros.errors import DataError
from clipose_ros.types import FloatArray

SizeRange = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Smallest and largest extent (x, y, z) of a category, metres."""
HANDLE_FACE_RADIUS_RATIO = 1.03
"""Faces farther from a body's axis than its back by this factor belong to the handle."""
BODY_SIDE_RATIO = 0.3
"""Vertices farther off the handle's plane than this share of the width are the body's."""


class MeshLibrary:
    """Draws objects from annotated meshes. Files are read when first drawn, and kept.

    Args:
        entries: IndexArray of an index; those of split ``none`` are left out.
        split: ``train`` or ``val``: objects of the one never appear in the other.
        size_ranges: By category, for entries without unit and height.
    """

    def __init__(
        self, entries: Sequence[MeshEntry], split: str, size_ranges: dict[str, SizeRange] | None = None
    ) -> None:
        self._entries: dict[str, list[MeshEntry]] = {}
        for entry in entries:
            if entry.split == split:
                self._entries.setdefault(entry.category, []).append(entry)
        self._size_ranges = size_ranges or {}
        self._canonical: dict[Path, Mesh] = {}
        if not self._entries:
            raise DataError(f"no mesh of the index is of split '{split}': give one to some rows")

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the categories there are meshes of."""
        return tuple(self._entries)

    def paths(self, category: str) -> tuple[Path, ...]:
        """The meshes of a category."""
        return tuple(entry.path for entry in self._entries.get(category, ()))

    def find_without_front(self, category: str) -> Path | None:
        """A mesh of the category of which nobody said which way it faces; None where there is no such."""
        return next((entry.path for entry in self._entries.get(category, ()) if entry.front is None), None)

    def make(self, category: str, rng: np.random.Generator) -> MeshObject:
        """Draw one of the category's meshes, its size where that is free, and colours.

        Raises:
            DataError: The file cannot be read, or has no size that fits the category's range.
        """
        entries = self._entries[category]
        entry = entries[int(rng.integers(len(entries)))]
        if entry.path not in self._canonical:
            self._canonical[entry.path] = load_canonical(entry)
        mesh = self._canonical[entry.path]
        mesh = mesh.scaled(np.full(3, self._scale(entry, np.ptp(mesh.vertices, axis=0), rng)))
        height = float(np.ptp(mesh.vertices[:, 1]))
        mesh = add_label_bands(rng, mesh.translated([0, height / 2, 0]).painted(random_colour(rng)), height).centered()
        low, high = mesh.bounds
        return MeshObject(category, mesh, high - low)

    def _scale(self, entry: MeshEntry, extent: FloatArray, rng: np.random.Generator) -> float:
        """Metres per unit of the file."""
        if entry.unit_m is not None:
            return entry.unit_m
        if entry.height_m is not None:
            return float(rng.uniform(*entry.height_m) / extent[1])
        if entry.category not in self._size_ranges:
            raise DataError(
                f"the size of '{entry.path}' is not known: give its unit or height_mm in the index, or a size_range to "
                f"category '{entry.category}'"
            )
        smallest, largest = (np.asarray(bound) / extent for bound in self._size_ranges[entry.category])
        low, high = float(smallest.max()), float(largest.min())
        if low > high:
            raise DataError(
                f"no size of '{entry.path}' (extents {np.round(extent, 4).tolist()}) lies within the size_range of "
                f"category '{entry.category}', {self._size_ranges[entry.category]}: widen it, or give height_mm"
            )
        return float(rng.uniform(low, high))


def load_canonical(entry: MeshEntry) -> Mesh:
    """Read a mesh and turn it into the object frame: +y up, +x to the front, box centre at the origin; file's units.

    Raises:
        DataError: The file is no mesh, or has no handle where one is announced.
    """
    try:
        loaded: Any = trimesh.load(entry.path, force="mesh", process=False)
        vertices, corners = np.asarray(loaded.vertices, dtype=np.float64), np.asarray(loaded.faces, dtype=np.int32)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError, ImportError) as error:
        raise DataError(f"'{entry.path}' cannot be read as a mesh: {error}") from error
    if len(corners) == 0 or not np.isfinite(vertices).all():
        raise DataError(f"'{entry.path}' must be a mesh of finite triangles, got {len(corners)} faces")
    used, places = np.unique(corners, return_inverse=True)
    mesh = Mesh.plain(vertices[used] @ entry.R_object_file.T, places.reshape(-1, 3).astype(np.int32)).centered()
    if not (np.ptp(mesh.vertices, axis=0) > 0.0).all():
        raise DataError(f"'{entry.path}' is flat: an object has an extent along all three axes")
    return _mark_handle(mesh, entry) if entry.handle else mesh


def _mark_handle(mesh: Mesh, entry: MeshEntry) -> Mesh:
    """The mesh with those faces marked as handle that lie in front of its body, farther out than its back reaches."""
    x, z = mesh.vertices[:, 0], mesh.vertices[:, 2]
    sides = x[np.abs(z) > BODY_SIDE_RATIO * np.ptp(z)]  # the handle lies between them
    axis_x = (sides.min() + sides.max()) / 2.0
    centres = mesh.face_centres
    reach = np.hypot(centres[:, 0] - axis_x, centres[:, 2])
    beyond = (reach > HANDLE_FACE_RADIUS_RATIO * (axis_x - x.min())) & (centres[:, 0] > axis_x)
    if not beyond.any():
        raise DataError(
            f"'{entry.path}' has no face beyond its round body: 'front' must point from the body to the handle, "
            f"got {entry.front}"
        )
    return replace(mesh, parts=np.where(beyond, HANDLE, BODY).astype(np.int8))
