"""Hands of capsules: a palm, four fingers of three phalanges, a thumb and a forearm, curled around an object or flat.

Lengths are those of an adult hand, 165 to 205 mm from wrist to finger tip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipose_ros.data.synthetic.assets.mesh import MM, Mesh, concatenate_meshes, ellipsoid, revolve
from clipose_ros.types import FloatArray

_PHALANGES = np.array([46.0, 28.0, 23.0]) * MM
"""Mean lengths of the bones of a finger, metres."""
_RELATIVE_LENGTHS = (0.9, 1.05, 1.0, 0.8)
"""Lengths of the fingers relative to the mean, from index to little finger."""
_SKIN = np.array([0.45, 0.28, 0.2])
"""Mean linear albedo of skin, which differs widely."""


def make_grasping_hand(rng: np.random.Generator, mesh: Mesh) -> Mesh:
    """Generate a hand that holds an object from a random side: fingers around one side, the thumb around the other.

    Args:
        rng: Random generator.
        mesh: The object in its own frame (y up), metres.

    Returns:
        The hand in the object's frame, touching its surface.
    """
    scale = rng.uniform(0.85, 1.08)
    finger = rng.uniform(7.0, 9.5) * MM * scale
    low, high = mesh.bounds
    spread = 4 * 2.1 * finger
    middle = rng.uniform(low[1] + 0.3 * (high[1] - low[1]), high[1] - 0.15 * (high[1] - low[1]))
    phi, side = rng.uniform(0.0, 2 * np.pi), float(rng.choice([-1.0, 1.0]))
    heights = middle + (np.arange(4) - 1.5) * spread / 4
    parts = []
    for height, relative in zip(heights, _RELATIVE_LENGTHS, strict=True):
        lengths = _PHALANGES * scale * relative * rng.uniform(0.9, 1.05)
        parts += _wrap(mesh, phi, side, height, lengths, finger)
    thumb = np.array([48.0, 34.0]) * MM * scale
    parts += _wrap(mesh, phi, -side, middle + 0.4 * spread, thumb, 1.15 * finger)
    radius = _reach(mesh, phi, middle) + 14 * MM
    out = np.array([np.cos(phi), 0.0, np.sin(phi)])
    palm = out * radius + np.array([0.0, middle, 0.0])
    parts.append(_oriented_ellipsoid(palm, out, [15 * MM, 0.6 * spread, 44 * MM * scale]))
    towards = out + np.array([0.0, rng.uniform(-0.9, 0.6), 0.0]) + rng.uniform(-0.5, 0.5) * np.cross(out, [0, 1.0, 0])
    elbow = palm + 0.24 * towards / np.linalg.norm(towards)
    parts.append(make_capsule(palm + 0.02 * out, elbow, rng.uniform(24, 34) * MM))
    return _paint(rng, parts)


def make_flat_hand(rng: np.random.Generator) -> Mesh:
    """Generate a hand with slightly bent fingers along +x, its palm at the origin facing -y."""
    scale = rng.uniform(0.85, 1.08)
    finger = rng.uniform(7.0, 9.5) * MM * scale
    parts = [ellipsoid(np.array([46.0, 14.0, 41.0]) * MM * scale, 24)]
    for i, relative in enumerate(_RELATIVE_LENGTHS):
        start = np.array([38 * MM * scale, 0.0, (i - 1.5) * 20 * MM * scale])
        heading, bend = np.radians(rng.uniform(-6, 6)), np.radians(rng.uniform(0, 35))
        pitch = 0.0
        for length in _PHALANGES * scale * relative:
            pitch -= bend
            along = np.array([np.cos(pitch) * np.cos(heading), np.sin(pitch), np.cos(pitch) * np.sin(heading)])
            parts.append(make_capsule(start, start + length * along, finger))
            start = start + length * along
    root = np.array([-10.0, 0.0, -38.0]) * MM * scale
    tip = root + np.array([38.0, rng.uniform(-25, 0), -32.0]) * MM * scale
    parts += [make_capsule(root, tip, 1.15 * finger), make_capsule(tip, tip + np.array([28.0, 0.0, -6.0]) * MM, finger)]
    parts.append(make_capsule(np.array([-35 * MM, 0, 0]), np.array([-0.28, rng.uniform(-0.05, 0.05), 0.0]), 28 * MM))
    return _paint(rng, parts)


def make_capsule(start: FloatArray, end: FloatArray, radius: float) -> Mesh:
    """Create a closed capsule between two points, metres."""
    axis = np.asarray(end, dtype=np.float64) - start
    length = float(np.linalg.norm(axis))
    t = np.linspace(-np.pi / 2, 0.0, 4)
    bottom = np.stack([radius * np.cos(t), radius * np.sin(t)], axis=1)
    top = np.stack([radius * np.cos(t[::-1]), length - radius * np.sin(t[::-1])], axis=1)
    profile = np.concatenate([bottom, top])
    profile[[0, -1], 0] = 0.0
    return _turn_y_to(revolve(profile, 12), axis / max(length, 1e-9)).translated(start)


def _wrap(
    mesh: Mesh, phi: float, side: float, height: float, lengths: Sequence[float] | FloatArray, radius: float
) -> list[Mesh]:
    """Generate a chain of capsules along the surface of a mesh, from the angle ``phi`` about y to one side."""
    angle, parts = phi, list[Mesh]()
    distance = _reach(mesh, angle, height) + radius
    place = np.array([distance * np.cos(angle), height, distance * np.sin(angle)])
    for length in lengths:
        angle += side * length / max(distance, 20 * MM)
        distance = _reach(mesh, angle, height) + radius
        following = np.array([distance * np.cos(angle), height, distance * np.sin(angle)])
        # A bone keeps its length, whatever the surface does.
        step = following - place
        following = place + step * (length / max(float(np.linalg.norm(step)), 1e-6))
        parts.append(make_capsule(place, following, radius))
        place = following
    return parts


def _reach(mesh: Mesh, angle: float, height: float) -> float:
    """Return the distance of a mesh's surface from the y axis in a direction, near a height, metres."""
    points = mesh.vertices
    radial = points[:, 0] * np.cos(angle) + points[:, 2] * np.sin(angle)
    across = np.abs(points[:, 2] * np.cos(angle) - points[:, 0] * np.sin(angle))
    near = (np.abs(points[:, 1] - height) < 25 * MM) & (across < np.maximum(12 * MM, 0.35 * np.abs(radial)))
    chosen = radial[near & (radial > 0)]
    # Where large faces have no vertex nearby, the support of the mesh bounds the distance.
    return float(chosen.max()) if chosen.size else float(max(radial.max(), 10 * MM))


def _oriented_ellipsoid(centre: FloatArray, x_axis: FloatArray, radii: Sequence[float]) -> Mesh:
    """Create an ellipsoid with the first radius along a horizontal axis and the second along y."""
    angle = float(np.degrees(np.arctan2(-x_axis[2], x_axis[0])))
    return ellipsoid(radii, 20).rotated("y", angle).translated(centre)


def _turn_y_to(mesh: Mesh, axis: FloatArray) -> Mesh:
    """Return a mesh with its y axis turned to a unit vector."""
    helper = np.array([1.0, 0.0, 0.0]) if abs(axis[0]) < 0.9 else np.array([0.0, 0.0, 1.0])
    z = np.cross(helper, axis)
    z /= np.linalg.norm(z)
    T = np.eye(4)
    T[:3, :3] = np.stack([np.cross(axis, z), axis, z], axis=1)
    return mesh.transformed(T)


def _paint(rng: np.random.Generator, parts: list[Mesh]) -> Mesh:
    """Concatenate the parts of a hand in one colour of skin, or of a glove or sleeve."""
    skin = np.clip(_SKIN * rng.uniform(0.2, 1.6), 0.02, 0.9)
    return concatenate_meshes(parts).painted(skin)
