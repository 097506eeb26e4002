"""Mugs of real proportions: straight, conical, square, with lids, and tall travel mugs."""

from __future__ import annotations

import numpy as np

from clipose_ros.data.synthetic.assets.decoration import add_label_bands, make_filling, mark_inside
from clipose_ros.data.synthetic.assets.mesh import CLOSURE, MM, Mesh, concatenate_meshes, cylinder, ellipsoid, revolve
from clipose_ros.data.synthetic.assets.mugs import MugFamily, make_mug_handle, make_mug_profile
from clipose_ros.data.synthetic.assets.profiles import add_wall, round_corners, subdivide
from clipose_ros.data.synthetic.assets.textures import random_colour, random_metal
from clipose_ros.types import FloatArray

HOUSEHOLD_MUGS = {
    "classic": MugFamily(0.34, (78, 112), (36, 49)),
    "wide": MugFamily(0.18, (55, 92), (44, 64)),
    "espresso": MugFamily(0.08, (48, 70), (26, 37)),
    "latte": MugFamily(0.1, (105, 150), (34, 46)),
    "enamel": MugFamily(0.1, (70, 95), (38, 50)),
    "travel": MugFamily(0.12, (130, 200), (34, 48)),
    "stein": MugFamily(0.08, (120, 170), (40, 55)),
}
"""Mug families by name; their probabilities sum to 1. The mug of the YCB set is 81 mm high with a diameter of 93 mm."""
_LIDDED = {"travel": 0.7, "stein": 0.15, "classic": 0.06, "wide": 0.04}
"""Share of mugs with a lid by family; 0 for others."""


def make_household_mug(rng: np.random.Generator) -> Mesh:
    """Generate a random mug: opening at +y, handle along +x, symmetric about z = 0."""
    name = str(rng.choice(list(HOUSEHOLD_MUGS), p=[family.share for family in HOUSEHOLD_MUGS.values()]))
    family = HOUSEHOLD_MUGS[name]
    height, radius = rng.uniform(*family.height) * MM, rng.uniform(*family.radius) * MM
    wall = rng.uniform(1.0, 2.0) * MM if name == "enamel" else rng.uniform(2.0, 5.5) * MM
    curve = _make_profile(rng, name, height, radius)
    # A square body is a superellipse; its width along x and z stays twice the radius.
    square = rng.uniform(3.0, 8.0) if name in ("classic", "wide", "latte") and rng.uniform() < 0.14 else 2.0
    outside = random_metal(rng) if name in ("travel", "enamel") and rng.uniform() < 0.4 else random_colour(rng)
    body = mark_inside(revolve(add_wall(curve, wall), 56, squareness=square), add_wall(curve, wall), 56)
    body = add_label_bands(rng, body.painted(outside), height, 0.35)
    if rng.uniform() < 0.35:
        body = body.painted(random_colour(rng), np.arange(len(body.faces)) >= len(body.faces) // 2)
    handle = make_mug_handle(rng, curve, height, wall)
    parts = [body, handle.painted(outside if rng.uniform() < 0.75 else random_colour(rng))]
    if rng.uniform() < _LIDDED.get(name, 0.0):
        parts += _make_cover(rng, height, float(curve[-1, 0]))
    elif rng.uniform() < 0.15:
        parts.append(make_filling(rng, curve, wall, height * rng.uniform(0.5, 0.88)))
    return concatenate_meshes(parts)


def _make_profile(rng: np.random.Generator, name: str, height: float, radius: float) -> FloatArray:
    """Return the outer profile ``(P, 2)`` (radius, y) of a mug's body, metres."""
    if name == "enamel":
        corners = [
            (0.0, 0.0),
            (radius * rng.uniform(0.9, 1.0), 0.0),
            (radius * 0.98, height - 2 * MM),
            (radius, height),
        ]
        return subdivide(round_corners(corners, [0.0, rng.uniform(3, 9) * MM, 1 * MM, 0.0]), 8 * MM)
    if name in ("travel", "stein") or rng.uniform() < 0.25:
        # Conical: narrower at the foot or, as steins often are, at the rim.
        foot, rim = (rng.uniform(0.6, 0.9), 1.0) if name != "stein" else (1.0, rng.uniform(0.8, 1.0))
        corners = [(0.0, 0.0), (radius * foot, 0.0), (radius * rim, height)]
        return subdivide(round_corners(corners, [0.0, rng.uniform(2, 10) * MM, 0.0], steps=8), 8 * MM)
    return make_mug_profile(rng, height, radius)


def _make_cover(rng: np.random.Generator, height: float, radius: float) -> list[Mesh]:
    """Generate a flat or domed lid, sometimes with a knob, that overlaps the rim."""
    colour, thick = random_colour(rng), rng.uniform(5, 14) * MM
    lid = cylinder(radius * rng.uniform(0.97, 1.05), thick, 2 * MM).translated([0, height + 0.2 * thick, 0])
    parts = [lid]
    if rng.uniform() < 0.5:
        rise = rng.uniform(4, 12) * MM
        parts.append(ellipsoid([0.85 * radius, rise, 0.85 * radius], 32).translated([0, height + 0.6 * thick, 0]))
    if rng.uniform() < 0.3:
        knob = ellipsoid([8 * MM, 8 * MM, 8 * MM], 20)
        parts.append(knob.translated([0, height + thick + rng.uniform(4, 10) * MM, 0]))
    return [part.painted(colour).with_part(CLOSURE) for part in parts]
