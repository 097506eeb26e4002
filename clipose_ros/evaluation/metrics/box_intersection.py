"""Exact intersection volume of oriented boxes, vectorized over pairs.

Algorithm: the boundary of the intersection consists of the parts of each box's faces that lie inside the other box.

1. Clip the 6 faces ``(..., 6, 4, 3)`` of each box at the 6 planes of the other box (Sutherland and Hodgman, 1974). A
   plane adds at most one vertex, so the arrays grow to ``(..., 6, 10, 3)``.
2. Sum the cones from one point over the clipped faces (divergence theorem): V = 1/3 sum_f h_f A_f with the plane height
   h_f and the area A_f of face f.
"""

from __future__ import annotations

import numpy as np

from clipose_ros.types import FloatArray

_SHRINK = 1.0 - 1e-9
_FACE_SIGNS: FloatArray = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])


def intersection_volume(
    R_a: FloatArray, centre_a: FloatArray, size_a: FloatArray, R_b: FloatArray, centre_b: FloatArray, size_b: FloatArray
) -> FloatArray:
    """Compute the volume of the intersection of oriented boxes.

    The second box is shrunk by a factor of 1 - 1e-9, so that coinciding faces are not counted twice. Apart from that
    the volume is exact.

    Args:
        R_a: ``(..., 3, 3)`` rotations of the first boxes; the columns are their axes.
        centre_a: ``(..., 3)`` centres of the first boxes in the same frame.
        size_a: ``(..., 3)`` full extents of the first boxes.
        R_b: ``(..., 3, 3)`` rotations of the second boxes. Leading dimensions of both boxes are broadcast.
        centre_b: ``(..., 3)`` centres of the second boxes.
        size_b: ``(..., 3)`` full extents of the second boxes.

    Returns:
        ``(...)`` float64 volumes, in the cube of the unit of length.
    """
    # Relative to the first centre, which avoids cancellation for boxes far from the origin.
    offset = np.asarray(centre_b) - centre_a
    faces_a, normals_a, heights_a = _faces(R_a, np.zeros(3), size_a)
    faces_b, normals_b, heights_b = _faces(R_b, offset, _SHRINK * np.asarray(size_b))
    cones = (heights_a * _areas(_clip_to_box(faces_a, normals_b, heights_b), normals_a)).sum(axis=-1)
    cones = cones + (heights_b * _areas(_clip_to_box(faces_b, normals_a, heights_a), normals_b)).sum(axis=-1)
    # Rounding must not give a negative volume or one above that of a box.
    smaller = np.minimum(np.prod(size_a, axis=-1), np.prod(size_b, axis=-1))
    return np.asarray(np.clip(cones / 3.0, 0.0, smaller))


def _faces(R: FloatArray, centre: FloatArray, size: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return corners ``(..., 6, 4, 3)``, outward normals ``(..., 6, 3)`` and heights ``(..., 6)`` of the faces."""
    corners, normals = np.zeros((6, 4, 3)), np.zeros((6, 3))
    for face in range(6):
        axis, sign = face // 2, 1.0 if face % 2 else -1.0
        # counter-clockwise seen from outside
        first, second = ((axis + 1) % 3, (axis + 2) % 3)[:: 1 if sign > 0 else -1]
        normals[face, axis] = sign
        corners[face, :, axis] = sign
        corners[face, :, [first, second]] = _FACE_SIGNS.T
    half = 0.5 * np.asarray(size, dtype=np.float64)
    placed = np.einsum("...ij,...fkj->...fki", R, corners * half[..., None, None, :]) + centre[..., None, None, :]
    turned = np.einsum("...ij,fj->...fi", R, normals)
    heights = np.einsum("...fi,...i->...f", turned, centre) + np.repeat(half, 2, axis=-1)
    return placed, turned, heights


def _clip_to_box(polygons: FloatArray, normals: FloatArray, heights: FloatArray) -> FloatArray:
    """Clip polygons ``(..., 6, K, 3)`` to the inside of six planes (Sutherland and Hodgman, 1974)."""
    for plane in range(6):
        polygons = _clip_to_plane(polygons, normals[..., plane, :], heights[..., plane])
    return polygons


def _clip_to_plane(polygons: FloatArray, normal: FloatArray, height: FloatArray) -> FloatArray:
    """Clip convex polygons ``(..., F, K, 3)`` to one side of a plane; returns ``(..., F, K + 1, 3)``.

    A clipped polygon with fewer vertices repeats its first one, which adds no area.
    """
    above = np.einsum("...fki,...i->...fk", polygons, normal) - height[..., None, None]
    polygons = np.broadcast_to(polygons, (*above.shape, 3))
    following, above_next = np.roll(polygons, -1, axis=-2), np.roll(above, -1, axis=-1)
    inside = above <= 0.0
    crossing = inside != (above_next <= 0.0)
    # Each edge that crosses the plane adds its point of intersection; the divisor of the other edges is a placeholder.
    share = above / np.where(crossing, above - above_next, 1.0)
    crossings = polygons + share[..., None] * (following - polygons)
    pairs = (*above.shape[:-1], 2 * above.shape[-1])
    points = np.stack([polygons, crossings], axis=-2).reshape(*pairs, 3)
    kept = np.stack([inside, crossing], axis=-1).reshape(pairs)
    # A stable sort moves the kept vertices to the front in their order along the polygon.
    order = np.argsort(~kept, axis=-1, kind="stable")[..., : above.shape[-1] + 1]
    points = np.take_along_axis(points, order[..., None], axis=-2)
    kept = np.take_along_axis(kept, order, axis=-1)
    return np.where(kept[..., None], points, points[..., :1, :])


def _areas(polygons: FloatArray, normals: FloatArray) -> FloatArray:
    """Return the areas ``(..., F)`` of planar polygons ``(..., F, K, 3)``, counter-clockwise about their normals."""
    spokes = polygons - polygons[..., :1, :]
    doubled = np.cross(spokes, np.roll(spokes, -1, axis=-2)).sum(axis=-2)
    return np.asarray(0.5 * np.einsum("...i,...i->...", doubled, np.broadcast_to(normals, doubled.shape)))
