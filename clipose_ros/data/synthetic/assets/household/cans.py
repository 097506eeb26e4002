"""Cans of standard sizes, from flat tins a quarter as high as wide to tubes three times as high as wide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.data.synthetic.assets.bowls_and_cans import (
    make_drink_can_profile,
    make_rimmed_can_profile,
    make_spray_can_profile,
)
from clipose_ros.data.synthetic.assets.decoration import add_label_bands, mark_inside
from clipose_ros.data.synthetic.assets.mesh import CLOSURE, MM, Mesh, concatenate_meshes, cylinder, revolve
from clipose_ros.data.synthetic.assets.profiles import round_corners, subdivide
from clipose_ros.data.synthetic.assets.textures import random_colour, random_metal
from clipose_ros.types import FloatArray

_INCH = 25.4 * MM


@dataclass(frozen=True, slots=True)
class CanSize:
    """A standard size.

    Attributes:
        weight: Relative frequency.
        diameter: Diameter, metres.
        height: Height, metres.
        form: ``rimmed``, ``drink``, ``spray``, ``drawn`` (a bowl-like tin with one rim) or ``capped`` (a plastic lid).
    """

    weight: float
    diameter: float
    height: float
    form: str = "rimmed"


def _trade_size(weight: float, code: str, form: str = "rimmed") -> CanSize:
    """Return a size by its trade code: diameter x height, each in inches and sixteenths, such as ``307x113``."""
    diameter, height = ((int(part[0]) + int(part[1:]) / 16) * _INCH for part in code.split("x"))
    return CanSize(weight, diameter, height, form)


CAN_SIZES = (
    _trade_size(1.5, "307x106", "drawn"),
    _trade_size(1.0, "307x113", "drawn"),
    _trade_size(1.0, "307x200", "drawn"),
    _trade_size(0.8, "300x108", "drawn"),
    _trade_size(0.8, "401x206"),
    _trade_size(1.5, "211x400"),
    _trade_size(1.5, "300x407"),
    _trade_size(1.0, "303x406"),
    _trade_size(0.8, "307x409"),
    _trade_size(0.6, "401x411"),
    _trade_size(0.3, "404x700"),
    _trade_size(0.2, "603x700"),
    CanSize(2.0, 66 * MM, 122 * MM, "drink"),
    CanSize(1.0, 66 * MM, 168 * MM, "drink"),
    CanSize(0.8, 53 * MM, 135 * MM, "drink"),
    CanSize(0.8, 57 * MM, 157 * MM, "drink"),
    CanSize(0.7, 85 * MM, 33 * MM, "drawn"),
    CanSize(0.7, 102 * MM, 139 * MM, "capped"),
    CanSize(0.7, 75 * MM, 250 * MM, "capped"),
    CanSize(0.5, 66 * MM, 200 * MM, "spray"),
    CanSize(0.5, 53 * MM, 160 * MM, "spray"),
    CanSize(0.6, 70 * MM, 22 * MM, "drawn"),
)
"""Standard sizes."""
DIAMETER_M = (0.045, 0.165)
"""Smallest and largest diameter, metres."""
HEIGHT_RATIO = (0.25, 3.6)
"""Smallest and largest ratio of height to diameter."""


def make_household_can(rng: np.random.Generator) -> Mesh:
    """Generate a random can along y: of a standard size in three of four cases, otherwise of any proportions."""
    weights = np.array([size.weight for size in CAN_SIZES])
    size = CAN_SIZES[int(rng.choice(len(CAN_SIZES), p=weights / weights.sum()))]
    diameter, height = size.diameter * rng.uniform(0.96, 1.04), size.height * rng.uniform(0.93, 1.07)
    if rng.uniform() < 0.25:
        ratio = np.exp(rng.uniform(*np.log(HEIGHT_RATIO)))
        # The volume stays that of the standard size, so that no can is extreme in both.
        diameter *= float(np.clip((height / diameter / ratio) ** (1 / 3), 0.7, 1.4))
        height = ratio * diameter
    diameter = float(np.clip(diameter, *DIAMETER_M))
    height = float(np.clip(height, HEIGHT_RATIO[0] * diameter, HEIGHT_RATIO[1] * diameter))
    lip = min(rng.uniform(2.0, 5.0) * MM, 0.12 * height)
    form = size.form if size.form not in ("drink", "spray") or height > 0.08 else "rimmed"
    profile = _make_profile(rng, form, height, diameter / 2, lip)
    body = mark_inside(revolve(profile, 56), profile, 56)
    return _paint(rng, body, form, height, lip)


def _make_profile(rng: np.random.Generator, form: str, height: float, radius: float, lip: float) -> FloatArray:
    """Return the profile ``(P, 2)`` (radius, y) of a can, metres."""
    if form == "drink":
        return make_drink_can_profile(rng, height, radius, lip)
    if form == "spray":
        return make_spray_can_profile(rng, height, radius, lip)
    if form == "drawn":
        return _make_drawn_profile(rng, height, radius, lip)
    return make_rimmed_can_profile(rng, height, radius, lip)


def _make_drawn_profile(rng: np.random.Generator, height: float, radius: float, lip: float) -> FloatArray:
    """Return the profile of a tin that is drawn from one sheet: round foot, tapered wall, a rim at the top only."""
    foot, rim, proud = radius * rng.uniform(0.92, 0.995), 3 * MM, rng.uniform(0.5, 2.0) * MM
    corners = [
        (0.0, 0.3 * lip),
        (0.85 * foot, 0.3 * lip),
        (0.9 * foot, 0.0),
        (foot, 0.0),
        (radius - proud, height - rim - 0.5 * MM),
        (radius, height - rim),
        (radius, height),
        (radius - 2.5 * MM, height),
        (radius - 3 * MM, height - lip),
        (0.0, height - lip),
    ]
    return subdivide(
        round_corners(corners, [0, 1e-3, 1e-3, min(rng.uniform(1, 7) * MM, 0.2 * height), *[5e-4] * 5, 0]), 6 * MM
    )


def _paint(rng: np.random.Generator, body: Mesh, form: str, height: float, lip: float) -> Mesh:
    """Paint label and ends of a can; add the plastic lid of a capped one."""
    y = body.face_centres[:, 1]
    # One of four tins is bare metal.
    body = body.painted(random_metal(rng) if rng.uniform() < 0.25 else random_colour(rng))
    body = add_label_bands(rng, body, height)
    body = body.painted(random_metal(rng), (y > height - 1.2 * lip) | (y < 1.2 * lip))
    if form != "capped" or rng.uniform() < 0.3:
        return body
    radius = float(body.bounds[1][0])
    lid = cylinder(radius + 0.8 * MM, min(rng.uniform(6, 14) * MM, 0.2 * height), 1 * MM)
    top = lid.bounds[1][1] - 1.5 * MM
    return concatenate_meshes(
        [body, lid.translated([0.0, height - top, 0.0]).painted(random_colour(rng)).with_part(CLOSURE)]
    )
