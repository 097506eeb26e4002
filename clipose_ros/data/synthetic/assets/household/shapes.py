"""Objects of the six NOCS categories with the spread of real products, in the object frames of ``categories.py``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from clipose_ros.data.synthetic.assets.household.bottles import make_household_bottle
from clipose_ros.data.synthetic.assets.household.bowls import make_household_bowl
from clipose_ros.data.synthetic.assets.household.cameras import make_household_camera
from clipose_ros.data.synthetic.assets.household.cans import make_household_can
from clipose_ros.data.synthetic.assets.household.laptops import make_household_laptop
from clipose_ros.data.synthetic.assets.household.mugs import make_household_mug
from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.data.synthetic.assets.shapes import MeshObject
from clipose_ros.errors import ConfigError, quoted

HOUSEHOLD_GENERATORS: dict[str, Callable[[np.random.Generator], Mesh]] = {
    "bottle": make_household_bottle,
    "bowl": make_household_bowl,
    "camera": make_household_camera,
    "can": make_household_can,
    "laptop": make_household_laptop,
    "mug": make_household_mug,
}
"""Shape generators by category."""


def make_household_object(category: str, rng: np.random.Generator) -> MeshObject:
    """Generate a random object.

    Args:
        category: One of the six NOCS categories.
        rng: Random generator; equal states give equal objects.

    Raises:
        ConfigError: There is no shape generator for the category.
    """
    if category not in HOUSEHOLD_GENERATORS:
        names = ", ".join(HOUSEHOLD_GENERATORS)
        raise ConfigError(f"no household shape generator for category {quoted(category)}: expected one of {names}")
    mesh = HOUSEHOLD_GENERATORS[category](rng).centered()
    low, high = mesh.bounds
    return MeshObject(category, mesh, high - low)
