"""Bottles: wine to washing-up liquid, with corks, caps, cones and pumps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.data.synthetic.assets.decoration import MM, labelled
from clipose_ros.data.synthetic.assets.mesh import Mesh, cylinder, revolve, sweep, weld
from clipose_ros.data.synthetic.assets.profiles import dense, fillet
from clipose_ros.data.synthetic.assets.textures import random_colour
from clipose_ros.types import FloatArray

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class BottleFamily:
    """Ranges that one kind of bottle is drawn from; lengths in millimetres, heights as fractions of the whole.

    Attributes:
        weight: How often it is drawn, relative to the others.
        height: Total height.
        radius: Half of the larger width.
        shoulder: Where the body ends.
        neck_start: Where the neck begins.
        neck: Radius of the neck over that of the body.
        caps: Kinds of closure.
        flatness: Smaller over larger width of the body.
        squareness: Superellipse exponent of the body's cross-section, 2 is round.
        waist: How far the body narrows in the middle, relative.
        ribs: Most ribs around the body.
        base: Radius at the foot over that of the shoulder.
    """

    weight: float
    height: Range
    radius: Range
    shoulder: Range
    neck_start: Range
    neck: Range
    caps: tuple[str, ...]
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


def bottle(rng: np.random.Generator) -> Mesh:
    """A random bottle, opening at +y."""
    weights = np.array([family.weight for family in BOTTLES.values()])
    family = BOTTLES[str(rng.choice(list(BOTTLES), p=weights / weights.sum()))]
    height, radius = rng.uniform(*family.height) * MM, rng.uniform(*family.radius) * MM
    cap = str(rng.choice(family.caps))
    neck = max(rng.uniform(*family.neck) * radius, 8 * MM)
    shoulder, start = height * rng.uniform(*family.shoulder), height * rng.uniform(*family.neck_start)
    top = height if cap == "none" else start + (height - start) * {"pump": 0.12, "lid": 0.15}.get(cap, 0.35)
    curve = _bottle_curve(rng, family, radius, neck, shoulder, start, top)
    fade = 1.0 - _smoothstep(curve[:, 1], shoulder * 0.9, start)
    flatness = 1.0 - (1.0 - rng.uniform(*family.flatness)) * fade
    squareness = 2.0 + (rng.uniform(*family.squareness) - 2.0) * fade
    body = revolve(curve, 56, flatness, squareness)
    body = labelled(rng, body.painted(random_colour(rng)), shoulder)
    return body if cap == "none" else weld([body, *_closure(rng, cap, neck, top, height, radius)])


def _bottle_curve(
    rng: np.random.Generator,
    family: BottleFamily,
    radius: float,
    neck: float,
    shoulder: float,
    start: float,
    top: float,
) -> FloatArray:
    """Profile of the bottle without its closure, ``(P, 2)``."""
    foot = radius * rng.uniform(*family.base)
    corners = [
        (0.0, 0.0),
        (min(foot, radius), 0.0),
        (radius, shoulder),
        (neck, start),
        (neck * rng.uniform(0.93, 1.0), top),
    ]
    radii = [
        0.0,
        rng.uniform(2, 12) * MM,
        rng.uniform(0.2, 0.9) * (start - shoulder),
        rng.uniform(0.2, 0.8) * (start - shoulder),
        0.0,
    ]
    curve = dense(fillet(corners, radii, steps=10), 3.5 * MM)
    share = curve[:, 1] / shoulder
    inside = np.clip(np.sin(np.pi * np.clip(share, 0.0, 1.0)), 0.0, None) * (curve[:, 1] > 0)
    change = 1.0 - rng.uniform(*family.waist) * inside**2
    ribs = int(rng.integers(0, family.ribs + 1))
    change -= rng.uniform(0.01, 0.03) * inside * (0.5 + 0.5 * np.sin(2 * np.pi * ribs * share)) * (ribs > 0)
    curve[:, 0] *= change
    if rng.uniform() < 0.3:
        curve = np.concatenate([[(0.0, 4 * MM), (curve[1, 0] * 0.6, 4 * MM)], curve[1:]])
    inner = np.array([(0.8 * curve[-1, 0], top), (0.8 * curve[-1, 0], top - 25 * MM), (0.0, top - 30 * MM)])
    return np.concatenate([curve, inner])


def _closure(rng: np.random.Generator, kind: str, neck: float, top: float, height: float, radius: float) -> list[Mesh]:
    """The parts that close a bottle between ``top`` of its neck and its total ``height``."""
    colour = random_colour(rng)
    low = top - 0.4 * (height - top) if kind != "pump" else top
    tall = height - low
    if kind == "pump":
        stem = cylinder(0.35 * neck, tall * 0.95).shifted([0, low + tall * 0.475, 0])
        collar = cylinder(neck * 1.15, tall * 0.35, 1 * MM).shifted([0, low + tall * 0.1, 0])
        reach = radius * rng.uniform(0.75, 0.95)
        path = np.array(
            [(-0.5 * neck, 0.0), (0.6 * reach, 0.0), (0.9 * reach, -0.3 * neck), (reach - 2 * MM, -0.7 * neck)]
        )
        angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        section = np.stack([np.cos(angle), np.sin(angle)], axis=1) * max(0.3 * neck, 3 * MM)
        spout = sweep(path[::-1], section).shifted([0, height - max(0.3 * neck, 3 * MM), 0])
        return [part.painted(colour) for part in (stem, collar, spout)]
    wide = {"cork": 0.85, "crown": 1.15, "screw": 1.1, "flip": rng.uniform(1.1, 1.7), "lid": 1.1}.get(kind, 1.1) * neck
    corners = {
        "cone": [
            (0.0, 0.0),
            (wide, 0.0),
            (wide, 0.35 * tall),
            (0.35 * wide, 0.5 * tall),
            (0.18 * wide, tall),
            (0.0, tall),
        ],
        "sport": [
            (0.0, 0.0),
            (wide, 0.0),
            (wide, 0.45 * tall),
            (0.4 * wide, 0.6 * tall),
            (0.4 * wide, tall),
            (0.0, tall),
        ],
    }.get(kind, [(0.0, 0.0), (wide, 0.0), (wide, tall), (0.0, tall)])
    return [revolve(fillet(corners, 1.5 * MM, steps=4), 40).shifted([0, low, 0]).painted(colour)]


def _smoothstep(x: FloatArray, low: float, high: float) -> FloatArray:
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    smooth: FloatArray = t * t * (3.0 - 2.0 * t)
    return smooth
