"""Random instances of the six categories, in the object frames that ``categories.py`` states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clipose_ros.data.synthetic.assets.bottles import make_bottle
from clipose_ros.data.synthetic.assets.bowls_and_cans import make_bowl, make_can
from clipose_ros.data.synthetic.assets.laptops_and_cameras import make_camera, make_laptop
from clipose_ros.data.synthetic.assets.mesh import HANDLE, Mesh
from clipose_ros.data.synthetic.assets.mugs import make_mug
from clipose_ros.errors import ConfigError
from clipose_ros.types import FloatArray

SHAPE_GENERATORS: dict[str, Callable[[np.random.Generator], Mesh]] = {
    "bottle": make_bottle,
    "bowl": make_bowl,
    "camera": make_camera,
    "can": make_can,
    "laptop": make_laptop,
    "mug": make_mug,
}


@dataclass(frozen=True, slots=True, eq=False)
class MeshObject:
    """One instance of a category.

    Attributes:
        category: Its name.
        mesh: Surface in the category's object frame, box centre at the origin, metres.
        size: ``(3,)`` full extent of the mesh along x, y, z, metres.
    """

    category: str
    mesh: Mesh
    size: FloatArray

    @property
    def has_handle(self) -> bool:
        """Whether some faces are a handle's."""
        return bool((self.mesh.parts == HANDLE).any())


ObjectSource = Callable[[str, np.random.Generator], MeshObject]
"""Draws an instance of the named category; equal states of the generator give equal instances."""


def make_object(category: str, rng: np.random.Generator) -> MeshObject:
    """Draw a random instance.

    Args:
        category: One of the six NOCS categories.
        rng: Equal states give equal shapes.

    Raises:
        ConfigError: There is no generator for that category.
    """
    if category not in SHAPE_GENERATORS:
        raise ConfigError(
            f"no shape generator for category '{category}': expected one of {', '.join(SHAPE_GENERATORS)}"
        )
    mesh = SHAPE_GENERATORS[category](rng).centered()
    low, high = mesh.bounds
    return MeshObject(category, mesh, high - low)
