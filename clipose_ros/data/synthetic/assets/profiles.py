"""Planar profiles for mesh construction: rounded polylines, walls and rounded rectangles."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from clipose_ros.types import FloatArray


def round_corners(points: Sequence[tuple[float, float]], radii: Sequence[float] | float, steps: int = 6) -> FloatArray:
    """Round the inner corners of a planar polyline with quadratic Bezier curves.

    Args:
        points: Corners ``(P, 2)``, metres.
        radii: Distance from each corner at which the rounding starts, metres: a scalar or one per point, of which the
            ends are ignored. It is limited to 0.49 of the adjacent edges.
        steps: Number of points per rounded corner.

    Returns:
        ``(Q, 2)`` points; the first and last are unchanged.
    """
    corners = np.asarray(points, dtype=np.float64)
    reach = np.broadcast_to(np.asarray(radii, dtype=np.float64), len(corners))
    t = np.linspace(0.0, 1.0, steps)[:, None]
    out = [corners[:1]]
    for i in range(1, len(corners) - 1):
        before, after = corners[i - 1] - corners[i], corners[i + 1] - corners[i]
        lengths = float(np.linalg.norm(before)), float(np.linalg.norm(after))
        # Just below half of an edge: the roundings of adjacent corners must not overlap.
        r = min(float(reach[i]), 0.49 * lengths[0], 0.49 * lengths[1])
        if r <= 1e-6:
            out.append(corners[i : i + 1])
            continue
        a, b = corners[i] + before / lengths[0] * r, corners[i] + after / lengths[1] * r
        out.append((1 - t) ** 2 * a + 2 * t * (1 - t) * corners[i] + t**2 * b)
    return np.concatenate([*out, corners[-1:]])


def subdivide(curve: FloatArray, step: float) -> FloatArray:
    """Insert points into a polyline ``(P, 2)`` so that no edge is longer than ``step``; corners are kept."""
    pieces = []
    for a, b in itertools.pairwise(curve):
        count = max(int(np.ceil(np.linalg.norm(b - a) / step)), 1)
        pieces.append(a + (b - a) * (np.arange(count) / count)[:, None])
    return np.concatenate([*pieces, curve[-1:]])


def add_wall(curve: FloatArray, wall: float) -> FloatArray:
    """Add a wall to the outer profile of an open vessel.

    Args:
        curve: ``(P, 2)`` outer profile (radius, y) from the bottom centre to the rim, metres.
        wall: Wall thickness, metres.

    Returns:
        ``(2P, 2)`` profile for ``revolve``: outer surface upwards, then inner surface downwards to the axis.
    """
    tangent = np.gradient(curve, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    # The tangent rotated by 90 degrees points to the inside of the vessel.
    inner = curve + wall * np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    inner[-1, 1] = curve[-1, 1]
    # The offset may cross the axis at the bottom.
    inner[:, 0] = np.maximum(inner[:, 0], 1e-4)
    inner[0] = 0.0, curve[0, 1] + wall
    return np.concatenate([curve, inner[::-1]])


def make_rounded_rectangle(width: float, depth: float, radius: float, steps: int = 5) -> FloatArray:
    """Create the outline ``(4 * steps, 2)`` of a centred rectangle with round corners, counter-clockwise in (x, z)."""
    r = min(radius, 0.499 * width, 0.499 * depth)
    angles = np.linspace(0.0, np.pi / 2, steps)
    corners = [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    out = []
    for quarter, (sx, sz) in enumerate(corners):
        a = angles + quarter * np.pi / 2
        out.append(np.stack([sx * (width / 2 - r) + r * np.cos(a), sz * (depth / 2 - r) + r * np.sin(a)], axis=1))
    return np.concatenate(out)
