"""Bowl and can generators: surfaces of revolution; open vessels have a wall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.data.synthetic.assets.decoration import add_label_bands, make_filling, mark_inside
from clipose_ros.data.synthetic.assets.mesh import CLOSURE, MM, Mesh, concatenate_meshes, cylinder, revolve
from clipose_ros.data.synthetic.assets.profiles import add_wall, round_corners, subdivide
from clipose_ros.data.synthetic.assets.textures import random_colour, random_metal
from clipose_ros.types import FloatArray


def make_bowl(rng: np.random.Generator) -> Mesh:
    """Generate a random bowl with its opening at +y."""
    radius = rng.uniform(50, 130) * MM if rng.uniform() < 0.3 else rng.uniform(62, 98) * MM
    height = radius * (rng.uniform(0.6, 1.3) if rng.uniform() < 0.85 else rng.uniform(0.35, 0.5))
    wall = rng.uniform(2.0, 5.5) * MM
    base = radius * rng.uniform(0.25, 0.68)
    foot = rng.uniform(3, 12) * MM if rng.uniform() < 0.55 else 0.0
    curve = make_bowl_profile(rng, radius, height, base, foot)
    outside, inside = random_colour(rng), random_colour(rng)
    body = mark_inside(revolve(add_wall(curve, wall), 64), add_wall(curve, wall), 64).painted(outside)
    if rng.uniform() < 0.5:
        body = body.painted(inside, np.arange(len(body.faces)) >= len(body.faces) // 2)
    parts = [body]
    if foot:
        ring = cylinder(base * rng.uniform(0.75, 0.95), foot + wall * 0.6, 0.8 * MM)
        parts.append(ring.translated([0, (foot + wall * 0.6) / 2, 0]).painted(outside))
    if rng.uniform() < 0.12:
        parts.append(make_filling(rng, curve, wall, foot + (height - foot) * rng.uniform(0.45, 0.8)))
    return concatenate_meshes(parts)


def make_bowl_profile(rng: np.random.Generator, radius: float, height: float, base: float, foot: float) -> FloatArray:
    """Return the outer profile ``(P, 2)`` (radius, y) of a bowl, metres.

    Args:
        rng: Random generator of belly, rim and rounding.
        radius: Radius of the rim, metres.
        height: Height of the rim, metres.
        base: Radius of the bottom, metres.
        foot: Height of the bottom above the table, metres.
    """
    belly = rng.uniform(0.75, 1.02)
    corners = [
        (0.0, foot),
        (base, foot),
        (radius * belly, foot + (height - foot) * rng.uniform(0.25, 0.6)),
        (radius, height),
    ]
    if rng.uniform() < 0.2:  # a flared rim
        corners[-1:] = [(radius * 0.9, height - 4 * MM), (radius, height)]
    return subdivide(round_corners(corners, rng.uniform(0.3, 1.0) * radius, steps=14), 12 * MM)


@dataclass(frozen=True, slots=True)
class CanFamily:
    """Parameter ranges of one kind of can.

    Attributes:
        weight: Relative frequency.
        height: Smallest and largest height, millimetres.
        radius: Smallest and largest radius, millimetres.
    """

    weight: float
    height: tuple[float, float]
    radius: tuple[float, float]


CANS = {
    "soda": CanFamily(2.0, (105, 125), (31, 34)),
    "tall": CanFamily(1.4, (140, 170), (28, 34)),
    "food": CanFamily(1.6, (85, 130), (32, 43)),
    "tuna": CanFamily(1.0, (30, 60), (35, 52)),
    "coffee": CanFamily(0.8, (110, 225), (42, 56)),
    "tube": CanFamily(0.9, (150, 270), (32, 40)),
    "spray": CanFamily(0.8, (140, 230), (22, 33)),
}
"""Can families by name."""


def make_can(rng: np.random.Generator) -> Mesh:
    """Generate a random can along y."""
    weights = np.array([family.weight for family in CANS.values()])
    kind = str(rng.choice(list(CANS), p=weights / weights.sum()))
    height, radius = rng.uniform(*CANS[kind].height) * MM, rng.uniform(*CANS[kind].radius) * MM
    lip = rng.uniform(2.0, 5.0) * MM
    make_profile = {
        "soda": make_drink_can_profile,
        "tall": make_drink_can_profile,
        "spray": make_spray_can_profile,
    }.get(kind, make_rimmed_can_profile)
    profile = make_profile(rng, height, radius, lip)
    body = mark_inside(revolve(profile, 56), profile, 56)
    y = body.face_centres[:, 1]
    body = body.painted(random_colour(rng))
    body = add_label_bands(rng, body, height)
    ends = (y > height - 1.2 * lip) | (y < 1.2 * lip)
    body = body.painted(random_metal(rng), ends if kind != "spray" else y < 1.2 * lip)
    if kind == "spray":  # the cap
        body = body.painted(random_colour(rng), y > 0.86 * height).with_part(CLOSURE, y > 0.86 * height)
    return body


def make_drink_can_profile(rng: np.random.Generator, height: float, radius: float, lip: float) -> FloatArray:
    """Return the profile ``(P, 2)`` (radius, y) of a beverage can with a domed bottom and a narrow neck, metres."""
    neck = radius * rng.uniform(0.78, 0.92)
    rise = rng.uniform(8, 16) * MM
    corners = [
        (0.0, 6 * MM),
        (0.6 * neck, 5 * MM),
        (0.88 * neck, 0.0),
        (radius, rise * 0.6),
        (radius, height - rise),
        (neck, height - 2.5 * MM),
        (neck, height),
        (neck - 2.5 * MM, height),
        (neck - 3.5 * MM, height - lip),
        (0.0, height - lip),
    ]
    return subdivide(
        round_corners(corners, [0, 3 * MM, 2 * MM, 4 * MM, 5 * MM, 1 * MM, 0.8 * MM, 0.8 * MM, 1 * MM, 0]), 8 * MM
    )


def make_rimmed_can_profile(rng: np.random.Generator, height: float, radius: float, lip: float) -> FloatArray:
    """Return the profile ``(P, 2)`` (radius, y) of a food can with rims, sometimes ribbed or open, metres."""
    rim, proud = 3 * MM, rng.uniform(0.5, 1.8) * MM
    body = radius - proud
    open_top = rng.uniform() < 0.12
    depth = height - 3 * MM if open_top else lip
    corners = [
        (0.0, lip * 0.5),
        (radius - 3 * MM, lip * 0.5),
        (radius - 2.5 * MM, 0.0),
        (radius, 0.0),
        (radius, rim),
        (body, rim + 1 * MM),
        (body, height - rim - 1 * MM),
        (radius, height - rim),
        (radius, height),
        (radius - 2.5 * MM, height),
        (radius - 3 * MM, height - depth),
        (0.0, height - depth),
    ]
    curve = subdivide(round_corners(corners, 0.6 * MM, steps=3), 4 * MM)
    if rng.uniform() < 0.5:
        share = (curve[:, 1] - 0.2 * height) / (0.6 * height)
        ribbed = (share > 0) & (share < 1) & (curve[:, 0] > radius - 2.2 * MM)
        curve[ribbed, 0] -= 0.8 * MM * (1 - np.cos(2 * np.pi * share[ribbed] * rng.integers(4, 12)))
    return curve


def make_spray_can_profile(rng: np.random.Generator, height: float, radius: float, lip: float) -> FloatArray:
    """Return the profile ``(P, 2)`` (radius, y) of a spray can with its cap, metres."""
    cap = radius * rng.uniform(0.55, 1.0)
    corners = [
        (0.0, lip),
        (0.8 * radius, lip),
        (0.9 * radius, 0.0),
        (radius, 2 * MM),
        (radius, 0.78 * height),
        (cap, 0.86 * height),
        (cap * rng.uniform(0.8, 1.0), height),
        (0.0, height),
    ]
    return subdivide(
        round_corners(corners, [0, 1 * MM, 1 * MM, 1 * MM, 10 * MM, 2 * MM, rng.uniform(1, 6) * MM, 0]), 8 * MM
    )
