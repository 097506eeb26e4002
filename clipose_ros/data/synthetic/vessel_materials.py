"""Materials of bottles, cans, mugs and bowls: glass, plastic, glaze and metal with labels, caps and contents."""

from __future__ import annotations

import numpy as np

from clipose_ros.data.synthetic.assets.mesh import BODY, CLOSURE, HANDLE, INSIDE, LIQUID, Mesh
from clipose_ros.data.synthetic.assets.object_prints import draw_can_end, draw_decal, draw_pottery, draw_ribs
from clipose_ros.data.synthetic.assets.printed_labels import draw_label
from clipose_ros.data.synthetic.assets.prints import FlatPrint, Print, WrappedPrint
from clipose_ros.data.synthetic.assets.textures import random_colour
from clipose_ros.data.synthetic.materials import Material, Surface
from clipose_ros.types import FloatArray

X, _, Z = np.eye(3)
GLASS_COLOURS = np.array(
    [[0.02, 0.06, 0.02], [0.07, 0.025, 0.006], [0.01, 0.012, 0.01], [0.05, 0.12, 0.06], [0.02, 0.05, 0.14]]
)
"""Linear albedo of filled bottles of green, brown, black and blue glass."""
PLASTIC_COLOURS = np.array([[0.75, 0.75, 0.72], [0.5, 0.6, 0.65], [0.35, 0.5, 0.6], [0.55, 0.3, 0.08], [0.6, 0.5, 0.2]])
"""Linear albedo of bottles of white or clear plastic with water, juice or oil."""
DRINKS = np.array([[0.02, 0.01, 0.005], [0.13, 0.06, 0.025], [0.15, 0.05, 0.01], [0.7, 0.65, 0.55], [0.5, 0.2, 0.03]])
"""Linear albedo of coffee, with milk, tea, milk and soup."""


def make_bottle_material(rng: np.random.Generator, mesh: Mesh) -> Material:
    """Draw glass or plastic with a label, and a ribbed cap."""
    low, high = _find_wall(mesh)
    kind = rng.uniform()
    if kind < 0.35:
        colour: FloatArray | None = GLASS_COLOURS[rng.integers(len(GLASS_COLOURS))] * rng.uniform(0.6, 1.6)
    elif kind < 0.65:
        colour = PLASTIC_COLOURS[rng.integers(len(PLASTIC_COLOURS))] * rng.uniform(0.8, 1.2)
    else:
        colour = None
    prints: tuple[Print, ...] = ()
    if rng.uniform() < 0.88:
        bottom, top = np.interp([rng.uniform(0.0, 0.3), rng.uniform(0.65, 1.0)], [0.0, 1.0], [low, high])
        turns = float(rng.choice([1.0, 1.0, 0.35, 0.45]))
        prints = (WrappedPrint(draw_label(rng), bottom, top, turns, float(rng.uniform())),)
    body = Surface(float(rng.uniform(0.7, 1.0)), float(rng.uniform(0.05, 0.3)), colour, textured=0.0, prints=prints)
    return Material({BODY: body, CLOSURE: _make_cap(rng, mesh)})


def _make_cap(rng: np.random.Generator, mesh: Mesh) -> Surface:
    """Draw a plastic cap, often ribbed, or a metal lid."""
    faces = mesh.faces[mesh.parts == CLOSURE]
    if len(faces) == 0 or rng.uniform() < 0.25:
        return Surface(0.8, 0.25, np.full(3, rng.uniform(0.4, 0.75)), metallic=True, textured=0.0)
    y = mesh.vertices[faces.ravel(), 1]
    ribs = WrappedPrint(draw_ribs(int(rng.integers(24, 60)), 0.5), float(y.min()), float(y.max()))
    prints = (ribs,) if rng.uniform() < 0.6 else ()
    return Surface(float(rng.uniform(0.3, 0.8)), 0.3, random_colour(rng), textured=0.0, prints=prints)


def make_can_material(rng: np.random.Generator, mesh: Mesh) -> Material:
    """Draw a label from rim to rim, or bare metal, and ends with beads or a tab."""
    low, high = (float(bound[1]) for bound in mesh.bounds)
    radius = float(mesh.bounds[1][0])
    margin = min(4e-3, 0.1 * (high - low))
    slim = high - low > 2.6 * radius
    printed_metal = slim and rng.uniform() < 0.5
    prints: tuple[Print, ...] = ()
    if rng.uniform() < 0.94:
        wall = _find_wall(mesh) if slim else (low + margin, high - margin)
        prints = (WrappedPrint(draw_label(rng), *wall, 1.0, float(rng.uniform())),)
    end = FlatPrint(draw_can_end(rng, slim), np.array([0.0, high, 0.0]), X, Z, 2 * radius, 2 * radius)
    under = FlatPrint(draw_can_end(rng, False), np.array([0.0, low, 0.0]), X, -Z, 2 * radius, 2 * radius)
    bare = np.full(3, rng.uniform(0.45, 0.75))
    body = Surface(
        0.9 if printed_metal else float(rng.uniform(0.3, 0.8)),
        float(rng.uniform(0.15, 0.4)),
        bare if not prints else None,
        metallic=not prints,
        textured=0.0,
        prints=(*prints, under),
    )
    metal = Surface(1.0, float(rng.uniform(0.15, 0.4)), bare, metallic=True, textured=0.0, prints=(end,))
    return Material({BODY: body, INSIDE: metal, CLOSURE: _make_cap(rng, mesh)})


def make_mug_material(rng: np.random.Generator, mesh: Mesh) -> Material:
    """Draw glaze with a decal or a pattern, often with a white inside."""
    low, high = (float(bound[1]) for bound in mesh.bounds)
    glaze = float(rng.uniform(0.5, 1.0)), float(rng.uniform(0.05, 0.35))
    speckle = float(rng.uniform(0.2, 0.5)) if rng.uniform() < 0.15 else 0.0
    kind, prints = rng.uniform(), list[Print]()
    at = np.sort(rng.uniform(0.08, 0.92, 2)) * (high - low) + low
    bottom, top = float(at[0]), float(max(at[1], at[0] + 0.25 * (high - low)))
    if kind < 0.4:
        # Beside the handle, which is at +x.
        prints.append(WrappedPrint(draw_decal(rng), bottom, top, 0.3, float(rng.choice([0.1, 0.6]))))
    elif kind < 0.6:
        prints.append(WrappedPrint(draw_pottery(rng), bottom, top))
    elif kind < 0.68:
        prints.append(WrappedPrint(draw_label(rng), low, high))
    white = np.full(3, rng.uniform(0.6, 0.85)) if rng.uniform() < 0.6 else None
    return Material(
        {
            BODY: Surface(*glaze, textured=speckle, prints=tuple(prints)),
            HANDLE: Surface(*glaze, textured=speckle),
            INSIDE: Surface(*glaze, white, textured=speckle),
            LIQUID: Surface(0.9, 0.05, DRINKS[rng.integers(len(DRINKS))], textured=0.0),
        }
    )


def make_bowl_material(rng: np.random.Generator, mesh: Mesh) -> Material:
    """Draw glaze, plastic or metal, sometimes with a pattern, and contents."""
    low, high = (float(bound[1]) for bound in mesh.bounds)
    gloss, roughness = float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.05, 0.5))
    if rng.uniform() < 0.1:
        steel = Surface(1.0, 0.2, np.full(3, rng.uniform(0.45, 0.7)), metallic=True, textured=0.0)
        return Material({BODY: steel, LIQUID: Surface(0.2, 0.6)})
    speckle = float(rng.uniform(0.2, 0.6)) if rng.uniform() < 0.2 else 0.0
    prints: tuple[Print, ...] = ()
    if rng.uniform() < 0.35:
        top = high - rng.uniform(0.0, 0.25) * (high - low)
        prints = (WrappedPrint(draw_pottery(rng), float(top - rng.uniform(0.2, 0.6) * (high - low)), float(top)),)
    white = np.full(3, rng.uniform(0.6, 0.85)) if rng.uniform() < 0.4 else None
    return Material(
        {
            BODY: Surface(gloss, roughness, textured=speckle, prints=prints),
            INSIDE: Surface(gloss, roughness, white, textured=speckle, prints=prints if rng.uniform() < 0.5 else ()),
            LIQUID: Surface(0.3, 0.5),
        }
    )


def _find_wall(mesh: Mesh) -> tuple[float, float]:
    """Return the lowest and highest y of the widest part of a body, metres, within 12 % of its largest radius."""
    points = mesh.vertices[mesh.faces[mesh.parts == BODY].ravel()]
    radius = np.hypot(points[:, 0], points[:, 2])
    wide = points[radius > 0.88 * radius.max(), 1]
    low, high = float(wide.min()), float(wide.max())
    return low, max(high, low + 5e-3)
