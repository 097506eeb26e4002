"""Bowls from soup plates to deep mixing bowls: round, straight, conical, rimmed and footed."""

from __future__ import annotations

import numpy as np

from clipose_ros.data.synthetic.assets.bowls_and_cans import make_bowl_profile
from clipose_ros.data.synthetic.assets.decoration import make_filling, mark_inside
from clipose_ros.data.synthetic.assets.mesh import MM, Mesh, concatenate_meshes, cylinder, revolve
from clipose_ros.data.synthetic.assets.profiles import add_wall, round_corners, subdivide
from clipose_ros.data.synthetic.assets.textures import random_colour, random_metal, random_wood
from clipose_ros.types import FloatArray

DIAMETER_M = (0.08, 0.32)
"""Smallest and largest diameter, metres."""
HEIGHT_RATIO = (0.16, 0.8)
"""Smallest and largest ratio of height to diameter."""


def make_household_bowl(rng: np.random.Generator) -> Mesh:
    """Generate a random bowl with its opening at +y."""
    # Three of four bowls are of the size for one person.
    radius = rng.uniform(55, 95) * MM if rng.uniform() < 0.75 else rng.uniform(40, 160) * MM
    # Large bowls are not deeper than a hemisphere.
    deepest = HEIGHT_RATIO[1] if radius < 90 * MM else 0.55
    ratio = rng.uniform(0.3, 0.55) if rng.uniform() < 0.6 else rng.uniform(HEIGHT_RATIO[0], deepest)
    height = 2 * radius * ratio
    wall = min(rng.uniform(1.2, 5.5) * MM, 0.1 * height)
    foot = min(rng.uniform(3, 12) * MM, 0.15 * height) if rng.uniform() < 0.4 else 0.0
    # A deep bowl with a narrow bottom would be a funnel.
    base = radius * rng.uniform(0.25 if ratio < 0.4 else 0.45, 0.75)
    curve = _make_profile(rng, radius, height, base, foot)
    material = rng.uniform()
    outside = random_metal(rng) if material < 0.12 else random_wood(rng) if material < 0.2 else random_colour(rng)
    body = mark_inside(revolve(add_wall(curve, wall), 56), add_wall(curve, wall), 56).painted(outside)
    if material >= 0.2 and rng.uniform() < 0.5:
        body = body.painted(random_colour(rng), np.arange(len(body.faces)) >= len(body.faces) // 2)
    parts = [body]
    if foot:
        ring = cylinder(min(base, float(curve[2:, 0].max())) * rng.uniform(0.75, 0.95), foot + 0.6 * wall, 0.8 * MM)
        parts.append(ring.translated([0, (foot + 0.6 * wall) / 2, 0]).painted(outside))
    if rng.uniform() < 0.12:
        parts.append(make_filling(rng, curve, wall, foot + (height - foot) * rng.uniform(0.45, 0.8)))
    return concatenate_meshes(parts)


def _make_profile(rng: np.random.Generator, radius: float, height: float, base: float, foot: float) -> FloatArray:
    """Return the outer profile ``(P, 2)`` (radius, y) of one of five forms, metres."""
    form = rng.choice(["curved", "hemisphere", "straight", "conical", "rimmed"], p=[0.4, 0.2, 0.12, 0.13, 0.15])
    if form == "rimmed" and height > 0.8 * radius:
        form = "curved"
    if form == "curved":
        return make_bowl_profile(rng, radius, height, base, foot)
    if form == "hemisphere":
        # A superellipse from the bottom to the rim; the exponent 2 is an ellipse.
        power = rng.uniform(1.6, 2.8)
        t = np.linspace(0.0, 1.0, 22)
        y = 1.0 - np.maximum(1.0 - t**power, 0.0) ** (1.0 / power)
        curve = np.stack([radius * t, foot + (height - foot) * y], axis=1)
        return np.concatenate([[(0.0, foot)], curve[1:]])
    if form == "straight":
        corners = [(0.0, foot), (radius * rng.uniform(0.9, 1.0), foot), (radius, height)]
        radii = [0.0, rng.uniform(0.05, 0.6) * height, 0.0]
    elif form == "conical":
        corners = [(0.0, foot), (base, foot), (radius, height)]
        radii = [0.0, rng.uniform(0.05, 0.4) * height, 0.0]
    else:
        inner, drop = radius * rng.uniform(0.68, 0.85), height * rng.uniform(0.02, 0.2)
        corners = [(0.0, foot), (0.7 * inner, foot), (inner, height - drop), (radius, height)]
        radii = [0.0, 0.3 * height, 0.1 * height, 0.0]
    return subdivide(round_corners(corners, radii, steps=10), 12 * MM)
