"""Laptops and cameras, made of boxes, barrels and slabs."""

from __future__ import annotations

import numpy as np

from clipose_ros.data.synthetic.assets.mesh import Mesh, box, cylinder, ellipsoid, extrude, revolve, weld
from clipose_ros.data.synthetic.assets.profiles import fillet, rounded_rectangle
from clipose_ros.data.synthetic.assets.textures import metal, random_colour
from clipose_ros.types import FloatArray

MM = 1e-3


def laptop(rng: np.random.Generator) -> Mesh:
    """A random laptop: keyboard normal +y, hinge along z, lid at -x, mirrored by z = 0."""
    width = rng.uniform(260, 390) * MM
    depth = width * rng.uniform(0.62, 0.75)
    base, lid = rng.uniform(9, 28) * MM, rng.uniform(4.5, 10) * MM
    opening = float(np.clip(rng.normal(114, 20), 60, 150))
    shell, keys = random_colour(rng) if rng.uniform() < 0.3 else metal(rng) * rng.uniform(0.15, 1.2), random_colour(rng)
    if rng.uniform() < 0.7:
        keys = np.full(3, rng.uniform(0.02, 0.1))
    corner = rng.uniform(3, 16) * MM
    slab = extrude(rounded_rectangle(depth, width, corner), base).shifted([depth / 2, 0, 0]).painted(shell)
    parts = [slab, *_keyboard(rng, depth, width, base, shell, keys)]
    screen = _lid(rng, depth * rng.uniform(0.94, 1.0), width, lid, corner, shell)
    parts += [part.turned("z", opening).shifted([4 * MM, base, 0]) for part in screen]
    hinge = cylinder(min(base, lid) * 0.55, width * rng.uniform(0.5, 0.9), segments=24).turned("x", 90.0)
    parts.append(hinge.shifted([4 * MM, base * 0.8, 0]).painted(shell * 0.5))
    return weld(parts)


def _keyboard(
    rng: np.random.Generator, depth: float, width: float, base: float, shell: FloatArray, keys: FloatArray
) -> list[Mesh]:
    """Keys in rows, and a touch pad, lying on the base."""
    rows, columns = 5, int(rng.integers(12, 15))
    x0, x1 = depth * rng.uniform(0.1, 0.16), depth * rng.uniform(0.56, 0.64)
    half = width * rng.uniform(0.4, 0.46)
    pitch_x, pitch_z = (x1 - x0) / rows, 2 * half / columns
    raise_by = rng.uniform(0.5, 2.0) * MM
    parts = []
    for row in range(rows):
        x = x0 + (row + 0.5) * pitch_x
        if row == rows - 1:
            spans = [(-half, -0.55 * half), (-0.5 * half, 0.5 * half), (0.55 * half, half)]
        else:
            edges = np.linspace(-half, half, columns + 1)
            spans = list(zip(edges[:-1] + 0.08 * pitch_z, edges[1:] - 0.08 * pitch_z, strict=True))
        for low, high in spans:
            key = box([pitch_x * 0.84, raise_by, high - low]).shifted([x, base + raise_by / 2, (low + high) / 2])
            parts.append(key.painted(keys))
    pad = box([depth * 0.26, 0.6 * MM, width * 0.3]).shifted([depth * 0.8, base + 0.1 * MM, 0])
    return [*parts, pad.painted(shell * 0.8)]


def _lid(
    rng: np.random.Generator, depth: float, width: float, thick: float, corner: float, shell: FloatArray
) -> list[Mesh]:
    """The lid as it lies closed towards +x, hinge at the origin, screen facing down."""
    slab = extrude(rounded_rectangle(depth, width, corner), thick).shifted([depth / 2, 0, 0]).painted(shell)
    rim = rng.uniform(5, 16) * MM
    glass = random_colour(rng) * 0.6 if rng.uniform() < 0.6 else np.full(3, 0.015)
    bezel = box([depth - 4 * MM, 0.6 * MM, width - 4 * MM]).shifted([depth / 2, 0, 0]).painted(np.full(3, 0.02))
    screen = box([depth - 2.4 * rim, 1.0 * MM, width - 2 * rim]).shifted([depth / 2 + 0.2 * rim, 0, 0]).painted(glass)
    return [slab, bezel, screen] if rng.uniform() < 0.8 else [slab, screen]


def camera(rng: np.random.Generator) -> Mesh:
    """A random photo camera: top +y, lens along +x, width along z, grip at +z."""
    kind = rng.choice(["dslr", "mirrorless", "compact", "instant", "film"], p=[0.4, 0.2, 0.15, 0.1, 0.15])
    depth, height, width = (
        rng.uniform(*extent) * MM
        for extent in {
            "dslr": ((45, 70), (80, 100), (120, 155)),
            "mirrorless": ((28, 45), (62, 82), (105, 135)),
            "compact": ((20, 38), (55, 72), (90, 120)),
            "instant": ((50, 80), (95, 125), (110, 135)),
            "film": ((28, 42), (75, 92), (128, 148)),
        }[str(kind)]
    )
    shell = random_colour(rng) if rng.uniform() < 0.35 else np.full(3, rng.uniform(0.02, 0.12))
    leather = np.full(3, rng.uniform(0.02, 0.1)) if rng.uniform() < 0.7 else random_colour(rng)
    body = box([depth, height, width], rng.uniform(4, 16) * MM).painted(leather)
    body = body.painted(shell, np.abs(body.face_centres[:, 1]) > 0.3 * height)
    parts = [body, *_lens(rng, str(kind), depth, height, shell)]
    lens_z = rng.uniform(-0.15, 0.02) * width if kind != "compact" else rng.uniform(-0.2, 0.0) * width
    parts[1:] = [part.shifted([0, 0, lens_z]) for part in parts[1:]]
    parts += _top(rng, str(kind), depth, height, width, lens_z, shell)
    if kind == "dslr" or rng.uniform() < 0.5:
        grip = rng.uniform(0.3, 0.75 if kind == "dslr" else 0.45) * depth
        handle = box([depth + grip, height * rng.uniform(0.85, 0.98), width * rng.uniform(0.16, 0.24)], 0.45 * grip)
        parts.append(handle.shifted([grip / 2, -0.005 * height, width * 0.5 - handle.bounds[1][2]]).painted(leather))
    return weld(parts)


def _lens(rng: np.random.Generator, kind: str, depth: float, height: float, shell: FloatArray) -> list[Mesh]:
    """A mount, one to three barrels and a front glass along +x, standing on the body's front."""
    reach = {"dslr": (45, 130), "mirrorless": (25, 75), "compact": (5, 40), "instant": (18, 50), "film": (30, 60)}[kind]
    length, radius = rng.uniform(*reach) * MM, height * rng.uniform(0.32, 0.46)
    if kind == "instant":
        radius *= 0.75
    barrels = 1 if length < 20 * MM else int(rng.integers(1, 4))
    radii = radius * np.sort(rng.uniform(0.75, 1.0, barrels))[:: rng.choice([1, -1])]
    steps = np.sort(np.concatenate([[0.0, 1.0], rng.uniform(0.2, 0.85, barrels - 1)])) * length
    colour = shell if rng.uniform() < 0.3 else np.full(3, rng.uniform(0.015, 0.08))
    if rng.uniform() < 0.2:
        colour = metal(rng)
    corners = [(0.0, -0.5 * depth)]
    for r, low, high in zip(radii, steps[:-1], steps[1:], strict=True):
        corners += [(r, low), (r, high)]
    tip = radii[-1]
    corners[1] = (radii[0], -0.5 * depth)
    corners += [
        (0.85 * tip, length),
        (0.75 * tip, length - min(6 * MM, 0.4 * length)),
        (0.0, length - min(4 * MM, 0.3 * length)),
    ]
    barrel = revolve(fillet(corners, 1 * MM, steps=3), 48)
    y, r = barrel.face_centres[:, 1], np.hypot(barrel.face_centres[:, 0], barrel.face_centres[:, 2])
    barrel = barrel.painted(colour).painted(np.array([0.03, 0.03, 0.05]), (r < 0.74 * tip) & (y > 0.3 * length))
    if rng.uniform() < 0.6 and length > 30 * MM:
        middle = rng.uniform(0.2, 0.8) * length
        barrel = barrel.painted(random_colour(rng), np.abs(y - middle) < 3 * MM)
    low_by = rng.uniform(-0.08, 0.02) * height
    return [barrel.turned("z", -90.0).shifted([depth / 2, low_by, 0])]


def _top(
    rng: np.random.Generator, kind: str, depth: float, height: float, width: float, lens_z: float, shell: FloatArray
) -> list[Mesh]:
    """What stands on the body: prism or finder hump, hot shoe, flash, dials, shutter button, eyepiece."""
    parts: list[Mesh] = []
    top = height / 2
    hump = 0.0
    if kind in ("dslr", "film") or (kind == "mirrorless" and rng.uniform() < 0.5):
        hump = height * rng.uniform(0.14, 0.34)
        wide = width * rng.uniform(0.26, 0.4)
        outline = fillet([(-wide / 2, -0.02), (-0.3 * wide, hump), (0.3 * wide, hump), (wide / 2, -0.02)], 8 * MM)
        prism = extrude(outline[::-1], depth * rng.uniform(0.7, 1.15))
        prism = prism.turned("x", -90.0).turned("y", 90.0).centred()
        parts.append(prism.shifted([0, top + hump / 2 - 0.01, lens_z]).painted(shell))
        eyepiece = box([14 * MM, 0.7 * hump, 0.6 * wide], 2 * MM, axis="x").painted(np.full(3, 0.02))
        parts.append(eyepiece.shifted([-depth / 2, top + 0.3 * hump, lens_z]))
    elif kind == "instant" and rng.uniform() < 0.6:
        parts.append(box([0.5 * depth, 14 * MM, 0.4 * width], 6 * MM).shifted([0, top + 5 * MM, 0]).painted(shell))
    if kind in ("dslr", "mirrorless") and rng.uniform() < 0.25:
        foot = top + hump - 0.004
        flash = box([0.6 * depth, 0.35 * height, 0.4 * width], 4 * MM).painted(np.full(3, 0.04))
        parts.append(flash.shifted([0.1 * depth, foot + 0.175 * height, lens_z]))
        parts.append(
            box([2 * MM, 0.2 * height, 0.34 * width])
            .shifted([0.4 * depth, foot + 0.2 * height, lens_z])
            .painted(np.full(3, 0.8))
        )
    else:
        shoe = box([18 * MM, 4 * MM, 20 * MM]).shifted([0, top + hump, lens_z])
        parts.append(shoe.painted(metal(rng)))
    for side in (-1, 1):
        if rng.uniform() < 0.7:
            knob = cylinder(rng.uniform(6, 11) * MM, rng.uniform(6, 14) * MM, 1 * MM, segments=28).painted(
                metal(rng) * 0.5
            )
            parts.append(
                knob.shifted([rng.uniform(-0.2, 0.1) * depth, top + 1 * MM, side * width * rng.uniform(0.28, 0.4)])
            )
    button = ellipsoid([5 * MM, 4 * MM, 5 * MM], 20).painted(metal(rng))
    parts.append(button.shifted([0.2 * depth, top + 1 * MM, 0.42 * width]))
    window = box([2 * MM, 9 * MM, 14 * MM]).painted(np.full(3, rng.uniform(0.05, 0.6)))
    parts.append(window.shifted([depth / 2, 0.36 * height, -0.36 * width]))
    return parts
