"""Plane of a table, fitted to depth points by random sampling and least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipose_ros.geometry.boxes import points_in_box
from clipose_ros.geometry.se3 import cross, make_transform
from clipose_ros.types import FloatArray, PosedObject

INLIER_M = 0.008
"""Distance from the plane within which a point belongs to it, metres; depth cameras err by less at one metre."""
MIN_INLIERS = 200
"""Fewest points of a plane."""
RADIUS_M = 0.5
"""Distance from the nearest object within which points are used, metres: walls and floor are farther away."""
OBSTACLE_M = 0.02
"""Height above the table from which a point belongs to an obstacle, metres."""
OBJECT_MARGIN_M = 0.02
"""Distance from the box of an object within which a point belongs to it, metres: boxes are estimated."""
_SAMPLES = 200
_POINTS = 3000


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """Plane of the points p with ``normal @ p == offset``.

    Attributes:
        normal: ``(3,)`` unit vector away from the table.
        offset: Distance of the plane from the origin along the normal, metres.
    """

    normal: FloatArray
    offset: float

    def height(self, points: FloatArray) -> FloatArray:
        """Return the heights ``(...)`` of points ``(..., 3)`` above the plane, metres."""
        return np.asarray(points @ self.normal - self.offset)

    def transformed(self, T: FloatArray) -> Plane:
        """Return the plane in another frame, given ``T_other_frame`` ``(4, 4)``."""
        normal = T[:3, :3] @ self.normal
        return Plane(normal, self.offset + float(normal @ T[:3, 3]))

    def pose_below(self, point: FloatArray) -> FloatArray:
        """Return a pose ``(4, 4)`` in the plane, below a point ``(3,)``; its z axis is the normal."""
        x = np.eye(3)[int(np.argmin(np.abs(self.normal)))]
        x = x - (x @ self.normal) * self.normal
        x = x / np.linalg.norm(x)
        R = np.stack([x, cross(self.normal, x), self.normal], axis=1)
        return make_transform(R, point - float(self.height(point)) * self.normal)

    @classmethod
    def from_frame(cls, T_frame_table: FloatArray) -> Plane:
        """Return the xy plane of a frame, given its pose ``(4, 4)``."""
        normal = T_frame_table[:3, 2]
        return cls(normal, float(normal @ T_frame_table[:3, 3]))


def fit_table(points_camera: FloatArray, objects: Sequence[PosedObject]) -> Plane | None:
    """Fit the plane under the objects of a view.

    Points in the boxes of objects and points far from all objects are left out. Three random points span a plane; the
    plane with the most points on it is fitted to them by least squares. Equal inputs give equal planes.

    Args:
        points_camera: ``(N, 3)`` points of the depth image, metres, camera optical frame; points that are not finite
            are left out.
        objects: Objects in the camera frame.

    Returns:
        The plane in the camera frame, its normal on the camera's side; None if no plane has ``MIN_INLIERS`` points.
    """
    points = _surroundings(points_camera, objects, 0.01)
    if len(points) < MIN_INLIERS:
        return None
    rng = np.random.default_rng(0)
    if len(points) > _POINTS:
        points = points[rng.choice(len(points), _POINTS, replace=False)]
    a, b, c = (points[rng.integers(0, len(points), _SAMPLES)] for _ in range(3))
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    spans = length > 1e-6
    normals, a = normals[spans] / length[spans, None], a[spans]
    if not len(normals):
        return None
    on_plane = np.abs(points @ normals.T - (normals * a).sum(axis=1)) < INLIER_M
    inliers = points[on_plane[:, int(np.argmax(on_plane.sum(axis=0)))]]
    if len(inliers) < MIN_INLIERS:
        return None
    centre = inliers.mean(axis=0)
    normal = np.linalg.svd(inliers - centre, full_matrices=False)[2][2]
    normal = -normal if normal @ centre > 0.0 else normal  # the camera is at the origin
    return Plane(normal, float(normal @ centre))


def find_obstacles(points: FloatArray, table: Plane, objects: Sequence[PosedObject]) -> FloatArray:
    """Return the points that stand on the table beside the objects.

    Args:
        points: ``(N, 3)`` points of the depth image, metres; points that are not finite are left out.
        table: Plane of the table in the frame of the points.
        objects: Objects in the frame of the points. Points within ``OBJECT_MARGIN_M`` of their boxes are left out: they
            belong to the objects.

    Returns:
        ``(M, 3)`` points at least ``OBSTACLE_M`` above the table, near an object.
    """
    points = _surroundings(points, objects, OBJECT_MARGIN_M) if objects else points[:0]
    return points[table.height(points) > OBSTACLE_M]


def _surroundings(points: FloatArray, objects: Sequence[PosedObject], margin_m: float) -> FloatArray:
    """Return the finite points near the objects and outside of their boxes, enlarged by a margin."""
    points = points[np.isfinite(points).all(axis=1)]
    if not objects:
        return points
    if len(points) > 4 * _POINTS:  # the tests below take time for each object
        points = points[:: len(points) // (4 * _POINTS) + 1]
    near, free = np.zeros(len(points), bool), np.ones(len(points), bool)
    for item in objects:
        near |= np.square(points - item.T_frame_object[:3, 3]).sum(axis=1) < RADIUS_M**2
        free &= ~points_in_box(points, item.T_frame_object, item.size, margin_m)
    return points[near & free]
