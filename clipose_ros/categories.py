"""Object categories: ids, symmetries, mean sizes and object frames.

Object frames follow NOCS: origin at the centre of the box, y up.

=========  ==============================================================================================
category   object frame
=========  ==============================================================================================
bottle     y along the axis, opening at +y
bowl       y along the axis, opening at +y
camera     top at +y, lens along +x, width along z
can        y along the axis
laptop     y is the keyboard's normal, hinge along z, lid at -x
mug        y along the axis, opening at +y, handle along +x, mirror plane z = 0
=========  ==============================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipose_ros.errors import ConfigError, quoted
from clipose_ros.types import FloatArray

MAX_ID = 65535
"""Largest id of a category: point clouds store ids in 16 bits."""
_MAX_NAME = 80


@dataclass(frozen=True, slots=True)
class Symmetry:
    """Rotations and reflections that leave the shape of a category unchanged.

    Attributes:
        axial_y: Rotation about the y axis by any angle.
        mirror_xy: Reflection in the xy plane (z -> -z).
        mirror_xz: Reflection in the xz plane (y -> -y).
        mirror_yz: Reflection in the yz plane (x -> -x).
    """

    axial_y: bool = False
    mirror_xy: bool = False
    mirror_xz: bool = False
    mirror_yz: bool = False

    @property
    def flags(self) -> tuple[bool, bool, bool, bool]:
        """Return the flags in the order of published category tables: axial, xy, xz, yz."""
        return (self.axial_y, self.mirror_xy, self.mirror_xz, self.mirror_yz)


@dataclass(frozen=True, slots=True)
class Category:
    """One object category.

    Attributes:
        id: NOCS class id from 1 to ``MAX_ID``; 0 is the background.
        name: Lower-case name of up to 80 printable characters, also the ``class_id`` of ROS detections.
        symmetry: Symmetry of the shape.
        mean_size: Mean full extent (x, y, z), metres, object frame.
    """

    id: int
    name: str
    symmetry: Symmetry
    mean_size: tuple[float, float, float]

    def __post_init__(self) -> None:
        # Names reach logs, topics and pages.
        if not (0 < len(self.name) <= _MAX_NAME and self.name.isprintable()):
            raise ConfigError(
                f"a category name must have 1 to {_MAX_NAME} printable characters, got {quoted(self.name)}"
            )
        if not 1 <= self.id <= MAX_ID:
            raise ConfigError(
                f"category '{self.name}': id must lie in [1, {MAX_ID}] (0 is the background), got {self.id!r:.80}"
            )
        if len(self.mean_size) != 3 or not all(0.0 < s < 10.0 for s in self.mean_size):
            raise ConfigError(
                f"category '{self.name}': mean_size must be three extents in metres between 0 and 10, "
                f"got {self.mean_size!r:.80}"
            )


@dataclass(frozen=True)
class CategorySet:
    """Ordered set of categories with unique names and ids.

    A checkpoint contains the set on which its network was trained.

    Attributes:
        categories: The categories in order; the position of a category is its index in the network.

    Raises:
        ConfigError: Two categories have the same name or id.
    """

    categories: tuple[Category, ...]

    def __post_init__(self) -> None:
        for what, values in (("name", self.names), ("id", tuple(c.id for c in self.categories))):
            if len(set(values)) != len(values):
                raise ConfigError(f"category {what}s must be unique, got {values!r:.80}")

    def __iter__(self) -> Iterator[Category]:
        return iter(self.categories)

    def __len__(self) -> int:
        return len(self.categories)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names in order."""
        return tuple(c.name for c in self.categories)

    def __getitem__(self, name: str) -> Category:
        """Return the category with a name.

        Raises:
            ConfigError: The name is unknown; the message lists the known names.
        """
        for category in self.categories:
            if category.name == name:
                return category
        raise ConfigError(f"unknown category '{name}': expected one of {', '.join(self.names)}")

    def index(self, name: str) -> int:
        """Return the index of a category in the set and in the network's one-hot vector.

        Raises:
            ConfigError: The name is unknown.
        """
        return self.categories.index(self[name])

    def by_id(self, category_id: int) -> Category | None:
        """Return the category with a NOCS id, or None."""
        return next((c for c in self.categories if c.id == category_id), None)

    @property
    def mean_sizes(self) -> FloatArray:
        """Return the mean sizes ``(C, 3)`` float32, metres, in order."""
        return np.array([c.mean_size for c in self.categories], dtype=np.float32)

    def to_records(self) -> list[dict[str, Any]]:
        """Convert the categories to plain values for YAML or JSON, which ``from_records`` reads."""
        return [
            {"id": c.id, "name": c.name, "symmetry": [int(f) for f in c.symmetry.flags], "mean_size": list(c.mean_size)}
            for c in self.categories
        ]

    @classmethod
    def from_records(cls, records: object) -> CategorySet:
        """Create a set from the plain values that ``to_records`` returns.

        Raises:
            ConfigError: The records are no list of mappings, there is none, one lacks a key, or a value has the wrong
                type or is out of range.
        """
        if not isinstance(records, list) or not records:
            raise ConfigError(f"categories must be a list of records, at least one, got {records!r:.80}")
        return cls(tuple(_parse_record(record) for record in records))


def _parse_record(record: object) -> Category:
    """Create a category from plain values."""
    if not isinstance(record, Mapping):
        raise ConfigError(f"a category record must be a mapping, got {record!r:.80}")
    if missing := {"id", "name", "symmetry", "mean_size"} - record.keys():
        raise ConfigError(f"category record {dict(record)!r:.80} lacks {', '.join(sorted(missing))}")
    name, number, flags, extents = (record[key] for key in ("name", "id", "symmetry", "mean_size"))
    if not isinstance(name, str) or type(number) is not int:
        raise ConfigError(f"a category needs a text as name and an integer as id, got {name!r:.80}, {number!r:.80}")
    if not isinstance(flags, list) or len(flags) != 4 or not all(flag in (0, 1) for flag in flags):
        raise ConfigError(
            f"category {name!r:.80}: symmetry needs 4 flags 0 or 1 (axial, xy, xz, yz), got {flags!r:.80}"
        )
    # type() rather than isinstance(): bool is a subclass of int.
    if not isinstance(extents, list) or len(extents) != 3 or not all(type(side) in (int, float) for side in extents):
        raise ConfigError(f"category {name!r:.80}: mean_size must be three extents in metres, got {extents!r:.80}")
    x, y, z = extents
    return Category(number, name, Symmetry(*map(bool, flags)), (x, y, z))


_AXIAL = Symmetry(axial_y=True, mirror_xy=True, mirror_yz=True)

NOCS_CATEGORIES = CategorySet(
    (
        Category(1, "bottle", _AXIAL, (0.087, 0.220, 0.089)),
        Category(2, "bowl", _AXIAL, (0.165, 0.080, 0.165)),
        Category(3, "camera", Symmetry(), (0.088, 0.128, 0.156)),
        Category(4, "can", Symmetry(True, True, True, True), (0.068, 0.146, 0.072)),
        Category(5, "laptop", Symmetry(mirror_xy=True), (0.346, 0.200, 0.335)),
        Category(6, "mug", Symmetry(mirror_xy=True), (0.146, 0.083, 0.114)),
    )
)
"""The six NOCS categories with their mean sizes in the REAL data."""
