"""Bottle generator: twelve families from wine to washing-up liquid, with corks, caps, cones and pumps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clipose_ros.data.synthetic.assets.decoration import add_label_bands
from clipose_ros.data.synthetic.assets.mesh import CLOSURE, MM, Mesh, concatenate_meshes, cylinder, revolve, sweep
from clipose_ros.data.synthetic.assets.profiles import round_corners, subdivide
from clipose_ros.data.synthetic.assets.textures import random_colour
from clipose_ros.types import FloatArray

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class BottleFamily:
    """Parameter ranges of one kind of bottle; lengths in millimetres, heights as fractions of the total height.

    Attributes:
        weight: Relative frequency.
        height: Total height, millimetres.
        radius: Half of the larger width, millimetres.
        shoulder: Height at which the body ends.
        neck_start: Height at which the neck begins.
        neck: Ratio of neck radius to body radius.
        closures: Kinds of closure; repeated kinds are drawn more often.
        flatness: Ratio of the smaller to the larger width of the body.
        squareness: Superellipse exponent of the body's cross-section; 2 is round.
        waist: Relative narrowing at the middle of the body.
        ribs: Largest number of ribs around the body.
        base: Ratio of foot radius to shoulder radius.
    """

    weight: float
    height: Range
    radius: Range
    shoulder: Range
    neck_start: Range
    neck: Range
    closures: tuple[str, ...]
    flatness: Range = (1.0, 1.0)
    squareness: Range = (2.0, 2.0)
    waist: Range = (0.0, 0.0)
    ribs: int = 0
    base: Range = (0.95, 1.0)


BOTTLES = {
    "wine": BottleFamily(
        1.5, (270, 335), (35, 42), (0.52, 0.66), (0.68, 0.82), (0.34, 0.42), ("none", "cork", "screw")
    ),
    "beer": BottleFamily(
        1.0, (180, 270), (27, 34), (0.5, 0.64), (0.68, 0.82), (0.38, 0.48), ("none", "crown", "crown")
    ),
    "soda": BottleFamily(
        2.0,
        (190, 340),
        (30, 55),
        (0.55, 0.76),
        (0.84, 0.92),
        (0.28, 0.45),
        ("screw", "screw", "none"),
        waist=(0.0, 0.14),
        ribs=7,
        base=(0.85, 1.0),
    ),
    "water": BottleFamily(
        1.2,
        (160, 300),
        (28, 44),
        (0.66, 0.82),
        (0.86, 0.93),
        (0.32, 0.5),
        ("screw", "sport"),
        waist=(0.0, 0.06),
        ribs=14,
    ),
    "squeeze": BottleFamily(
        1.5,
        (150, 235),
        (32, 48),
        (0.6, 0.78),
        (0.8, 0.88),
        (0.3, 0.55),
        ("cone", "flip", "cone"),
        flatness=(0.55, 0.95),
        squareness=(2.0, 3.2),
        waist=(0.0, 0.12),
        base=(0.85, 1.0),
    ),
    "shampoo": BottleFamily(
        1.2,
        (140, 260),
        (28, 52),
        (0.68, 0.84),
        (0.84, 0.9),
        (0.3, 0.6),
        ("flip", "screw", "pump"),
        flatness=(0.5, 1.0),
        squareness=(2.0, 4.5),
        base=(0.8, 1.05),
    ),
    "bleach": BottleFamily(
        0.8,
        (200, 300),
        (40, 60),
        (0.5, 0.68),
        (0.8, 0.88),
        (0.28, 0.4),
        ("screw",),
        flatness=(0.55, 0.8),
        squareness=(2.4, 4.0),
    ),
    "oil": BottleFamily(
        0.8,
        (220, 310),
        (27, 38),
        (0.5, 0.68),
        (0.7, 0.84),
        (0.32, 0.48),
        ("cork", "screw", "none"),
        squareness=(2.0, 6.0),
    ),
    "jar": BottleFamily(
        1.0,
        (80, 170),
        (32, 55),
        (0.68, 0.8),
        (0.8, 0.88),
        (0.7, 0.92),
        ("lid",),
        squareness=(2.0, 3.5),
        base=(0.9, 1.0),
    ),
    "medicine": BottleFamily(0.6, (75, 140), (20, 34), (0.62, 0.74), (0.74, 0.82), (0.5, 0.8), ("lid", "screw")),
    "pump": BottleFamily(
        0.8,
        (150, 230),
        (28, 42),
        (0.58, 0.7),
        (0.7, 0.76),
        (0.3, 0.5),
        ("pump",),
        squareness=(2.0, 4.0),
        base=(0.9, 1.05),
    ),
    "flask": BottleFamily(
        0.8, (190, 290), (30, 42), (0.7, 0.82), (0.82, 0.88), (0.6, 0.95), ("lid", "sport"), base=(0.9, 1.0)
    ),
}
"""Bottle families by name."""


@dataclass(frozen=True, slots=True)
class BottleDimensions:
    """Dimensions of one bottle, metres; heights are measured from the foot.

    Attributes:
        height: Total height, closure included.
        radius: Half of the larger width of the body.
        neck_radius: Radius of the neck.
        shoulder: Height at which the body ends.
        neck_start: Height at which the neck begins.
        neck_top: Height of the rim of the neck.
    """

    height: float
    radius: float
    neck_radius: float
    shoulder: float
    neck_start: float
    neck_top: float


def make_bottle(rng: np.random.Generator, families: Mapping[str, BottleFamily] = BOTTLES) -> Mesh:
    """Generate a random bottle of one of the families with its opening at +y."""
    weights = np.array([family.weight for family in families.values()])
    family = families[str(rng.choice(list(families), p=weights / weights.sum()))]
    height, radius = rng.uniform(*family.height) * MM, rng.uniform(*family.radius) * MM
    closure = str(rng.choice(family.closures))
    # A neck thinner than 16 mm would not carry its closure.
    neck_radius = max(rng.uniform(*family.neck) * radius, 8 * MM)
    shoulder, neck_start = height * rng.uniform(*family.shoulder), height * rng.uniform(*family.neck_start)
    # Share of the height above neck_start that is neck; the rest is closure.
    open_neck = {"none": 1.0, "pump": 0.12, "lid": 0.15}.get(closure, 0.35)
    neck_top = height if closure == "none" else neck_start + (height - neck_start) * open_neck
    dimensions = BottleDimensions(height, radius, neck_radius, shoulder, neck_start, neck_top)
    profile = _make_bottle_profile(rng, family, dimensions)
    # Flattened and squarish cross-sections fade to a round one between shoulder and neck.
    fade = 1.0 - _smoothstep(profile[:, 1], shoulder * 0.9, neck_start)
    flatness = 1.0 - (1.0 - rng.uniform(*family.flatness)) * fade
    squareness = 2.0 + (rng.uniform(*family.squareness) - 2.0) * fade
    body = revolve(profile, 56, flatness, squareness)
    body = add_label_bands(rng, body.painted(random_colour(rng)), shoulder)
    if closure == "none":
        return body
    parts = [part.with_part(CLOSURE) for part in _make_closure(rng, closure, dimensions)]
    return concatenate_meshes([body, *parts])


def _make_bottle_profile(rng: np.random.Generator, family: BottleFamily, dimensions: BottleDimensions) -> FloatArray:
    """Return the profile of a bottle without its closure, ``(P, 2)`` (radius, y), metres."""
    radius, neck, top = dimensions.radius, dimensions.neck_radius, dimensions.neck_top
    shoulder, neck_start = dimensions.shoulder, dimensions.neck_start
    foot = radius * rng.uniform(*family.base)
    corners = [
        (0.0, 0.0),
        (min(foot, radius), 0.0),
        (radius, shoulder),
        (neck, neck_start),
        (neck * rng.uniform(0.93, 1.0), top),
    ]
    radii = [
        0.0,
        rng.uniform(2, 12) * MM,
        rng.uniform(0.2, 0.9) * (neck_start - shoulder),
        rng.uniform(0.2, 0.8) * (neck_start - shoulder),
        0.0,
    ]
    profile = _add_waist_and_ribs(rng, subdivide(round_corners(corners, radii, steps=10), 3.5 * MM), family, shoulder)
    if rng.uniform() < 0.3:  # a recessed bottom
        profile = np.concatenate([[(0.0, 4 * MM), (profile[1, 0] * 0.6, 4 * MM)], profile[1:]])
    # A short inner surface makes the neck look open from above.
    inner_radius = 0.8 * profile[-1, 0]
    inner = np.array([(inner_radius, top), (inner_radius, top - 25 * MM), (0.0, top - 30 * MM)])
    return np.concatenate([profile, inner])


def _add_waist_and_ribs(
    rng: np.random.Generator, profile: FloatArray, family: BottleFamily, shoulder: float
) -> FloatArray:
    """Narrow the body of a profile ``(P, 2)`` to a waist and give it ribs; foot and neck stay unchanged."""
    share = profile[:, 1] / shoulder
    # 1 at the middle of the body, 0 at foot and shoulder.
    inside = np.clip(np.sin(np.pi * np.clip(share, 0.0, 1.0)), 0.0, None) * (profile[:, 1] > 0)
    factor = 1.0 - rng.uniform(*family.waist) * inside**2
    ribs = int(rng.integers(0, family.ribs + 1))
    factor -= rng.uniform(0.01, 0.03) * inside * (0.5 + 0.5 * np.sin(2 * np.pi * ribs * share)) * (ribs > 0)
    return np.stack([profile[:, 0] * factor, profile[:, 1]], axis=1)


def _make_closure(rng: np.random.Generator, kind: str, dimensions: BottleDimensions) -> list[Mesh]:
    """Generate the parts of a closure, between the top of the neck and the total height."""
    colour = random_colour(rng)
    height, top, neck = dimensions.height, dimensions.neck_top, dimensions.neck_radius
    if kind == "pump":
        return [part.painted(colour) for part in _make_pump(rng, dimensions)]
    low = top - 0.4 * (height - top)  # the closure covers part of the neck
    tall = height - low
    ratio = {"cork": 0.85, "crown": 1.15, "screw": 1.1, "flip": rng.uniform(1.1, 1.7), "lid": 1.1}.get(kind, 1.1)
    wide = ratio * neck
    if kind == "cone":
        upper = [(wide, 0.35 * tall), (0.35 * wide, 0.5 * tall), (0.18 * wide, tall)]
    elif kind == "sport":
        upper = [(wide, 0.45 * tall), (0.4 * wide, 0.6 * tall), (0.4 * wide, tall)]
    else:
        upper = [(wide, tall)]
    profile = round_corners([(0.0, 0.0), (wide, 0.0), *upper, (0.0, tall)], 1.5 * MM, steps=4)
    return [revolve(profile, 40).translated([0, low, 0]).painted(colour)]


def _make_pump(rng: np.random.Generator, dimensions: BottleDimensions) -> list[Mesh]:
    """Generate collar, stem and spout of a pump dispenser."""
    neck, low, tall = dimensions.neck_radius, dimensions.neck_top, dimensions.height - dimensions.neck_top
    stem = cylinder(0.35 * neck, tall * 0.95).translated([0, low + tall * 0.475, 0])
    collar = cylinder(neck * 1.15, tall * 0.35, 1 * MM).translated([0, low + tall * 0.1, 0])
    reach = dimensions.radius * rng.uniform(0.75, 0.95)
    path = np.array([(-0.5 * neck, 0.0), (0.6 * reach, 0.0), (0.9 * reach, -0.3 * neck), (reach - 2 * MM, -0.7 * neck)])
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    spout_radius = max(0.3 * neck, 3 * MM)
    section = np.stack([np.cos(angle), np.sin(angle)], axis=1) * spout_radius
    spout = sweep(path[::-1], section).translated([0, dimensions.height - spout_radius, 0])
    return [stem, collar, spout]


def _smoothstep(x: FloatArray, low: float, high: float) -> FloatArray:
    """Return the cubic ramp ``t^2 (3 - 2 t)`` from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    smooth: FloatArray = t * t * (3.0 - 2.0 * t)
    return smooth
