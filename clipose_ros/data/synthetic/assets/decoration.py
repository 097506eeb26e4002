"""Decoration of vessels: label bands, fillings and the inner surface."""

from __future__ import annotations

import numpy as np

from clipose_ros.data.synthetic.assets.mesh import INSIDE, LIQUID, MM, Mesh, cylinder
from clipose_ros.data.synthetic.assets.textures import random_colour
from clipose_ros.types import FloatArray


def make_filling(rng: np.random.Generator, curve: FloatArray, wall: float, level: float) -> Mesh:
    """Create the surface of a vessel's contents: a thin disc inside the wall.

    Args:
        rng: Random generator of the colour.
        curve: ``(P, 2)`` outer profile (radius, y) of the vessel, metres.
        wall: Wall thickness, metres.
        level: Height of the surface, metres.
    """
    radius = float(np.interp(level, curve[2:, 1], curve[2:, 0])) - 0.7 * wall
    return cylinder(radius, 1 * MM).translated([0, level, 0]).painted(random_colour(rng)).with_part(LIQUID)


def add_label_bands(rng: np.random.Generator, mesh: Mesh, height: float, chance: float = 0.7) -> Mesh:
    """Paint random colour bands around a mesh, like labels.

    Args:
        rng: Random generator of bands and colours.
        mesh: A mesh that stands on y = 0.
        height: Height of the region for labels, metres.
        chance: Probability of a label; otherwise the mesh is returned unchanged.
    """
    if rng.uniform() > chance:
        return mesh
    y = mesh.face_centres[:, 1] / height
    low, high = rng.uniform(0.05, 0.4), rng.uniform(0.55, 0.95)
    mesh = mesh.painted(random_colour(rng), (y > low) & (y < high))
    if rng.uniform() < 0.5:
        middle, half = rng.uniform(low, high), rng.uniform(0.03, 0.1)
        mesh = mesh.painted(random_colour(rng), (y > middle - half) & (y < middle + half))
    return mesh


def mark_inside(body: Mesh, profile: FloatArray, segments: int) -> Mesh:
    """Return a body of revolution with the faces beyond the rim as ``INSIDE``.

    Args:
        body: Surface of revolution.
        profile: ``(P, 2)`` its profile; the rim is the last of its highest points.
        segments: Number of facets around the axis.
    """
    rings = len(profile) - 2
    rim = rings - int(np.argmax(profile[1:-1][::-1, 1])) - 1
    face = np.arange(len(body.faces))
    # Faces are ordered by ring; those of the two ends follow, the lower end first.
    sides = 2 * segments * (rings - 1)
    return body.with_part(INSIDE, ((face >= 2 * segments * rim) & (face < sides)) | (face >= sides + segments))
