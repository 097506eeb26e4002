"""Oriented boxes: a pose at the box centre and a full extent along the object's axes."""

from __future__ import annotations

import numpy as np

from clipose_ros.geometry.se3 import invert_transform, transform_points
from clipose_ros.types import BoolArray, FloatArray

BOX_SIGNS: FloatArray = np.array(
    [[x, y, z] for y in (-1.0, 1.0) for x, z in ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))]
)
"""``(8, 3)`` signs of the corners along x, y, z: 0-3 go round the bottom (y < 0), 4-7 lie above them."""

BOX_EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]])
"""``(12, 2)`` indices of the corners that each edge joins: bottom, top, uprights."""


def box_corners(T_frame_object: FloatArray, size: FloatArray) -> FloatArray:
    """Compute the corners of boxes.

    Args:
        T_frame_object: ``(..., 4, 4)``, object (origin at the box centre) into any frame.
        size: ``(..., 3)`` full extents along the object's x, y, z, metres.

    Returns:
        ``(..., 8, 3)`` float64 in that frame, in the order of ``BOX_SIGNS``.
    """
    half = 0.5 * np.asarray(size, dtype=np.float64)[..., None, :]
    return transform_points(T_frame_object, BOX_SIGNS * half)


def points_in_box(points: FloatArray, T_frame_object: FloatArray, size: FloatArray, margin: float = 0.0) -> BoolArray:
    """Test which points lie in an object's box.

    Args:
        points: ``(N, 3)`` in the frame.
        T_frame_object: ``(4, 4)``, object into the frame.
        size: ``(3,)`` full extent, metres.
        margin: Metres added on every side.

    Returns:
        ``(N,)`` bool; faces count as inside.
    """
    points_object = transform_points(invert_transform(T_frame_object), points)
    inside = np.abs(points_object) <= 0.5 * np.asarray(size) + margin
    return np.asarray(inside.all(axis=-1))
