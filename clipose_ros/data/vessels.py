"""Bottles, bowls, cans and mugs: profiles of revolution, open ones with a wall, and swept handles.

Each function draws one random instance, upright along y, at a place of its own; ``shapes.make_object`` centres it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from clipose_ros.data.colours import metal, random_colour
from clipose_ros.data.mesh import (
    HANDLE,
    Mesh,
    cylinder,
    fillet,
    revolve,
    sweep,
    weld,
    with_wall,
)
from clipose_ros.types import FloatArray

Range = tuple[float, float]
MM = 1e-3


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
    "wine": BottleFamily(1.5, (270, 335), (35, 42), (0.52, 0.66), (0.68, 0.82), (0.34, 0.42), ("none", "cork", "screw")),
    "beer": BottleFamily(1.0, (180, 270), (27, 34), (0.5, 0.64), (0.68, 0.82), (0.38, 0.48), ("none", "crown", "crown")),
    "soda": BottleFamily(
        2.0, (190, 340), (30, 55), (0.55, 0.76), (0.84, 0.92), (0.28, 0.45), ("screw", "screw", "none"),
        waist=(0.0, 0.14), ribs=7, base=(0.85, 1.0),
    ),
    "water": BottleFamily(
        1.2, (160, 300), (28, 44), (0.66, 0.82), (0.86, 0.93), (0.32, 0.5), ("screw", "sport"), waist=(0.0, 0.06), ribs=14
    ),
    "squeeze": BottleFamily(
        1.5, (150, 235), (32, 48), (0.6, 0.78), (0.8, 0.88), (0.3, 0.55), ("cone", "flip", "cone"),
        flatness=(0.55, 0.95), squareness=(2.0, 3.2), waist=(0.0, 0.12), base=(0.85, 1.0),
    ),
    "shampoo": BottleFamily(
        1.2, (140, 260), (28, 52), (0.68, 0.84), (0.84, 0.9), (0.3, 0.6), ("flip", "screw", "pump"),
        flatness=(0.5, 1.0), squareness=(2.0, 4.5), base=(0.8, 1.05),
    ),
    "bleach": BottleFamily(
        0.8, (200, 300), (40, 60), (0.5, 0.68), (0.8, 0.88), (0.28, 0.4), ("screw",),
        flatness=(0.55, 0.8), squareness=(2.4, 4.0),
    ),
    "oil": BottleFamily(
        0.8, (220, 310), (27, 38), (0.5, 0.68), (0.7, 0.84), (0.32, 0.48), ("cork", "screw", "none"), squareness=(2.0, 6.0)
    ),
    "jar": BottleFamily(
        1.0, (80, 170), (32, 55), (0.68, 0.8), (0.8, 0.88), (0.7, 0.92), ("lid",), squareness=(2.0, 3.5), base=(0.9, 1.0)
    ),
    "medicine": BottleFamily(0.6, (75, 140), (20, 34), (0.62, 0.74), (0.74, 0.82), (0.5, 0.8), ("lid", "screw")),
    "pump": BottleFamily(
        0.8, (150, 230), (28, 42), (0.58, 0.7), (0.7, 0.76), (0.3, 0.5), ("pump",), squareness=(2.0, 4.0), base=(0.9, 1.05)
    ),
    "flask": BottleFamily(0.8, (190, 290), (30, 42), (0.7, 0.82), (0.82, 0.88), (0.6, 0.95), ("lid", "sport"), base=(0.9, 1.0)),
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
    body = _labelled(rng, body.painted(random_colour(rng)), shoulder)
    return body if cap == "none" else weld([body, *_closure(rng, cap, neck, top, height, radius)])


def _bottle_curve(
    rng: np.random.Generator, family: BottleFamily, radius: float, neck: float, shoulder: float, start: float, top: float
) -> FloatArray:
    """Profile of the bottle without its closure, ``(P, 2)``."""
    foot = radius * rng.uniform(*family.base)
    corners = [(0.0, 0.0), (min(foot, radius), 0.0), (radius, shoulder), (neck, start), (neck * rng.uniform(0.93, 1.0), top)]
    radii = [0.0, rng.uniform(2, 12) * MM, rng.uniform(0.2, 0.9) * (start - shoulder), rng.uniform(0.2, 0.8) * (start - shoulder), 0.0]
    curve = _dense(fillet(corners, radii, steps=10), 3.5 * MM)
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
        path = np.array([(-0.5 * neck, 0.0), (0.6 * reach, 0.0), (0.9 * reach, -0.3 * neck), (reach - 2 * MM, -0.7 * neck)])
        angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        section = np.stack([np.cos(angle), np.sin(angle)], axis=1) * max(0.3 * neck, 3 * MM)
        spout = sweep(path[::-1], section).shifted([0, height - max(0.3 * neck, 3 * MM), 0])
        return [part.painted(colour) for part in (stem, collar, spout)]
    wide = {"cork": 0.85, "crown": 1.15, "screw": 1.1, "flip": rng.uniform(1.1, 1.7), "lid": 1.1}.get(kind, 1.1) * neck
    corners = {
        "cone": [(0.0, 0.0), (wide, 0.0), (wide, 0.35 * tall), (0.35 * wide, 0.5 * tall), (0.18 * wide, tall), (0.0, tall)],
        "sport": [(0.0, 0.0), (wide, 0.0), (wide, 0.45 * tall), (0.4 * wide, 0.6 * tall), (0.4 * wide, tall), (0.0, tall)],
    }.get(kind, [(0.0, 0.0), (wide, 0.0), (wide, tall), (0.0, tall)])
    return [revolve(fillet(corners, 1.5 * MM, steps=4), 40).shifted([0, low, 0]).painted(colour)]


def bowl(rng: np.random.Generator) -> Mesh:
    """A random bowl, opening at +y."""
    radius = rng.uniform(50, 130) * MM if rng.uniform() < 0.3 else rng.uniform(62, 98) * MM
    height = radius * (rng.uniform(0.6, 1.3) if rng.uniform() < 0.85 else rng.uniform(0.35, 0.5))
    wall = rng.uniform(2.0, 5.5) * MM
    base = radius * rng.uniform(0.25, 0.68)
    foot = rng.uniform(3, 12) * MM if rng.uniform() < 0.55 else 0.0
    belly = rng.uniform(0.75, 1.02)
    corners = [(0.0, foot), (base, foot), (radius * belly, foot + (height - foot) * rng.uniform(0.25, 0.6)), (radius, height)]
    if rng.uniform() < 0.2:
        corners[-1:] = [(radius * 0.9, height - 4 * MM), (radius, height)]
    curve = _dense(fillet(corners, rng.uniform(0.3, 1.0) * radius, steps=14), 12 * MM)
    outside, inside = random_colour(rng), random_colour(rng)
    body = revolve(with_wall(curve, wall), 64).painted(outside)
    if rng.uniform() < 0.5:
        body = body.painted(inside, np.arange(len(body.faces)) >= len(body.faces) // 2)
    parts = [body]
    if foot:
        ring = base * rng.uniform(0.75, 0.95)
        parts.append(cylinder(ring, foot + wall * 0.6, 0.8 * MM).shifted([0, (foot + wall * 0.6) / 2, 0]).painted(outside))
    if rng.uniform() < 0.12:
        parts.append(_filling(rng, curve, wall, foot + (height - foot) * rng.uniform(0.45, 0.8)))
    return weld(parts)


CANS = {
    "soda": (2.0, (105, 125), (31, 34)),
    "tall": (1.4, (140, 170), (28, 34)),
    "food": (1.6, (85, 130), (32, 43)),
    "tuna": (1.0, (30, 60), (35, 52)),
    "coffee": (0.8, (110, 180), (42, 55)),
    "tube": (0.9, (150, 270), (32, 40)),
    "spray": (0.8, (140, 230), (22, 33)),
}
"""Kinds of can: weight, height and radius in millimetres."""


def can(rng: np.random.Generator) -> Mesh:
    """A random can along y."""
    weights = np.array([weight for weight, _, _ in CANS.values()])
    kind = str(rng.choice(list(CANS), p=weights / weights.sum()))
    height, radius = (rng.uniform(*extent) * MM for extent in CANS[kind][1:])
    lip = rng.uniform(2.0, 5.0) * MM
    profile = {
        "soda": _drink_can, "tall": _drink_can, "spray": _spray_can,
    }.get(kind, _rimmed_can)(rng, height, radius, lip)
    body = revolve(profile, 56)
    y = body.face_centres[:, 1]
    body = body.painted(random_colour(rng))
    body = _labelled(rng, body, height)
    ends = (y > height - 1.2 * lip) | (y < 1.2 * lip)
    body = body.painted(metal(rng), ends if kind != "spray" else y < 1.2 * lip)
    if kind == "spray":
        body = body.painted(random_colour(rng), y > 0.86 * height)
    return body


def _drink_can(rng: np.random.Generator, height: float, radius: float, lip: float) -> FloatArray:
    neck = radius * rng.uniform(0.78, 0.92)
    rise = rng.uniform(8, 16) * MM
    corners = [
        (0.0, 6 * MM), (0.6 * neck, 5 * MM), (0.88 * neck, 0.0), (radius, rise * 0.6), (radius, height - rise),
        (neck, height - 2.5 * MM), (neck, height), (neck - 2.5 * MM, height), (neck - 3.5 * MM, height - lip), (0.0, height - lip),
    ]  # fmt: skip
    return _dense(fillet(corners, [0, 3 * MM, 2 * MM, 4 * MM, 5 * MM, 1 * MM, 0.8 * MM, 0.8 * MM, 1 * MM, 0]), 8 * MM)


def _rimmed_can(rng: np.random.Generator, height: float, radius: float, lip: float) -> FloatArray:
    rim, proud = 3 * MM, rng.uniform(0.5, 1.8) * MM
    body = radius - proud
    open_top = rng.uniform() < 0.12
    depth = height - 3 * MM if open_top else lip
    corners = [
        (0.0, lip * 0.5), (radius - 3 * MM, lip * 0.5), (radius - 2.5 * MM, 0.0), (radius, 0.0), (radius, rim), (body, rim + 1 * MM),
        (body, height - rim - 1 * MM), (radius, height - rim), (radius, height), (radius - 2.5 * MM, height),
        (radius - 3 * MM, height - depth), (0.0, height - depth),
    ]  # fmt: skip
    curve = _dense(fillet(corners, 0.6 * MM, steps=3), 4 * MM)
    if rng.uniform() < 0.5:
        share = (curve[:, 1] - 0.2 * height) / (0.6 * height)
        ribbed = (share > 0) & (share < 1) & (curve[:, 0] > radius - 2.2 * MM)
        curve[ribbed, 0] -= 0.8 * MM * (1 - np.cos(2 * np.pi * share[ribbed] * rng.integers(4, 12)))
    return curve


def _spray_can(rng: np.random.Generator, height: float, radius: float, lip: float) -> FloatArray:
    cap = radius * rng.uniform(0.55, 1.0)
    corners = [
        (0.0, lip), (0.8 * radius, lip), (0.9 * radius, 0.0), (radius, 2 * MM), (radius, 0.78 * height), (cap, 0.86 * height),
        (cap * rng.uniform(0.8, 1.0), height), (0.0, height),
    ]  # fmt: skip
    return _dense(fillet(corners, [0, 1 * MM, 1 * MM, 1 * MM, 10 * MM, 2 * MM, rng.uniform(1, 6) * MM, 0]), 8 * MM)


def mug(rng: np.random.Generator) -> Mesh:
    """A random mug, opening at +y, handle along +x, mirrored by z = 0."""
    kind = rng.choice(["classic", "wide", "espresso", "tall"], p=[0.55, 0.24, 0.09, 0.12])
    heights, radii = {
        "classic": ((78, 112), (36, 49)), "wide": ((60, 90), (44, 60)), "espresso": ((50, 68), (26, 36)), "tall": ((105, 140), (34, 44)),
    }[str(kind)]  # fmt: skip
    height, radius = rng.uniform(*heights) * MM, rng.uniform(*radii) * MM
    wall = rng.uniform(2.5, 5.5) * MM
    curve = _mug_curve(rng, height, radius)
    outside = random_colour(rng)
    body = _labelled(rng, revolve(with_wall(curve, wall), 64).painted(outside), height, chance=0.35)
    if rng.uniform() < 0.35:
        body = body.painted(random_colour(rng), np.arange(len(body.faces)) >= len(body.faces) // 2)
    parts = [body, _mug_handle(rng, curve, height, wall).painted(outside if rng.uniform() < 0.8 else random_colour(rng))]
    if rng.uniform() < 0.15:
        parts.append(_filling(rng, curve, wall, height * rng.uniform(0.5, 0.88)))
    return weld(parts)


def _mug_curve(rng: np.random.Generator, height: float, radius: float) -> FloatArray:
    """Outer profile of a mug's body: cylindrical, tapered, rounded or footed."""
    form = rng.choice(["straight", "taper", "round", "foot", "bell"], p=[0.35, 0.2, 0.22, 0.1, 0.13])
    if form == "straight":
        corners = [(0.0, 0.0), (radius * rng.uniform(0.96, 1.0), 0.0), (radius, height)]
        radii = [0.0, rng.uniform(2, 14) * MM, 0.0]
    elif form == "taper":
        corners = [(0.0, 0.0), (radius * rng.uniform(0.6, 0.92), 0.0), (radius, height)]
        radii = [0.0, rng.uniform(2, 20) * MM, 0.0]
    elif form == "round":
        base, belly = radius * rng.uniform(0.5, 0.75), radius * rng.uniform(1.03, 1.16)
        corners = [(0.0, 0.0), (base, 0.0), (belly, height * rng.uniform(0.3, 0.5)), (radius * rng.uniform(0.85, 1.0), height)]
        radii = [0.0, 0.3 * height, 0.45 * height, 0.0]
    elif form == "foot":
        base = radius * rng.uniform(0.6, 0.8)
        corners = [(0.0, 0.0), (base, 0.0), (base * 0.95, 0.1 * height), (radius, height * rng.uniform(0.2, 0.35)), (radius, height)]
        radii = [0.0, 1 * MM, 6 * MM, 0.12 * height, 0.0]
    else:
        base = radius * rng.uniform(0.62, 0.85)
        corners = [(0.0, 0.0), (base, 0.0), (base * rng.uniform(0.95, 1.1), 0.6 * height), (radius, height)]
        radii = [0.0, rng.uniform(4, 20) * MM, 0.3 * height, 0.0]
    return _dense(fillet(corners, radii, steps=8), 8 * MM)


def _mug_handle(rng: np.random.Generator, curve: FloatArray, height: float, wall: float) -> Mesh:
    """A swept handle on the +x side: ring, ear, squared or pointed by one superellipse with a skew."""
    centre = height * rng.uniform(0.44, 0.58)
    half = min(height * rng.uniform(0.24, 0.4), height - centre - 5 * MM, centre - 5 * MM)
    thick, broad = rng.uniform(2.8, 5.5) * MM, rng.uniform(4.0, 9.0) * MM
    reach = rng.uniform(20, 38) * MM if height > 0.07 else rng.uniform(14, 26) * MM
    exponent = rng.choice([0.35, 0.6, 1.0, 1.0, 1.2])
    skew = rng.uniform(-0.1, 0.45) if rng.uniform() < 0.6 else 0.0
    t = np.linspace(-np.pi / 2, np.pi / 2, 33)
    y = centre + half * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** exponent
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
    return sweep(np.stack([x, y], axis=1), section, swell).as_part(HANDLE)


def _filling(rng: np.random.Generator, curve: FloatArray, wall: float, level: float) -> Mesh:
    """A thin disc of something to drink or eat within an open vessel."""
    radius = float(np.interp(level, curve[2:, 1], curve[2:, 0])) - 0.7 * wall
    return cylinder(radius, 1 * MM).shifted([0, level, 0]).painted(random_colour(rng))


def _labelled(rng: np.random.Generator, mesh: Mesh, height: float, chance: float = 0.7) -> Mesh:
    """The mesh with bands of other colours around it, as labels are."""
    if rng.uniform() > chance:
        return mesh
    y = mesh.face_centres[:, 1] / height
    low, high = rng.uniform(0.05, 0.4), rng.uniform(0.55, 0.95)
    mesh = mesh.painted(random_colour(rng), (y > low) & (y < high))
    if rng.uniform() < 0.5:
        middle, half = rng.uniform(low, high), rng.uniform(0.03, 0.1)
        mesh = mesh.painted(random_colour(rng), (y > middle - half) & (y < middle + half))
    return mesh


def _dense(curve: FloatArray, step: float) -> FloatArray:
    """The polyline with points added so that no edge is longer than ``step``; corners stay."""
    pieces = []
    for a, b in itertools.pairwise(curve):
        count = max(int(np.ceil(np.linalg.norm(b - a) / step)), 1)
        pieces.append(a + (b - a) * (np.arange(count) / count)[:, None])
    return np.concatenate([*pieces, curve[-1:]])


def _smoothstep(x: FloatArray, low: float, high: float) -> FloatArray:
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    smooth: FloatArray = t * t * (3.0 - 2.0 * t)
    return smooth
