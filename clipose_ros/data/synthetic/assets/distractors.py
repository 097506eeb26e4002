"""Distractor generators: objects on the table that belong to no category."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clipose_ros.data.synthetic.assets.mesh import (
    MM,
    PRINTED,
    Mesh,
    box,
    concatenate_meshes,
    cylinder,
    ellipsoid,
    extrude,
    revolve,
    sweep,
)
from clipose_ros.data.synthetic.assets.profiles import add_wall, round_corners
from clipose_ros.data.synthetic.assets.textures import random_colour, random_metal, random_wood


@dataclass(frozen=True, slots=True, eq=False)
class Distractor:
    """An object without a category.

    Attributes:
        mesh: Surface with y up and the box centre at the origin, metres.
        flat_top: True if other objects can be stacked on it.
    """

    mesh: Mesh
    flat_top: bool


DistractorSource = Callable[[np.random.Generator], Distractor]
"""Function that generates an object without a category."""


@dataclass(frozen=True, slots=True)
class DistractorKind:
    """One kind of distractor.

    Attributes:
        share: Probability.
        make: Mesh generator.
        flat_top: True if other objects can be stacked on it.
    """

    share: float
    make: Callable[[np.random.Generator], Mesh]
    flat_top: bool = False


def make_distractor(rng: np.random.Generator) -> Distractor:
    """Generate a random distractor of one of the kinds of ``DISTRACTORS``."""
    kind = DISTRACTORS[str(rng.choice(list(DISTRACTORS), p=[kind.share for kind in DISTRACTORS.values()]))]
    return Distractor(kind.make(rng).centered(), kind.flat_top)


def _make_carton(rng: np.random.Generator) -> Mesh:
    """Generate a carton."""
    return box(rng.uniform([0.04, 0.06, 0.08], [0.12, 0.26, 0.22])).painted(random_colour(rng)).with_part(PRINTED)


def _make_brick(rng: np.random.Generator) -> Mesh:
    """Generate a wooden brick with rounded edges."""
    return box(rng.uniform(0.03, 0.09, 3), rng.uniform(2, 12) * MM).painted(random_wood(rng))


def _make_books(rng: np.random.Generator) -> Mesh:
    """Generate a stack of one to three books."""
    parts, level = [], 0.0
    for _ in range(int(rng.integers(1, 4))):
        x, y, z = rng.uniform([0.13, 0.012, 0.18], [0.2, 0.045, 0.27])
        cover, pages = box([x, y, z]), box([x - 3 * MM, y - 5 * MM, z + 1 * MM])
        book = concatenate_meshes(
            [cover.painted(random_colour(rng)).with_part(PRINTED), pages.painted(np.array([0.75, 0.72, 0.62]))]
        )
        parts.append(book.rotated("y", rng.uniform(-25, 25)).translated([0, level + y / 2, 0]))
        level += y
    return concatenate_meshes(parts)


def _make_ball(rng: np.random.Generator) -> Mesh:
    """Generate a ball, sometimes flattened like a fruit."""
    return ellipsoid(rng.uniform(0.02, 0.06) * np.array([1.0, rng.uniform(0.8, 1.0), 1.0])).painted(random_colour(rng))


def _make_banana(rng: np.random.Generator) -> Mesh:
    """Generate a banana: a disc swept along an arc and tapered at both ends."""
    t = np.linspace(-1, 1, 24)
    path = np.stack([0.09 * np.sin(t), 0.09 * np.cos(t)], axis=1)[::-1]
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    section = 17 * MM * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    bent = sweep(path, section, 0.25 + 0.75 * np.sqrt(np.clip(1 - t**4, 0, 1)))
    return bent.rotated("x", 90.0).painted(np.array([0.75, 0.55, 0.07]))


def _make_plate(rng: np.random.Generator) -> Mesh:
    """Generate a plate."""
    r = rng.uniform(0.08, 0.14)
    curve = round_corners([(0.0, 0.0), (0.6 * r, 0.0), (0.75 * r, 0.1 * r), (r, 0.16 * r)], 10 * MM)
    return revolve(add_wall(curve, 3 * MM), 56).painted(random_colour(rng))


def _make_hammer(rng: np.random.Generator) -> Mesh:
    """Generate a hammer."""
    length = rng.uniform(0.2, 0.32)
    shaft = cylinder(rng.uniform(8, 13) * MM, length, 3 * MM, segments=24).rotated("z", 90.0).painted(random_wood(rng))
    head = box([24 * MM, 24 * MM, rng.uniform(0.07, 0.11)], 4 * MM, axis="z").painted(random_metal(rng))
    return concatenate_meshes([shaft, head.translated([length / 2 - 14 * MM, 0, 0])])


def _make_spoon(rng: np.random.Generator) -> Mesh:
    """Generate a spoon."""
    length = rng.uniform(0.12, 0.2)
    shaft = box([length, 3 * MM, 8 * MM])
    return concatenate_meshes(
        [shaft, ellipsoid([30 * MM, 5 * MM, 19 * MM]).translated([length / 2 + 20 * MM, 0, 0])]
    ).painted(random_metal(rng))


def _make_candle(rng: np.random.Generator) -> Mesh:
    """Generate a candle with a wick."""
    r, h = rng.uniform(0.02, 0.04), rng.uniform(0.05, 0.16)
    wick = cylinder(1 * MM, 12 * MM, segments=8).painted(np.full(3, 0.03)).translated([0, h / 2 + 5 * MM, 0])
    return concatenate_meshes([cylinder(r, h, 3 * MM).painted(random_colour(rng)), wick])


def _make_toy(rng: np.random.Generator) -> Mesh:
    """Generate a toy of two to four overlapping blocks and prisms."""
    parts = []
    for _ in range(int(rng.integers(2, 5))):
        if rng.uniform() < 0.5:
            part = box(rng.uniform(0.02, 0.07, 3), rng.uniform(0, 6) * MM)
        else:
            angle = np.linspace(0, 2 * np.pi, int(rng.integers(3, 7)), endpoint=False)
            r = rng.uniform(0.015, 0.04)
            part = extrude(r * np.stack([np.cos(angle), np.sin(angle)], axis=1), rng.uniform(0.02, 0.09))
        parts.append(
            part.rotated("y", rng.uniform(0, 360)).translated(rng.uniform(-0.03, 0.03, 3)).painted(random_colour(rng))
        )
    return concatenate_meshes(parts)


DISTRACTORS = {
    "carton": DistractorKind(0.18, _make_carton, flat_top=True),
    "books": DistractorKind(0.2, _make_books, flat_top=True),
    "ball": DistractorKind(0.1, _make_ball),
    "banana": DistractorKind(0.07, _make_banana),
    "plate": DistractorKind(0.08, _make_plate),
    "hammer": DistractorKind(0.07, _make_hammer),
    "spoon": DistractorKind(0.05, _make_spoon),
    "candle": DistractorKind(0.05, _make_candle),
    "toy": DistractorKind(0.12, _make_toy),
    "brick": DistractorKind(0.08, _make_brick, flat_top=True),
}
"""Kinds of distractor by name; their probabilities sum to 1."""
