"""Laptop and camera generators: boxes, slabs and surfaces of revolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from clipose_ros.data.synthetic.assets.mesh import (
    BARREL,
    GRIP,
    LENS,
    LID,
    MM,
    SCREEN,
    Mesh,
    box,
    boxes,
    concatenate_meshes,
    cylinder,
    ellipsoid,
    extrude,
    revolve,
)
from clipose_ros.data.synthetic.assets.profiles import make_rounded_rectangle, round_corners
from clipose_ros.data.synthetic.assets.textures import random_colour, random_metal
from clipose_ros.types import FloatArray


@dataclass(frozen=True, slots=True)
class LaptopBody:
    """Shape of a laptop's base, metres.

    Attributes:
        depth: Extent along x, hinge to front.
        width: Extent along z.
        thickness: Thickness of the base.
        corner_radius: Radius of the corners of base and lid.
        colour: ``(3,)`` albedo of the housing.
    """

    depth: float
    width: float
    thickness: float
    corner_radius: float
    colour: FloatArray


def make_laptop(rng: np.random.Generator) -> Mesh:
    """Generate a random laptop: keyboard normal +y, hinge along z, lid at -x, symmetric about z = 0."""
    width = rng.uniform(260, 390) * MM
    depth = width * rng.uniform(0.62, 0.75)
    thickness, lid_thickness = rng.uniform(9, 28) * MM, rng.uniform(4.5, 10) * MM
    # Angle between keyboard and screen.
    opening_deg = float(np.clip(rng.normal(114, 20), 60, 150))
    colour = random_colour(rng) if rng.uniform() < 0.3 else random_metal(rng) * rng.uniform(0.15, 1.2)
    key_colour = random_colour(rng)
    if rng.uniform() < 0.7:
        key_colour = np.full(3, rng.uniform(0.02, 0.1))
    body = LaptopBody(depth, width, thickness, rng.uniform(3, 16) * MM, colour)
    slab = extrude(make_rounded_rectangle(depth, width, body.corner_radius), thickness)
    parts = [slab.translated([depth / 2, 0, 0]).painted(colour), *make_keyboard(rng, body, key_colour)]
    # The closed lid lies on the base; the rotation about the hinge opens it.
    lid = make_lid(rng, body, depth * rng.uniform(0.94, 1.0), lid_thickness)
    parts += [part.rotated("z", opening_deg).translated([4 * MM, thickness, 0]) for part in lid]
    hinge = cylinder(min(thickness, lid_thickness) * 0.55, width * rng.uniform(0.5, 0.9), segments=24).rotated("x", 90)
    parts.append(hinge.translated([4 * MM, thickness * 0.8, 0]).painted(colour * 0.5))
    return concatenate_meshes(parts)


def make_keyboard(rng: np.random.Generator, body: LaptopBody, key_colour: FloatArray) -> list[Mesh]:
    """Generate rows of keys and a touch pad on top of the base."""
    depth, width, top = body.depth, body.width, body.thickness
    rows, columns = 5, int(rng.integers(12, 15))
    x0, x1 = depth * rng.uniform(0.1, 0.16), depth * rng.uniform(0.56, 0.64)
    half = width * rng.uniform(0.4, 0.46)
    pitch_x, pitch_z = (x1 - x0) / rows, 2 * half / columns
    key_height = rng.uniform(0.5, 2.0) * MM
    sizes, centres = [], []
    for row in range(rows):
        x = x0 + (row + 0.5) * pitch_x
        if row == rows - 1:  # the row of the space bar
            spans = [(-half, -0.55 * half), (-0.5 * half, 0.5 * half), (0.55 * half, half)]
        else:
            edges = np.linspace(-half, half, columns + 1)
            spans = list(zip(edges[:-1] + 0.08 * pitch_z, edges[1:] - 0.08 * pitch_z, strict=True))
        for low, high in spans:
            sizes.append([pitch_x * 0.84, key_height, high - low])
            centres.append([x, top + key_height / 2, (low + high) / 2])
    keys = boxes(np.array(sizes), np.array(centres)).painted(key_colour)
    pad = box([depth * 0.26, 0.6 * MM, width * 0.3]).translated([depth * 0.8, top + 0.1 * MM, 0])
    return [keys, pad.painted(body.colour * 0.8)]


def make_lid(rng: np.random.Generator, body: LaptopBody, depth: float, thickness: float) -> list[Mesh]:
    """Generate the lid in closed position: towards +x, hinge at the origin, screen facing down."""
    width = body.width
    slab = extrude(make_rounded_rectangle(depth, width, body.corner_radius), thickness)
    slab = slab.translated([depth / 2, 0, 0]).painted(body.colour).with_part(LID)
    rim = rng.uniform(5, 16) * MM
    glass = random_colour(rng) * 0.6 if rng.uniform() < 0.6 else np.full(3, 0.015)
    bezel = box([depth - 4 * MM, 0.6 * MM, width - 4 * MM]).translated([depth / 2, 0, 0]).painted(np.full(3, 0.02))
    screen = box([depth - 2.4 * rim, 1.0 * MM, width - 2 * rim])
    screen = screen.translated([depth / 2 + 0.2 * rim, 0, 0]).painted(glass).with_part(SCREEN)
    return [slab, bezel, screen] if rng.uniform() < 0.8 else [slab, screen]


@dataclass(frozen=True, slots=True)
class CameraBody:
    """Shape of a camera's body, centred at the origin, metres.

    Attributes:
        kind: ``dslr``, ``mirrorless``, ``compact``, ``instant`` or ``film``.
        depth: Extent along x, back to front.
        height: Extent along y.
        width: Extent along z.
        colour: ``(3,)`` albedo of the housing.
    """

    kind: str
    depth: float
    height: float
    width: float
    colour: FloatArray


@dataclass(frozen=True, slots=True)
class CameraFamily:
    """Parameter ranges of one kind of camera, millimetres.

    Attributes:
        share: Probability.
        depth: Smallest and largest depth of the body.
        height: Smallest and largest height of the body.
        width: Smallest and largest width of the body.
        lens_length: Smallest and largest length of the lens.
    """

    share: float
    depth: tuple[float, float]
    height: tuple[float, float]
    width: tuple[float, float]
    lens_length: tuple[float, float]


CAMERAS = {
    "dslr": CameraFamily(0.4, (45, 70), (80, 100), (120, 155), (45, 130)),
    "mirrorless": CameraFamily(0.2, (28, 45), (62, 82), (105, 135), (25, 75)),
    "compact": CameraFamily(0.15, (20, 38), (55, 72), (90, 120), (5, 40)),
    "instant": CameraFamily(0.1, (50, 80), (95, 125), (110, 135), (18, 50)),
    "film": CameraFamily(0.15, (28, 42), (75, 92), (128, 148), (30, 60)),
}
"""Camera families by name; their probabilities sum to 1."""


def make_camera(rng: np.random.Generator) -> Mesh:
    """Generate a random photo camera: top +y, lens along +x, width along z, grip at +z."""
    kind = str(rng.choice(list(CAMERAS), p=[family.share for family in CAMERAS.values()]))
    family = CAMERAS[kind]
    depth, height, width = (rng.uniform(*extent) * MM for extent in (family.depth, family.height, family.width))
    colour = random_colour(rng) if rng.uniform() < 0.35 else np.full(3, rng.uniform(0.02, 0.12))
    leather = np.full(3, rng.uniform(0.02, 0.1)) if rng.uniform() < 0.7 else random_colour(rng)
    body = CameraBody(kind, depth, height, width, colour)
    housing = box([depth, height, width], rng.uniform(4, 16) * MM).painted(leather)
    ends = np.abs(housing.face_centres[:, 1]) > 0.3 * height
    housing = housing.painted(colour, ends).with_part(GRIP, ~ends)
    lens = _make_lens(rng, body)
    lens_z = rng.uniform(-0.15, 0.02) * width if kind != "compact" else rng.uniform(-0.2, 0.0) * width
    parts = [housing, lens.translated([0, 0, lens_z]), *make_camera_top(rng, body, lens_z)]
    if kind == "dslr" or rng.uniform() < 0.5:
        grip = rng.uniform(0.3, 0.75 if kind == "dslr" else 0.45) * depth
        handle = box([depth + grip, height * rng.uniform(0.85, 0.98), width * rng.uniform(0.16, 0.24)], 0.45 * grip)
        offset = [grip / 2, -0.005 * height, width * 0.5 - handle.bounds[1][2]]
        parts.append(handle.translated(offset).painted(leather).with_part(GRIP))
    return concatenate_meshes(parts)


def _make_lens(rng: np.random.Generator, body: CameraBody) -> Mesh:
    """Generate a lens along +x at the front of the body: a mount, one to three barrels and a front glass."""
    depth, height = body.depth, body.height
    length, radius = rng.uniform(*CAMERAS[body.kind].lens_length) * MM, height * rng.uniform(0.32, 0.46)
    if body.kind == "instant":
        radius *= 0.75
    barrels = 1 if length < 20 * MM else int(rng.integers(1, 4))
    # Barrels become wider or narrower towards the front.
    radii = radius * np.sort(rng.uniform(0.75, 1.0, barrels))[:: rng.choice([1, -1])]
    steps = np.sort(np.concatenate([[0.0, 1.0], rng.uniform(0.2, 0.85, barrels - 1)])) * length
    colour = body.colour if rng.uniform() < 0.3 else np.full(3, rng.uniform(0.015, 0.08))
    if rng.uniform() < 0.2:
        colour = random_metal(rng)
    tip = radii[-1]
    lens = revolve(make_lens_profile(radii, steps, depth), 48)
    y, r = lens.face_centres[:, 1], np.hypot(lens.face_centres[:, 0], lens.face_centres[:, 2])
    glass = (r < 0.74 * tip) & (y > 0.3 * length)
    lens = lens.with_part(BARREL).with_part(LENS, glass).painted(colour).painted(np.array([0.03, 0.03, 0.05]), glass)
    if rng.uniform() < 0.6 and length > 30 * MM:
        middle = rng.uniform(0.2, 0.8) * length
        lens = lens.painted(random_colour(rng), np.abs(y - middle) < 3 * MM)
    offset_y = rng.uniform(-0.08, 0.02) * height
    return lens.rotated("z", -90.0).translated([depth / 2, offset_y, 0])


def make_lens_profile(radii: FloatArray, steps: FloatArray, depth: float) -> FloatArray:
    """Return the profile ``(P, 2)`` (radius, y) of a lens along y, metres.

    Args:
        radii: ``(B,)`` radius of each barrel, from the body to the front, metres.
        steps: ``(B + 1,)`` ends of the barrels along y, from 0 to the length of the lens, metres.
        depth: Depth of the camera body, metres.
    """
    corners = [(0.0, -0.5 * depth)]
    for r, low, high in zip(radii, steps[:-1], steps[1:], strict=True):
        corners += [(r, low), (r, high)]
    corners[1] = (radii[0], -0.5 * depth)  # the rear barrel reaches into the body
    tip, length = radii[-1], steps[-1]
    corners += [
        (0.85 * tip, length),
        (0.75 * tip, length - min(6 * MM, 0.4 * length)),
        (0.0, length - min(4 * MM, 0.3 * length)),
    ]
    return round_corners(corners, 1 * MM, steps=3)


class _Viewfinder(NamedTuple):
    """Viewfinder on top of a camera.

    Attributes:
        parts: Meshes of the viewfinder; empty if there is none.
        prism_height: Height of the prism above the body, metres; 0 without a prism.
    """

    parts: list[Mesh]
    prism_height: float


def make_camera_top(rng: np.random.Generator, body: CameraBody, lens_z: float) -> list[Mesh]:
    """Generate the parts on the body: viewfinder, flash or hot shoe, dials, shutter button and window."""
    finder = _make_viewfinder(rng, body, lens_z)
    parts = [*finder.parts, *_make_flash_or_shoe(rng, body, finder.prism_height, lens_z)]
    depth, width, top = body.depth, body.width, body.height / 2
    for side in (-1, 1):
        if rng.uniform() < 0.7:
            dial = cylinder(rng.uniform(6, 11) * MM, rng.uniform(6, 14) * MM, 1 * MM, segments=28)
            dial = dial.painted(random_metal(rng) * 0.5)
            offset = [rng.uniform(-0.2, 0.1) * depth, top + 1 * MM, side * width * rng.uniform(0.28, 0.4)]
            parts.append(dial.translated(offset))
    button = ellipsoid([5 * MM, 4 * MM, 5 * MM], 20).painted(random_metal(rng))
    parts.append(button.translated([0.2 * depth, top + 1 * MM, 0.42 * width]))
    window = box([2 * MM, 9 * MM, 14 * MM]).painted(np.full(3, rng.uniform(0.05, 0.6)))
    parts.append(window.translated([depth / 2, 0.36 * body.height, -0.36 * width]))
    return parts


def _make_viewfinder(rng: np.random.Generator, body: CameraBody, lens_z: float) -> _Viewfinder:
    """Generate a prism with an eyepiece, or a flat finder, or none."""
    depth, width, top = body.depth, body.width, body.height / 2
    if body.kind in ("dslr", "film") or (body.kind == "mirrorless" and rng.uniform() < 0.5):
        hump = body.height * rng.uniform(0.14, 0.34)
        wide = width * rng.uniform(0.26, 0.4)
        corners = [(-wide / 2, -0.02), (-0.3 * wide, hump), (0.3 * wide, hump), (wide / 2, -0.02)]
        prism = extrude(round_corners(corners, 8 * MM)[::-1], depth * rng.uniform(0.7, 1.15))
        prism = prism.rotated("x", -90.0).rotated("y", 90.0).centered()
        eyepiece = box([14 * MM, 0.7 * hump, 0.6 * wide], 2 * MM, axis="x").painted(np.full(3, 0.02))
        prism = prism.translated([0, top + hump / 2 - 0.01, lens_z]).painted(body.colour)
        return _Viewfinder([prism, eyepiece.translated([-depth / 2, top + 0.3 * hump, lens_z])], hump)
    if body.kind == "instant" and rng.uniform() < 0.6:
        finder = box([0.5 * depth, 14 * MM, 0.4 * width], 6 * MM).translated([0, top + 5 * MM, 0])
        return _Viewfinder([finder.painted(body.colour)], 0.0)
    return _Viewfinder([], 0.0)


def _make_flash_or_shoe(rng: np.random.Generator, body: CameraBody, hump: float, lens_z: float) -> list[Mesh]:
    """Generate a flash with its lamp, or a hot shoe, on top of the viewfinder."""
    depth, height, width, top = body.depth, body.height, body.width, body.height / 2
    if body.kind in ("dslr", "mirrorless") and rng.uniform() < 0.25:
        foot = top + hump - 0.004
        flash = box([0.6 * depth, 0.35 * height, 0.4 * width], 4 * MM).painted(np.full(3, 0.04))
        lamp = box([2 * MM, 0.2 * height, 0.34 * width]).painted(np.full(3, 0.8))
        return [
            flash.translated([0.1 * depth, foot + 0.175 * height, lens_z]),
            lamp.translated([0.4 * depth, foot + 0.2 * height, lens_z]),
        ]
    shoe = box([18 * MM, 4 * MM, 20 * MM]).translated([0, top + hump, lens_z])
    return [shoe.painted(random_metal(rng))]
