"""Volume that two oriented boxes share, exact, for many pairs at once."""

from __future__ import annotations

import numpy as np

from clipose_ros.types import FloatArray

_SHRINK = 1.0 - 1e-9
_FACE_SIGNS: FloatArray = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])


def intersection_volume(
    R_a: FloatArray, centre_a: FloatArray, size_a: FloatArray, R_b: FloatArray, centre_b: FloatArray, size_b: FloatArray
) -> FloatArray:
    """Volume of the intersection of oriented boxes.

    The boundary of the intersection is what of each box's faces lies in the other box. Every face is clipped by the
    other box's six planes; the cones from one point over what is left add up to the volume (divergence theorem). The
    second box is shrunk by a part in a billion, so that no two faces coincide and count twice; the volume is exact but
    for that.

    Args:
        R_a: ``(..., 3, 3)``, axes of the first boxes in columns.
        centre_a: ``(..., 3)``, in the same frame.
        size_a: ``(..., 3)``, full extents.
        R_b: Of the second boxes; leading dimensions broadcast with the first ones'.
        centre_b: As ``centre_a``.
        size_b: As ``size_a``.

    Returns:
        ``(...)`` float64, in the cube of the lengths' unit.
    """
    offset = np.asarray(centre_b) - centre_a
    faces_a, normals_a, heights_a = _faces(R_a, np.zeros(3), size_a)
    faces_b, normals_b, heights_b = _faces(R_b, offset, _SHRINK * np.asarray(size_b))
    cones = (heights_a * _areas(_clipped(faces_a, normals_b, heights_b), normals_a)).sum(axis=-1)
    cones = cones + (heights_b * _areas(_clipped(faces_b, normals_a, heights_a), normals_b)).sum(axis=-1)
    smaller = np.minimum(np.prod(size_a, axis=-1), np.prod(size_b, axis=-1))
    return np.asarray(np.clip(cones / 3.0, 0.0, smaller))


def _faces(R: FloatArray, centre: FloatArray, size: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Corners ``(..., 6, 4, 3)``, outward normals ``(..., 6, 3)`` and plane heights ``(..., 6)`` of boxes' faces."""
    corners, normals = np.zeros((6, 4, 3)), np.zeros((6, 3))
    for face in range(6):
        axis, sign = face // 2, 1.0 if face % 2 else -1.0
        # counter-clockwise as seen from outside
        first, second = ((axis + 1) % 3, (axis + 2) % 3)[:: 1 if sign > 0 else -1]
        normals[face, axis] = sign
        corners[face, :, axis] = sign
        corners[face, :, [first, second]] = _FACE_SIGNS.T
    half = 0.5 * np.asarray(size, dtype=np.float64)
    placed = np.einsum("...ij,...fkj->...fki", R, corners * half[..., None, None, :]) + centre[..., None, None, :]
    turned = np.einsum("...ij,fj->...fi", R, normals)
    heights = np.einsum("...fi,...i->...f", turned, centre) + np.repeat(half, 2, axis=-1)
    return placed, turned, heights


def _clipped(polygons: FloatArray, normals: FloatArray, heights: FloatArray) -> FloatArray:
    """Polygons ``(..., 6, K, 3)`` cut to the inside of six planes (Sutherland and Hodgman, 1974)."""
    for plane in range(6):
        polygons = _cut(polygons, normals[..., plane, :], heights[..., plane])
    return polygons


def _cut(polygons: FloatArray, normal: FloatArray, height: FloatArray) -> FloatArray:
    """Convex polygons ``(..., F, K, 3)`` cut to one side of a plane each: ``(..., F, K + 1, 3)``.

    Vertices too many for a polygon repeat its first one, which adds no area.
    """
    above = np.einsum("...fki,...i->...fk", polygons, normal) - height[..., None, None]
    polygons = np.broadcast_to(polygons, (*above.shape, 3))
    following, above_next = np.roll(polygons, -1, axis=-2), np.roll(above, -1, axis=-1)
    inside = above <= 0.0
    crossing = inside != (above_next <= 0.0)
    share = above / np.where(crossing, above - above_next, 1.0)
    crossings = polygons + share[..., None] * (following - polygons)
    pairs = (*above.shape[:-1], 2 * above.shape[-1])
    points = np.stack([polygons, crossings], axis=-2).reshape(*pairs, 3)
    kept = np.stack([inside, crossing], axis=-1).reshape(pairs)
    order = np.argsort(~kept, axis=-1, kind="stable")[..., : above.shape[-1] + 1]
    points = np.take_along_axis(points, order[..., None], axis=-2)
    kept = np.take_along_axis(kept, order, axis=-1)
    return np.where(kept[..., None], points, points[..., :1, :])


def _areas(polygons: FloatArray, normals: FloatArray) -> FloatArray:
    """Areas ``(..., F)`` of plane polygons ``(..., F, K, 3)`` that run counter-clockwise about their normals."""
    spokes = polygons - polygons[..., :1, :]
    doubled = np.cross(spokes, np.roll(spokes, -1, axis=-2)).sum(axis=-2)
    return np.asarray(0.5 * np.einsum("...i,...i->...", doubled, np.broadcast_to(normals, doubled.shape)))
