"""Object libraries: categories with the sources of their objects (shape generators, primitives, mesh files).

Additional categories are defined in a YAML file::

    base: nocs                  # start with the six NOCS categories; omit for none
    categories:
      - name: candle
        symmetry: [axial_y, mirror_xy, mirror_xz, mirror_yz]
        mean_size: [0.065, 0.110, 0.065]
        size_range: [[0.035, 0.050, 0.035], [0.100, 0.200, 0.100]]
        shape: cylinder         # primitive with a size drawn from the size range; omit if meshes are given

Sizes are full extents along the object's x, y, z in metres. An ``id`` is optional and defaults to the next free one.
Continuous rotation about y is the only supported rotational symmetry. The x axis of an object with a discrete symmetry,
such as a box after half a turn, is ambiguous and cannot be learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from clipose_ros.bounded_files import read_yaml
from clipose_ros.categories import NOCS_CATEGORIES, Category, CategorySet, Symmetry
from clipose_ros.config import unknown_key_message
from clipose_ros.data.synthetic.assets.mesh import Mesh, box, cylinder, ellipsoid
from clipose_ros.data.synthetic.assets.mesh_library import MeshLibrary, SizeRange
from clipose_ros.data.synthetic.assets.shapes import SHAPE_GENERATORS, MeshObject, ObjectSource, make_object
from clipose_ros.data.synthetic.assets.textures import random_colour
from clipose_ros.errors import ConfigError, UnreadableFileError, quoted
from clipose_ros.types import FloatArray

PRIMITIVES: dict[str, Callable[[FloatArray], Mesh]] = {
    "box": box,
    "cylinder": lambda size: cylinder(0.5, 1.0).scaled(size),
    "ellipsoid": lambda size: ellipsoid(size / 2.0),
}
"""Constructors of primitives by name; the argument is the full extent ``(3,)``, metres."""
_SYMMETRIES = tuple(spec.name for spec in fields(Symmetry))
_CATEGORY_KEYS = ("name", "id", "symmetry", "mean_size", "size_range", "shape")


@dataclass(frozen=True)
class ObjectLibrary:
    """Categories with the sources of their objects.

    Attributes:
        categories: The category set.
        size_ranges: Smallest and largest extents of user-defined categories, metres.
        shapes: Name of the primitive of each category that has one.
        library: Mesh files, or None.
        mesh_share: Probability of a mesh for categories with both meshes and a shape generator or primitive.
        make_shape: Source of the objects of the six NOCS categories that are no meshes.

    Raises:
        ConfigError: ``mesh_share`` is outside [0, 1], or a mesh without front belongs to a category without axial
            symmetry.
    """

    categories: CategorySet
    size_ranges: Mapping[str, SizeRange]
    shapes: Mapping[str, str]
    library: MeshLibrary | None = None
    mesh_share: float = 0.5
    make_shape: ObjectSource = make_object

    def __post_init__(self) -> None:
        if not 0.0 <= self.mesh_share <= 1.0:
            raise ConfigError(f"the share of meshes must be between 0 and 1, got {self.mesh_share}")
        if self.library is not None:
            for name in self.library.categories:
                self._check_fronts(name, self.library)

    def _check_fronts(self, name: str, library: MeshLibrary) -> None:
        """Raise ConfigError if a mesh without front belongs to a category without axial symmetry.

        The rotation of such a mesh about y is arbitrary, and training would learn it as if it were meaningful.
        """
        if name not in self.categories:
            raise ConfigError(
                f"'{library.paths(name)[0]}' has the unknown category {quoted(name)} in its index: expected one of "
                f"{', '.join(self.categories.names)}; add it with --categories"
            )
        category, frontless = self.categories[name], library.find_without_front(name)
        if frontless is not None and not category.symmetry.axial_y:
            raise ConfigError(
                f"'{frontless}' has no 'front' in its index, but '{name}' is not axially symmetric: "
                "set its front, or add axial_y to the symmetry of the category"
            )

    @property
    def drawable(self) -> tuple[str, ...]:
        """Return the names of the categories that have a source of objects, in order."""
        meshes = self.library.categories if self.library is not None else ()
        return tuple(n for n in self.categories.names if n in SHAPE_GENERATORS or n in self.shapes or n in meshes)

    def make(self, category: str, rng: np.random.Generator) -> MeshObject:
        """Draw an object of a category.

        Raises:
            ConfigError: The category has no source of objects.
            DataError: A mesh file cannot be used.
        """
        if self.library is not None and category in self.library.categories:
            parametric = category in self.shapes or category in SHAPE_GENERATORS
            # No number is drawn without a choice, so libraries without meshes keep their random sequence.
            if not parametric or rng.uniform() < self.mesh_share:
                return self.library.make(category, rng)
        if category in self.shapes:
            size = rng.uniform(*np.asarray(self.size_ranges[category]))
            if self.categories[category].symmetry.axial_y:
                # A round object has equal extents along x and z.
                size[2] = size[0]
            mesh = PRIMITIVES[self.shapes[category]](size).painted(random_colour(rng)).centered()
            return MeshObject(category, mesh, np.ptp(mesh.vertices, axis=0))
        return self.make_shape(category, rng)


NOCS_OBJECT_LIBRARY = ObjectLibrary(NOCS_CATEGORIES, {}, {})
"""The six NOCS categories with their shape generators."""


def read_object_library(path: str | Path) -> ObjectLibrary:
    """Read an object library from a YAML file.

    Raises:
        ConfigError: The file cannot be read, or an entry is invalid; the message names file, category and key.
    """
    path = Path(path)
    try:
        values = read_yaml(path)
    except UnreadableFileError as error:
        raise ConfigError(f"categories '{path}' cannot be read: {error}") from error
    if not isinstance(values, Mapping) or not isinstance(values.get("categories"), list):
        raise ConfigError(f"categories '{path}' must hold a list under the key 'categories'")
    if values.get("base") not in (None, "nocs"):
        raise ConfigError(f"categories '{path}': 'base' must be nocs or left out, got {quoted(values['base'])}")
    categories = list(NOCS_CATEGORIES) if values.get("base") else []
    size_ranges: dict[str, SizeRange] = {}
    shapes: dict[str, str] = {}
    for record in values["categories"]:
        try:
            category, size_range = _parse_category(record, categories)
            shape = record.get("shape")
            if shape is not None and (shape not in PRIMITIVES or size_range is None):
                raise ConfigError(
                    f"'shape' must be one of {', '.join(PRIMITIVES)}, with a 'size_range'; got {quoted(shape)}"
                )
        except (ConfigError, TypeError, ValueError, KeyError, OverflowError) as error:
            name = record.get("name") if isinstance(record, Mapping) else record
            raise ConfigError(f"categories '{path}', entry {quoted(name)}: {error}") from error
        categories.append(category)
        if size_range is not None:
            size_ranges[category.name] = size_range
        if shape is not None:
            shapes[category.name] = str(shape)
    try:
        return ObjectLibrary(CategorySet(tuple(categories)), size_ranges, shapes)
    except ConfigError as error:
        raise ConfigError(f"categories '{path}': {error}") from error


def _parse_category(record: Any, before: list[Category]) -> tuple[Category, SizeRange | None]:
    """Parse one entry of the file to a category and its size range."""
    if not isinstance(record, Mapping):
        raise ConfigError(f"an entry must be a mapping with the keys {', '.join(_CATEGORY_KEYS)}")
    for key in record:
        if key not in _CATEGORY_KEYS:
            raise ConfigError(unknown_key_message(str(key), list(_CATEGORY_KEYS)))
    if missing := [key for key in ("name", "mean_size") if key not in record]:
        raise ConfigError(f"the entry lacks {', '.join(missing)}")
    symmetries = record.get("symmetry") or []
    for symmetry in symmetries:
        if symmetry not in _SYMMETRIES:
            raise ConfigError(f"'symmetry' must be a list of {', '.join(_SYMMETRIES)}, got {quoted(symmetry)}")
    x, y, z = (float(side) for side in record["mean_size"])
    # The next free id follows the largest one.
    free = max((category.id for category in before), default=0) + 1
    category = Category(
        int(record.get("id", free)), str(record["name"]), Symmetry(**dict.fromkeys(symmetries, True)), (x, y, z)
    )
    return category, _parse_size_range(record.get("size_range"))


def _parse_size_range(value: Any) -> SizeRange | None:
    """Parse ``[smallest, largest]`` extents, metres; None stays None."""
    if value is None:
        return None
    (x0, y0, z0), (x1, y1, z1) = value
    low, high = (float(x0), float(y0), float(z0)), (float(x1), float(y1), float(z1))
    if not all(0.0 < a <= b < 10.0 for a, b in zip(low, high, strict=True)):
        raise ConfigError(f"'size_range' must be [smallest, largest] extents in metres, got {quoted(value)}")
    return low, high
