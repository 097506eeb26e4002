"""Objects from annotated mesh files, transformed to the canonical object frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from clipose_ros.data.synthetic.assets.decoration import add_label_bands
from clipose_ros.data.synthetic.assets.mesh import BODY, HANDLE, Mesh
from clipose_ros.data.synthetic.assets.mesh_files import read_mesh
from clipose_ros.data.synthetic.assets.mesh_index import UNITS, MeshEntry
from clipose_ros.data.synthetic.assets.shapes import MeshObject
from clipose_ros.data.synthetic.assets.textures import random_colour
from clipose_ros.errors import DataError
from clipose_ros.types import FloatArray

SizeRange = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Smallest and largest extent (x, y, z) of a category, metres."""
MAX_SIZE_RATIO = 5.0
"""Largest ratio of the diagonals of a mesh and of the mean object of its category, and of their reciprocals."""
OWN_COLOURS = 0.7
"""Probability that a mesh with materials is shown in their colours; the others vary as meshes without materials do."""
HANDLE_FACE_RADIUS_RATIO = 1.03
"""Distance from a body's axis, relative to the distance of its back, from which a face belongs to the handle."""
BODY_SIDE_RATIO = 0.3
"""Distance from the handle's plane, relative to the width, from which a vertex belongs to the body."""


class MeshLibrary:
    """Random objects from annotated mesh files. Files are read on first use and cached.

    Args:
        entries: Rows of a mesh index; rows of other splits are skipped.
        split: ``train`` or ``val``. No mesh belongs to both.
        size_ranges: Size range of each category, for entries without unit and height.
        mean_sizes: Mean extent of each category, metres, with which the sizes of meshes are compared.

    Raises:
        DataError: No entry belongs to the split.
    """

    def __init__(
        self,
        entries: Sequence[MeshEntry],
        split: str,
        size_ranges: Mapping[str, SizeRange] | None = None,
        mean_sizes: Mapping[str, tuple[float, float, float]] | None = None,
    ) -> None:
        self._entries: dict[str, list[MeshEntry]] = {}
        for entry in entries:
            if entry.split == split:
                self._entries.setdefault(entry.category, []).append(entry)
        self._size_ranges, self._mean_sizes = size_ranges or {}, mean_sizes or {}
        self._canonical: dict[Path, Mesh] = {}
        if not self._entries:
            raise DataError(f"no mesh of the index has the split '{split}': assign it to at least one row")

    @property
    def categories(self) -> tuple[str, ...]:
        """Return the names of the categories that have meshes."""
        return tuple(self._entries)

    def paths(self, category: str) -> tuple[Path, ...]:
        """Return the mesh files of a category."""
        return tuple(entry.path for entry in self._entries.get(category, ()))

    def find_without_front(self, category: str) -> Path | None:
        """Return the first mesh file of the category without a front direction, or None."""
        return next((entry.path for entry in self._entries.get(category, ()) if entry.front is None), None)

    def make(self, category: str, rng: np.random.Generator) -> MeshObject:
        """Draw a mesh of the category, its colours, and its size if that is not fixed.

        A mesh with materials keeps their colours with the probability ``OWN_COLOURS``.

        Raises:
            DataError: The file cannot be read, no scale fits the size range of the category, or the mesh is many times
                larger or smaller than objects of the category.
        """
        entries = self._entries[category]
        entry = entries[int(rng.integers(len(entries)))]
        if entry.path not in self._canonical:
            self._canonical[entry.path] = load_canonical(entry)
        mesh = self._canonical[entry.path]
        mesh = mesh.scaled(np.full(3, self._draw_scale(entry, np.ptp(mesh.vertices, axis=0), rng)))
        self._check_size(entry, np.ptp(mesh.vertices, axis=0))
        # Meshes without materials draw no number here, so their random sequence is that of earlier versions.
        if mesh.texture is None or rng.uniform() >= OWN_COLOURS:
            mesh = _paint_at_random(rng, mesh)
        low, high = mesh.bounds
        return MeshObject(category, mesh, high - low)

    def _check_size(self, entry: MeshEntry, size: FloatArray) -> None:
        """Raise DataError if a mesh with the extent ``(3,)``, metres, is no object of its category by its size."""
        mean = self._mean_sizes.get(entry.category)
        # Without a category, household objects of 2 cm to 2 m are accepted.
        usual = 0.2 if mean is None else float(np.linalg.norm(mean))
        ratio = float(np.linalg.norm(size)) / usual
        limit = MAX_SIZE_RATIO if mean is not None else 10.0
        if 1.0 / limit <= ratio <= limit:
            return
        extents = " x ".join(f"{side:.3g}" for side in size)
        message = (
            f"'{entry.path}' would be {extents} m in size, {ratio:.3g} times as large as usual for '{entry.category}'"
        )
        if entry.unit_m is None:
            raise DataError(f"{message}: correct its height_mm in the index, or remove stray faces")
        units = {abs(np.log(ratio * metres / entry.unit_m)): name for name, metres in UNITS.items()}
        given = next(name for name, metres in UNITS.items() if metres == entry.unit_m)
        raise DataError(f"{message}: is its unit {units[min(units)]} instead of {given}, or are there stray faces?")

    def _draw_scale(self, entry: MeshEntry, extent: FloatArray, rng: np.random.Generator) -> float:
        """Return the metres per unit of the file: fixed by its unit, or drawn from a range of height or size."""
        if entry.unit_m is not None:
            return entry.unit_m
        if entry.height_m is not None:
            return float(rng.uniform(*entry.height_m) / extent[1])
        if entry.category not in self._size_ranges:
            raise DataError(
                f"the size of '{entry.path}' is not known: set unit or height_mm in the index, or a size_range for the "
                f"category '{entry.category}'"
            )
        # A uniform scale must keep all three extents in their ranges: an intersection of intervals.
        smallest, largest = (np.asarray(bound) / extent for bound in self._size_ranges[entry.category])
        low, high = float(smallest.max()), float(largest.min())
        if low > high:
            raise DataError(
                f"no size of '{entry.path}' (extents {np.round(extent, 4).tolist()}) lies within the size_range of "
                f"category '{entry.category}', {self._size_ranges[entry.category]}: widen it, or set height_mm"
            )
        return float(rng.uniform(low, high))


def _paint_at_random(rng: np.random.Generator, mesh: Mesh) -> Mesh:
    """Return a mesh in a random colour, often with label bands."""
    height = float(np.ptp(mesh.vertices[:, 1]))
    standing = mesh.translated([0, height / 2, 0]).painted(random_colour(rng))
    return add_label_bands(rng, standing, height).centered()


def load_canonical(entry: MeshEntry) -> Mesh:
    """Read a mesh and rotate it to the object frame: y up, x to the front, box centre at the origin, in file units.

    Raises:
        DataError: The file is not a usable mesh, is flat, or has no handle although the entry states one.
    """
    vertices, faces, texture = read_mesh(entry.path, entry.object_name)
    mesh = replace(Mesh.plain(vertices @ entry.R_object_file.T, faces).centered(), is_closed=False)
    if texture is not None:
        mesh = replace(mesh, colours=texture.mean_colours(), texture=texture)
    if not (np.ptp(mesh.vertices, axis=0) > 0.0).all():
        raise DataError(f"'{entry.path}' is flat: expected an extent along all three axes")
    return _mark_handle(mesh, entry) if entry.handle else mesh


def _mark_handle(mesh: Mesh, entry: MeshEntry) -> Mesh:
    """Return the mesh with its handle faces marked.

    The body is assumed to be round about an axis parallel to y. Vertices far from the plane z = 0 belong to the body
    and give the x of its axis; the back of the mesh gives its radius. Faces in front of the axis and farther from it
    than ``HANDLE_FACE_RADIUS_RATIO`` times the radius belong to the handle.
    """
    x, z = mesh.vertices[:, 0], mesh.vertices[:, 2]
    # The handle is near the plane z = 0, so vertices far from it belong to the body.
    sides = x[np.abs(z) > BODY_SIDE_RATIO * np.ptp(z)]
    axis_x = (sides.min() + sides.max()) / 2.0
    centres = mesh.face_centres
    distance = np.hypot(centres[:, 0] - axis_x, centres[:, 2])
    beyond = (distance > HANDLE_FACE_RADIUS_RATIO * (axis_x - x.min())) & (centres[:, 0] > axis_x)
    if not beyond.any():
        raise DataError(
            f"'{entry.path}' has no face outside its round body: 'front' must point from the body to the handle, "
            f"got {entry.front}"
        )
    return replace(mesh, parts=np.where(beyond, HANDLE, BODY).astype(np.int8))
