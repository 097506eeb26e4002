"""Laptops from 11 to 18 inches, nearly closed to flat."""

from __future__ import annotations

import numpy as np

from clipose_ros.data.synthetic.assets.laptops_and_cameras import LaptopBody, make_keyboard, make_lid
from clipose_ros.data.synthetic.assets.mesh import MM, Mesh, concatenate_meshes, cylinder, extrude
from clipose_ros.data.synthetic.assets.profiles import make_rounded_rectangle
from clipose_ros.data.synthetic.assets.textures import random_colour, random_metal

WIDTH_M = (0.255, 0.405)
"""Smallest and largest width, metres."""
DEPTH_RATIO = (0.62, 0.76)
"""Smallest and largest ratio of depth to width of the base."""
OPENING_DEG = (6.0, 180.0)
"""Smallest and largest angle between keyboard and screen, degrees."""


def make_household_laptop(rng: np.random.Generator) -> Mesh:
    """Generate a random laptop: keyboard normal +y, hinge along z, lid at -x, symmetric about z = 0."""
    width = rng.uniform(*WIDTH_M)
    depth = width * rng.uniform(*DEPTH_RATIO)
    thickness, lid_thickness = rng.uniform(7, 24) * MM, rng.uniform(3.5, 9) * MM
    opening_deg = draw_opening(rng)
    colour = random_colour(rng) if rng.uniform() < 0.3 else random_metal(rng) * rng.uniform(0.15, 1.2)
    key_colour = np.full(3, rng.uniform(0.02, 0.1)) if rng.uniform() < 0.7 else random_colour(rng)
    body = LaptopBody(depth, width, thickness, rng.uniform(3, 16) * MM, colour)
    slab = extrude(make_rounded_rectangle(depth, width, body.corner_radius), thickness)
    parts = [slab.translated([depth / 2, 0, 0]).painted(colour), *make_keyboard(rng, body, key_colour)]
    # The lid turns about the upper rear edge of the base and clears the keys when it is nearly closed.
    pivot = [3 * MM, thickness + 0.8 * MM, 0.0]
    lid = make_lid(rng, body, depth * rng.uniform(0.95, 1.0), lid_thickness)
    parts += [part.rotated("z", opening_deg).translated(pivot) for part in lid]
    hinge = cylinder(min(thickness, lid_thickness) * 0.55, width * rng.uniform(0.5, 0.9), segments=24).rotated("x", 90)
    parts.append(hinge.translated([4 * MM, thickness * 0.8, 0]).painted(colour * 0.5))
    return concatenate_meshes(parts)


def draw_opening(rng: np.random.Generator) -> float:
    """Draw the angle between keyboard and screen, degrees: at work, anywhere, nearly closed, or nearly flat."""
    choice = rng.uniform()
    if choice < 0.6:
        angle = rng.normal(112.0, 15.0)
    elif choice < 0.8:
        angle = rng.uniform(*OPENING_DEG)
    elif choice < 0.9:
        angle = rng.uniform(OPENING_DEG[0], 40.0)
    else:
        angle = rng.uniform(140.0, OPENING_DEG[1])
    return float(np.clip(angle, *OPENING_DEG))
