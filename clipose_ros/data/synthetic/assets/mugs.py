"""Mug generator: a walled surface of revolution with a handle swept along a skewed superellipse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.data.synthetic.assets.decoration import add_label_bands, make_filling, mark_inside
from clipose_ros.data.synthetic.assets.mesh import HANDLE, MM, Mesh, concatenate_meshes, revolve, sweep
from clipose_ros.data.synthetic.assets.profiles import add_wall, round_corners, subdivide
from clipose_ros.data.synthetic.assets.textures import random_colour
from clipose_ros.types import FloatArray


@dataclass(frozen=True, slots=True)
class MugFamily:
    """Parameter ranges of one kind of mug.

    Attributes:
        share: Probability.
        height: Smallest and largest height, millimetres.
        radius: Smallest and largest radius of the body, millimetres.
    """

    share: float
    height: tuple[float, float]
    radius: tuple[float, float]


MUGS = {
    "classic": MugFamily(0.55, (78, 112), (36, 49)),
    "wide": MugFamily(0.24, (60, 90), (44, 60)),
    "espresso": MugFamily(0.09, (50, 68), (26, 36)),
    "tall": MugFamily(0.12, (105, 140), (34, 44)),
}
"""Mug families by name; their probabilities sum to 1."""


def make_mug(rng: np.random.Generator) -> Mesh:
    """Generate a random mug: opening at +y, handle along +x, symmetric about z = 0."""
    family = MUGS[str(rng.choice(list(MUGS), p=[family.share for family in MUGS.values()]))]
    height, radius = rng.uniform(*family.height) * MM, rng.uniform(*family.radius) * MM
    wall = rng.uniform(2.5, 5.5) * MM
    curve = make_mug_profile(rng, height, radius)
    outside = random_colour(rng)
    body = mark_inside(revolve(add_wall(curve, wall), 64), add_wall(curve, wall), 64)
    body = add_label_bands(rng, body.painted(outside), height, chance=0.35)
    if rng.uniform() < 0.35:
        body = body.painted(random_colour(rng), np.arange(len(body.faces)) >= len(body.faces) // 2)
    parts = [
        body,
        make_mug_handle(rng, curve, height, wall).painted(outside if rng.uniform() < 0.8 else random_colour(rng)),
    ]
    if rng.uniform() < 0.15:
        parts.append(make_filling(rng, curve, wall, height * rng.uniform(0.5, 0.88)))
    return concatenate_meshes(parts)


def make_mug_profile(rng: np.random.Generator, height: float, radius: float) -> FloatArray:
    """Return the outer profile ``(P, 2)`` of a mug's body, metres: straight, tapered, round, footed or bell-shaped."""
    form = rng.choice(["straight", "taper", "round", "foot", "bell"], p=[0.35, 0.2, 0.22, 0.1, 0.13])
    if form == "straight":
        corners = [(0.0, 0.0), (radius * rng.uniform(0.96, 1.0), 0.0), (radius, height)]
        radii = [0.0, rng.uniform(2, 14) * MM, 0.0]
    elif form == "taper":
        corners = [(0.0, 0.0), (radius * rng.uniform(0.6, 0.92), 0.0), (radius, height)]
        radii = [0.0, rng.uniform(2, 20) * MM, 0.0]
    elif form == "round":
        base, belly = radius * rng.uniform(0.5, 0.75), radius * rng.uniform(1.03, 1.16)
        middle = (belly, height * rng.uniform(0.3, 0.5))
        corners = [(0.0, 0.0), (base, 0.0), middle, (radius * rng.uniform(0.85, 1.0), height)]
        radii = [0.0, 0.3 * height, 0.45 * height, 0.0]
    elif form == "foot":
        base = radius * rng.uniform(0.6, 0.8)
        shoulder = (radius, height * rng.uniform(0.2, 0.35))
        corners = [(0.0, 0.0), (base, 0.0), (base * 0.95, 0.1 * height), shoulder, (radius, height)]
        radii = [0.0, 1 * MM, 6 * MM, 0.12 * height, 0.0]
    else:
        base = radius * rng.uniform(0.62, 0.85)
        corners = [(0.0, 0.0), (base, 0.0), (base * rng.uniform(0.95, 1.1), 0.6 * height), (radius, height)]
        radii = [0.0, rng.uniform(4, 20) * MM, 0.3 * height, 0.0]
    return subdivide(round_corners(corners, radii, steps=8), 8 * MM)


def make_mug_handle(rng: np.random.Generator, curve: FloatArray, height: float, wall: float) -> Mesh:
    """Generate a handle on the +x side.

    The handle's centre line is half a superellipse over t in [-pi/2, pi/2] with exponent e and skew k::

        y = centre + half * sign(sin t) * abs(sin t)^e
        x = surface(y) + reach * abs(cos t)^e * max(1 + k sin t, 0.3)

    It covers rings, ears, squared and pointed handles. Both ends lie inside the wall.
    """
    centre = height * rng.uniform(0.44, 0.58)
    half = min(height * rng.uniform(0.24, 0.4), height - centre - 5 * MM, centre - 5 * MM)
    thick, broad = rng.uniform(2.8, 5.5) * MM, rng.uniform(4.0, 9.0) * MM
    reach = rng.uniform(20, 38) * MM if height > 0.07 else rng.uniform(14, 26) * MM
    exponent = rng.choice([0.35, 0.6, 1.0, 1.0, 1.2])
    skew = rng.uniform(-0.1, 0.45) if rng.uniform() < 0.6 else 0.0
    t = np.linspace(-np.pi / 2, np.pi / 2, 33)
    y = centre + half * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** exponent
    # The attachment points lie inside the wall, so handle and body overlap without a gap.
    attach = np.interp([y[0], y[-1]], curve[3:, 1], curve[3:, 0]) - np.array([0.5, 0.5]) * wall
    ground = np.interp(y, [y[0], y[-1]], attach)
    skewed = np.maximum(1.0 + skew * np.sin(t), 0.3)
    x = ground + reach * np.abs(np.cos(t)) ** exponent * skewed
    x[[0, -1]] = attach
    x = np.maximum(x, np.interp(y, curve[3:, 1], curve[3:, 0]) - 0.5 * wall)
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    power = rng.choice([2.0, 2.0, 4.0])
    rho = (np.abs(np.cos(angle)) ** power + np.abs(np.sin(angle)) ** power) ** (-1.0 / power)
    section = np.stack([thick * rho * np.cos(angle), broad * rho * np.sin(angle)], axis=1)
    swell = 1.0 + rng.uniform(0.0, 0.35) * np.abs(t / (np.pi / 2)) ** 3
    return sweep(np.stack([x, y], axis=1), section, swell).with_part(HANDLE)
