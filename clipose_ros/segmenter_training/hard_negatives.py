"""Objects that detectors confuse with the categories: cartons, containers, toys, tools, pens, screens and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from clipose_ros.data.synthetic.assets.distractors import Distractor, make_distractor
from clipose_ros.data.synthetic.assets.hand import make_flat_hand, make_grasping_hand
from clipose_ros.data.synthetic.assets.mesh import MM, Mesh, box, concatenate_meshes, cylinder, ellipsoid, revolve
from clipose_ros.data.synthetic.assets.profiles import round_corners
from clipose_ros.data.synthetic.assets.textures import Texture, random_colour
from clipose_ros.data.synthetic.scenes import PlacedObject, Prop

DISTRACTOR_SHARE = 0.2
"""Share of the ordinary distractors of simulated tables among the hard negatives."""


def make_hard_negative(rng: np.random.Generator) -> Distractor:
    """Generate an object without a category: one that resembles a category, or an ordinary distractor."""
    if rng.uniform() < DISTRACTOR_SHARE:
        return make_distractor(rng)
    make = HARD_NEGATIVES[int(rng.integers(len(HARD_NEGATIVES)))]
    return Distractor(make(rng).centered(), flat_top=False)


def _make_carton(rng: np.random.Generator) -> Mesh:
    """Generate a food carton."""
    size = rng.uniform([0.03, 0.05, 0.08], [0.09, 0.26, 0.2])
    return box(size if rng.uniform() < 0.6 else size[[1, 0, 2]]).painted(random_colour(rng))


def _make_container(rng: np.random.Generator) -> Mesh:
    """Generate a rounded food container with a lid, upright."""
    x, y, z = rng.uniform([0.07, 0.03, 0.1], [0.14, 0.1, 0.24])
    radius = rng.uniform(8, 30) * MM
    body = box([x, y, z], radius).painted(random_colour(rng))
    lid = box([x + 6 * MM, rng.uniform(8, 22) * MM, z + 6 * MM], radius).painted(random_colour(rng))
    return concatenate_meshes([body, lid.translated([0, y / 2, 0])])


def _make_studded_brick(rng: np.random.Generator) -> Mesh:
    """Generate a toy brick with studs."""
    columns, rows, pitch = int(rng.integers(1, 5)), int(rng.integers(1, 3)), rng.uniform(15, 34) * MM
    height = pitch * rng.uniform(0.6, 1.3)
    parts = [box([columns * pitch, height, rows * pitch], 1.5 * MM)]
    for column in range(columns):
        for row in range(rows):
            at = [(column - (columns - 1) / 2) * pitch, height / 2 + 0.1 * pitch, (row - (rows - 1) / 2) * pitch]
            parts.append(cylinder(0.33 * pitch, 0.35 * pitch, 1 * MM, segments=20).translated(at))
    return concatenate_meshes(parts).painted(random_colour(rng))


def _make_drill(rng: np.random.Generator) -> Mesh:
    """Generate a power drill: motor, chuck, grip and battery."""
    main, dark = random_colour(rng), np.full(3, rng.uniform(0.02, 0.1))
    length, radius = rng.uniform(0.11, 0.16), rng.uniform(24, 34) * MM
    motor = cylinder(radius, length, 8 * MM).rotated("z", 90.0).painted(main)
    chuck = cylinder(0.55 * radius, 0.06, 6 * MM, segments=20).rotated("z", 90.0).painted(dark)
    grip = box([0.035, rng.uniform(0.1, 0.14), 0.032], 8 * MM).rotated("z", rng.uniform(-15, 5)).painted(main)
    battery = box([rng.uniform(0.07, 0.11), rng.uniform(0.03, 0.06), 0.06], 6 * MM, axis="x")
    return concatenate_meshes(
        [
            motor,
            chuck.translated([length / 2 + 0.025, 0, 0]),
            grip.translated([-0.01, -0.075, 0]),
            battery.translated([-0.015, -0.145, 0]).painted(dark if rng.uniform() < 0.5 else main),
        ]
    ).rotated("x", float(rng.choice([0.0, 90.0])))


def _make_pen(rng: np.random.Generator) -> Mesh:
    """Generate a lying pen or marker with a cap."""
    radius, length = rng.uniform(4, 11) * MM, rng.uniform(0.11, 0.16)
    shaft = cylinder(radius, length, 1 * MM, segments=20).painted(random_colour(rng))
    cap = cylinder(1.12 * radius, 0.35 * length, 2 * MM, segments=20).painted(random_colour(rng))
    pen = concatenate_meshes([shaft, cap.translated([0, 0.4 * length, 0])])
    return pen if rng.uniform() < 0.15 else pen.rotated("z", 90.0)


def _make_slab(rng: np.random.Generator) -> Mesh:
    """Generate a telephone, remote control, tablet or keyboard lying on the table."""
    x, z = rng.uniform([0.04, 0.12], [0.16, 0.45])
    slab = box([x, rng.uniform(7, 25) * MM, z], min(0.3 * x, rng.uniform(2, 14) * MM)).painted(random_colour(rng))
    screen = box([0.85 * x, 1 * MM, 0.88 * z]).painted(np.full(3, rng.uniform(0.01, 0.3)))
    top = slab.bounds[1][1]
    return concatenate_meshes([slab, screen.translated([0, top, 0])])


def _make_monitor(rng: np.random.Generator) -> Mesh:
    """Generate a screen on a stand, without a keyboard."""
    width, height = rng.uniform([0.25, 0.18], [0.5, 0.32])
    case, dark = random_colour(rng), random_colour(rng) * rng.uniform(0.05, 1.0)
    frame = box([width, height, 0.025], 3 * MM, axis="z").painted(case)
    panel = box([0.94 * width, 0.9 * height, 2 * MM]).translated([0, 0, 0.013]).painted(dark)
    pole = box([0.04, 0.12, 0.02]).translated([0, -height / 2 - 0.05, -0.01]).painted(case)
    foot = box([0.18, 0.012, 0.14], 4 * MM).translated([0, -height / 2 - 0.11, 0]).painted(case)
    return concatenate_meshes([frame, panel, pole, foot])


def _make_figure(rng: np.random.Generator) -> Mesh:
    """Generate a toy figure or an ornament: a stack of rounded parts."""
    parts, level, radius = [], 0.0, rng.uniform(0.02, 0.045)
    for _ in range(int(rng.integers(2, 5))):
        height = radius * rng.uniform(0.8, 2.2)
        shape = rng.uniform()
        part = ellipsoid([radius, height / 2, radius]) if shape < 0.5 else cylinder(radius, height, 0.2 * radius)
        parts.append(part.translated([0, level + height / 2, 0]).painted(random_colour(rng)))
        level += height * rng.uniform(0.8, 1.0)
        radius *= rng.uniform(0.6, 1.1)
    return concatenate_meshes(parts)


def _make_turned_leg(rng: np.random.Generator) -> Mesh:
    """Generate a turned piece of wood such as the leg of a table, a chess piece or a candlestick."""
    height, radius = rng.uniform(0.08, 0.35), rng.uniform(0.012, 0.035)
    steps = int(rng.integers(5, 12))
    radii = radius * rng.uniform(0.35, 1.0, steps)
    levels = np.linspace(0.0, height, steps)
    profile = [(0.0, 0.0), *zip(radii, levels, strict=True), (0.0, height)]
    return revolve(round_corners(profile, 4 * MM, steps=4), 32).painted(random_colour(rng))


def _make_box_with_knobs(rng: np.random.Generator) -> Mesh:
    """Generate a loudspeaker, radio, power supply or toolbox: a box with discs and knobs on its sides."""
    x, y, z = rng.uniform([0.06, 0.06, 0.05], [0.22, 0.22, 0.16])
    parts = [box([x, y, z], rng.uniform(1, 12) * MM).painted(random_colour(rng))]
    for _ in range(int(rng.integers(1, 6))):
        radius = rng.uniform(0.005, 0.3 * min(x, y))
        disc = cylinder(radius, rng.uniform(2, 14) * MM, 1 * MM, segments=24).rotated("x", 90.0)
        at = [rng.uniform(-0.35, 0.35) * x, rng.uniform(-0.35, 0.35) * y, z / 2]
        parts.append(disc.translated(at).painted(random_colour(rng)))
    return concatenate_meshes(parts)


HARD_NEGATIVES: tuple[Callable[[np.random.Generator], Mesh], ...] = (
    _make_carton,
    _make_carton,
    _make_container,
    _make_container,
    _make_studded_brick,
    _make_studded_brick,
    _make_drill,
    _make_drill,
    _make_pen,
    _make_slab,
    _make_monitor,
    _make_figure,
    _make_figure,
    _make_turned_leg,
    _make_box_with_knobs,
    make_flat_hand,
)
"""Generators of objects that resemble a category; repeated ones are drawn more often."""


def make_holding_hands(
    rng: np.random.Generator, objects: Sequence[PlacedObject], share: float = 0.06
) -> tuple[Prop, ...]:
    """Generate hands that hold a share of the objects, each from a random side; laptops are not held."""
    texture = Texture("plain", 0.1, 0.0, np.zeros(3))
    return tuple(
        Prop(make_grasping_hand(rng, item.object.mesh), item.T_world_object, texture)
        for item in objects
        if rng.uniform() < share and item.object.category != "laptop"
    )
