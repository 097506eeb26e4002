"""Oriented boxes, each given by the pose of its centre and its full extent along the object's axes."""

from __future__ import annotations

import numpy as np

from clipose_ros.geometry.se3 import invert_transform, transform_points
from clipose_ros.types import BoolArray, FloatArray

BOX_SIGNS: FloatArray = np.array(
    [[x, y, z] for y in (-1.0, 1.0) for x, z in ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))]
)
"""``(8, 3)`` signs of the corners along x, y, z: 0-3 around the bottom (y < 0), 4-7 above them in the same order."""

BOX_EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]])
"""``(12, 2)`` corner indices of each edge: four bottom edges, four top edges, four vertical edges."""


def box_corners(T_frame_object: FloatArray, size: FloatArray) -> FloatArray:
    """Compute the corners of boxes.

    Args:
        T_frame_object: ``(..., 4, 4)`` poses of the box centres in any frame, metres.
        size: ``(..., 3)`` full extents along the object's x, y, z, metres.

    Returns:
        ``(..., 8, 3)`` float64 corners in that frame, metres, in the order of ``BOX_SIGNS``.
    """
    half = 0.5 * np.asarray(size, dtype=np.float64)[..., None, :]
    return transform_points(T_frame_object, BOX_SIGNS * half)


def points_in_box(points: FloatArray, T_frame_object: FloatArray, size: FloatArray, margin: float = 0.0) -> BoolArray:
    """Test which points lie in a box.

    Args:
        points: ``(N, 3)`` points in any frame, metres.
        T_frame_object: ``(4, 4)`` pose of the box centre in that frame, metres.
        size: ``(3,)`` full extent, metres, object frame.
        margin: Distance by which the box is enlarged on every side, metres.

    Returns:
        ``(N,)`` bool; points on the faces are inside.
    """
    points_object = transform_points(invert_transform(T_frame_object), points)
    inside = np.abs(points_object) <= 0.5 * np.asarray(size) + margin
    return np.asarray(inside.all(axis=-1))


def boxes_overlap(T_a: FloatArray, size_a: FloatArray, T_b: FloatArray, size_b: FloatArray) -> BoolArray:
    """Test which boxes overlap, by the separating-axis theorem.

    Two boxes are disjoint if their projections onto one of 15 axes are: the three axes of each box, and the nine cross
    products of an axis of each.

    Args:
        T_a: ``(..., 4, 4)`` poses of box centres, metres.
        size_a: ``(..., 3)`` full extents, metres.
        T_b: ``(..., 4, 4)`` poses of other box centres in the same frame, metres; the leading dimensions broadcast.
        size_b: ``(..., 3)`` their full extents, metres.

    Returns:
        ``(...)`` bool; boxes that touch overlap.
    """
    R_a, R_b = np.asarray(T_a)[..., :3, :3], np.asarray(T_b)[..., :3, :3]
    half_a, half_b = 0.5 * np.asarray(size_a), 0.5 * np.asarray(size_b)
    R = np.swapaxes(R_a, -1, -2) @ R_b
    offset_a = np.einsum("...ji,...j->...i", R_a, T_b[..., :3, 3] - T_a[..., :3, 3])
    offset_b = np.einsum("...ji,...j->...i", R, offset_a)
    # Axes of nearly parallel edges are nearly zero: the margin keeps rounding errors from separating boxes.
    absolute = np.abs(R) + 1e-9
    apart = np.abs(offset_a) > half_a + np.einsum("...ij,...j->...i", absolute, half_b)
    apart |= np.abs(offset_b) > half_b + np.einsum("...ij,...i->...j", absolute, half_a)
    separated = apart.any(axis=-1)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):  # edge i of a
        for m, n, o in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):  # edge m of b
            distance = np.abs(offset_a[..., k] * R[..., j, m] - offset_a[..., j] * R[..., k, m])
            reach = half_a[..., j] * absolute[..., k, m] + half_a[..., k] * absolute[..., j, m]
            reach = reach + half_b[..., n] * absolute[..., i, o] + half_b[..., o] * absolute[..., i, n]
            separated |= distance > reach
    return np.asarray(~separated)
