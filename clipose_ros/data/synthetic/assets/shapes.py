"""Random objects of the six NOCS categories, in the object frames of ``categories.py``."""

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
"""Shape generators by category."""


@dataclass(frozen=True, slots=True, eq=False)
class MeshObject:
    """An object of a category.

    Attributes:
        category: Name of the category.
        mesh: Surface in the object frame with the box centre at the origin, metres.
        size: ``(3,)`` full extent of the mesh, metres, object frame.
    """

    category: str
    mesh: Mesh
    size: FloatArray

    @property
    def has_handle(self) -> bool:
        """Return True if some faces belong to a handle."""
        return bool((self.mesh.parts == HANDLE).any())


ObjectSource = Callable[[str, np.random.Generator], MeshObject]
"""Function that generates an object of a named category; equal generator states give equal objects."""


def make_object(category: str, rng: np.random.Generator) -> MeshObject:
    """Generate a random object.

    Args:
        category: One of the six NOCS categories.
        rng: Random generator; equal states give equal objects.

    Raises:
        ConfigError: There is no shape generator for the category.
    """
    if category not in SHAPE_GENERATORS:
        raise ConfigError(
            f"no shape generator for category '{category}': expected one of {', '.join(SHAPE_GENERATORS)}"
        )
    mesh = SHAPE_GENERATORS[category](rng).centered()
    low, high = mesh.bounds
    return MeshObject(category, mesh, high - low)
