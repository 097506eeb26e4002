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
