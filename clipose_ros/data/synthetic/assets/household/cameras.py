"""Cameras with the proportions of real bodies and lenses: compact, bridge, mirrorless, DSLR, instant and film."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.data.synthetic.assets.laptops_and_cameras import CameraBody, make_camera_top, make_lens_profile
from clipose_ros.data.synthetic.assets.mesh import BARREL, GRIP, LENS, MM, Mesh, box, concatenate_meshes, revolve
from clipose_ros.data.synthetic.assets.textures import random_colour, random_metal

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class CameraKind:
    """Ranges of one kind of camera, millimetres.

    Attributes:
        share: Probability.
        depth: Depth of the body without lens and grip.
        height: Height of the body without viewfinder.
        width: Width of the body.
        lenses: Diameter and length of the lenses: smallest and largest of each.
        grip: Depth of the grip in front of the body; (0, 0) for none.
        top: Kind of the parts on the body, as in ``CameraBody``.
        lens_at: Place of the lens along the width, relative to the width; the grip is at +0.5.
    """

    share: float
    depth: Range
    height: Range
    width: Range
    lenses: tuple[tuple[Range, Range], ...]
    grip: Range
    top: str
    lens_at: Range = (-0.12, 0.02)


_COMPACT_LENSES = (((38, 52), (3, 14)), ((38, 52), (20, 48)))
_BRIDGE_LENS = ((66, 90), (38, 115))
_INSTANT_LENS = ((46, 70), (12, 45))
_PANCAKE = ((55, 68), (20, 62))
_PRIME = ((60, 78), (22, 75))
_STANDARD_ZOOM = ((64, 90), (65, 125))
_TELEPHOTO = ((70, 92), (125, 205))
CAMERA_KINDS = {
    "compact": CameraKind(0.22, (20, 36), (53, 66), (92, 113), _COMPACT_LENSES, (0, 8), "compact", (-0.2, 0.02)),
    "bridge": CameraKind(0.14, (38, 62), (72, 96), (112, 146), (_BRIDGE_LENS,), (18, 38), "dslr"),
    "mirrorless": CameraKind(
        0.2, (28, 45), (58, 84), (102, 138), (_PANCAKE, _PRIME, _STANDARD_ZOOM), (0, 28), "mirrorless", (-0.16, 0.0)
    ),
    "dslr": CameraKind(
        0.24, (42, 60), (72, 100), (118, 158), (_PRIME, _STANDARD_ZOOM, _STANDARD_ZOOM, _TELEPHOTO), (16, 34), "dslr"
    ),
    "instant": CameraKind(0.12, (38, 75), (92, 124), (92, 168), (_INSTANT_LENS,), (0, 16), "instant", (-0.08, 0.1)),
    "film": CameraKind(0.08, (28, 40), (70, 86), (126, 148), (((46, 66), (22, 62)),), (0, 4), "film"),
}
"""Kinds of camera by name; their probabilities sum to 1."""


def make_household_camera(rng: np.random.Generator) -> Mesh:
    """Generate a random photo camera: top +y, lens along +x, width along z, grip at +z."""
    kind = CAMERA_KINDS[str(rng.choice(list(CAMERA_KINDS), p=[kind.share for kind in CAMERA_KINDS.values()]))]
    depth, height, width = (rng.uniform(*extent) * MM for extent in (kind.depth, kind.height, kind.width))
    # Most cameras are black.
    colour = random_colour(rng) if rng.uniform() < 0.35 else np.full(3, rng.uniform(0.02, 0.12))
    leather = np.full(3, rng.uniform(0.02, 0.1)) if rng.uniform() < 0.7 else random_colour(rng)
    body = CameraBody(kind.top, depth, height, width, colour)
    round_axis = "x" if kind.top == "instant" else "y"
    radius = rng.uniform(3, 22 if kind.top == "instant" else 0.4 * depth / MM) * MM
    housing = box([depth, height, width], radius, axis=round_axis).painted(leather)
    ends = np.abs(housing.face_centres[:, 1]) > 0.3 * height
    housing = housing.painted(colour, ends).with_part(GRIP, ~ends)
    lens_z = rng.uniform(*kind.lens_at) * width
    lens = _make_lens(rng, kind, body)
    parts = [housing, lens.translated([0, 0, lens_z]), *make_camera_top(rng, body, lens_z)]
    grip = rng.uniform(*kind.grip) * MM
    if grip > 2 * MM:
        # The grip ends beside the lens.
        free = 0.5 * width - lens_z - float(lens.bounds[1][2]) - 2 * MM
        broad = float(np.clip(rng.uniform(0.16, 0.26) * width, 10 * MM, max(free, 12 * MM)))
        handle = box([depth + grip, height * rng.uniform(0.82, 0.98), broad], 0.45 * min(grip, broad))
        parts.append(
            handle.translated([grip / 2, -0.005 * height, width * 0.5 - broad / 2]).painted(leather).with_part(GRIP)
        )
    return concatenate_meshes(parts)


def _make_lens(rng: np.random.Generator, kind: CameraKind, body: CameraBody) -> Mesh:
    """Generate a lens along +x at the front of the body, sometimes with a hood."""
    diameter, length_range = kind.lenses[int(rng.integers(len(kind.lenses)))]
    length = rng.uniform(*length_range) * MM
    # A lens may be larger than the body is high, but not by much.
    radius = min(rng.uniform(*diameter) / 2 * MM, 0.56 * body.height)
    barrels = 1 if length < 20 * MM else int(rng.integers(1, 4))
    # The widest barrel has the stated diameter.
    ratios = np.sort(np.concatenate([[1.0], rng.uniform(0.72, 1.0, barrels - 1)]))[:: rng.choice([1, -1])]
    radii = radius * ratios
    steps = np.sort(np.concatenate([[0.0, 1.0], rng.uniform(0.2, 0.85, barrels - 1)])) * length
    lens = revolve(make_lens_profile(radii, steps, body.depth), 48)
    colour = body.colour if rng.uniform() < 0.3 else np.full(3, rng.uniform(0.015, 0.08))
    if rng.uniform() < 0.2:
        colour = random_metal(rng)
    y, r = lens.face_centres[:, 1], np.hypot(lens.face_centres[:, 0], lens.face_centres[:, 2])
    glass = (r < 0.74 * radii[-1]) & (y > 0.3 * length)
    lens = lens.with_part(BARREL).with_part(LENS, glass).painted(colour).painted(np.array([0.03, 0.03, 0.05]), glass)
    offset_y = rng.uniform(-0.08, 0.02) * body.height
    return lens.rotated("z", -90.0).translated([body.depth / 2, offset_y, 0])
