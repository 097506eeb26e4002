"""Bottles of real proportions: oval, square, handled, pumped and with triggers."""

from __future__ import annotations

import numpy as np

from clipose_ros.data.synthetic.assets.bottles import BOTTLES, BottleFamily, make_bottle
from clipose_ros.data.synthetic.assets.mesh import CLOSURE, MM, Mesh, box, concatenate_meshes, cylinder, sweep
from clipose_ros.data.synthetic.assets.textures import random_colour

HOUSEHOLD_BOTTLES = {
    # The mustard bottle of the YCB set is 58 x 95 x 190 mm.
    "oval_squeeze": BottleFamily(
        2.2, (140, 235), (32, 52), (0.5, 0.76), (0.78, 0.88), (0.25, 0.5), ("cone", "flip", "screw", "sport"),
        flatness=(0.48, 0.85), squareness=(2.0, 3.0), waist=(0.0, 0.14), base=(0.85, 1.0),
    ),
    "dish_soap": BottleFamily(
        1.3, (190, 270), (33, 50), (0.5, 0.74), (0.8, 0.88), (0.25, 0.42), ("sport", "flip"),
        flatness=(0.42, 0.75), squareness=(2.0, 3.5), waist=(0.0, 0.2), base=(0.8, 1.0),
    ),
    "shampoo": BottleFamily(
        1.4, (150, 265), (30, 52), (0.7, 0.86), (0.86, 0.92), (0.3, 0.65), ("flip", "screw", "lid"),
        flatness=(0.4, 0.9), squareness=(2.0, 5.0), base=(0.85, 1.05),
    ),
    # The bleach cleanser of the YCB set is 98 x 65 x 250 mm.
    "cleaner": BottleFamily(
        1.2, (210, 310), (42, 62), (0.5, 0.7), (0.78, 0.88), (0.26, 0.42), ("screw", "screw", "flip"),
        flatness=(0.5, 0.8), squareness=(2.2, 5.0),
    ),
    "square_juice": BottleFamily(
        1.0, (170, 300), (33, 52), (0.55, 0.78), (0.8, 0.9), (0.35, 0.6), ("screw",),
        flatness=(0.8, 1.0), squareness=(3.5, 9.0), waist=(0.0, 0.08), ribs=5,
    ),
    "square_glass": BottleFamily(
        0.8, (180, 320), (28, 42), (0.6, 0.8), (0.68 + 0.14, 0.88), (0.3, 0.48), ("cork", "screw", "none"),
        flatness=(0.85, 1.0), squareness=(4.0, 10.0),
    ),
    "hip_flask": BottleFamily(
        0.5, (120, 220), (38, 55), (0.62, 0.8), (0.82, 0.9), (0.22, 0.36), ("screw",),
        flatness=(0.32, 0.55), squareness=(2.2, 4.0),
    ),
    "pump": BottleFamily(
        1.2, (150, 240), (28, 48), (0.55, 0.7), (0.7, 0.78), (0.28, 0.5), ("pump",),
        flatness=(0.5, 1.0), squareness=(2.0, 6.0), base=(0.9, 1.05),
    ),
    "milk_jug": BottleFamily(
        0.7, (220, 275), (52, 78), (0.52, 0.66), (0.84, 0.91), (0.24, 0.32), ("screw",),
        squareness=(3.5, 8.0), flatness=(0.9, 1.0),
    ),
    "spice": BottleFamily(
        0.5, (90, 130), (19, 27), (0.66, 0.78), (0.8, 0.86), (0.75, 0.95), ("lid",), squareness=(2.0, 6.0),
    ),
    "large_soda": BottleFamily(
        0.6, (300, 345), (42, 56), (0.55, 0.7), (0.86, 0.93), (0.22, 0.3), ("screw",), waist=(0.0, 0.12), ribs=6,
    ),
}  # fmt: skip
"""Bottle families by name, in addition to those of ``assets.bottles``."""
_FAMILIES = BOTTLES | {f"household_{name}": family for name, family in HOUSEHOLD_BOTTLES.items()}
HANDLE_SHARE, TRIGGER_SHARE = 0.08, 0.06


def make_household_bottle(rng: np.random.Generator) -> Mesh:
    """Generate a random bottle with its opening at +y, flat sides along x, and handle or trigger at +z."""
    choice = rng.uniform()
    if choice < HANDLE_SHARE:
        return _make_jug(rng)
    if choice < HANDLE_SHARE + TRIGGER_SHARE:
        return _make_trigger_bottle(rng)
    return make_bottle(rng, _FAMILIES)


def _make_jug(rng: np.random.Generator) -> Mesh:
    """Generate a bottle with a handle between body and neck."""
    names = ("cleaner", "milk_jug")
    body = make_bottle(rng, {name: HOUSEHOLD_BOTTLES[name] for name in names})
    height, side = float(body.bounds[1][1]), float(body.bounds[1][2])
    t = np.linspace(0.0, np.pi, 21)
    low, high = height * rng.uniform(0.35, 0.5), height * rng.uniform(0.74, 0.84)
    reach = rng.uniform(22, 36) * MM
    # Both ends lie inside the body, whose shoulder is narrower at the upper end.
    foot = np.interp(t, [0.0, np.pi], [0.9 * side, 0.35 * side])
    z, y = foot + reach * np.sin(t), low + (high - low) * 0.5 * (1 - np.cos(t))
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    section = np.stack([np.cos(angle) * rng.uniform(6, 10), np.sin(angle) * rng.uniform(7, 12)], axis=1) * MM
    handle = sweep(np.stack([z, y], axis=1), section).rotated("y", -90.0)
    return concatenate_meshes([body, handle.painted(body.colours[0])])


def _make_trigger_bottle(rng: np.random.Generator) -> Mesh:
    """Generate a spray bottle: a head with a nozzle and a trigger at +z."""
    # The Windex bottle of the YCB set is 80 x 105 x 270 mm.
    family = BottleFamily(
        1.0, (170, 215), (33, 52), (0.45, 0.65), (0.76, 0.86), (0.28, 0.4), ("screw",),
        flatness=(0.5, 0.95), squareness=(2.0, 4.0), waist=(0.0, 0.15),
    )  # fmt: skip
    body, colour = make_bottle(rng, {"trigger": family}), random_colour(rng)
    top, reach = float(body.bounds[1][1]), rng.uniform(38, 55) * MM
    head_height, width = rng.uniform(28, 42) * MM, rng.uniform(20, 28) * MM
    stem = cylinder(0.4 * width, 0.9 * head_height).translated([0, top + 0.4 * head_height, 0])
    head = box([width, 0.5 * head_height, reach + 22 * MM], 4 * MM, axis="z")
    head = head.translated([0, top + 0.8 * head_height, 0.5 * reach - 6 * MM])
    nozzle = cylinder(5 * MM, 14 * MM, 1 * MM, segments=20).rotated("x", 90.0)
    nozzle = nozzle.translated([0, top + 0.85 * head_height, reach + 10 * MM])
    trigger = box([0.5 * width, 1.2 * head_height, 7 * MM], 2 * MM).rotated("x", rng.uniform(-30, -8))
    trigger = trigger.translated([0, top + 0.15 * head_height, 0.6 * reach])
    parts = (part.painted(colour).with_part(CLOSURE) for part in (stem, head, nozzle, trigger))
    return concatenate_meshes([body, *parts])
