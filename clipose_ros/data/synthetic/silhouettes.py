"""Visible share of an object's silhouette, by rays or by the rasterizer.

The silhouette of an object is the set of pixels that show the object alone, without the rest of the scene. It is
sampled with a step of k pixels:

1. Project the corners of the object's box; their pixel bounds, also beyond the image, limit the grid.
2. Choose k so that the longer side has about ``Silhouette.GRID`` samples.
3. Find the samples that the object covers. Rays are rotated into the object frame, so the object needs no transform.
4. visible fraction = samples covered by the object in the rendered label image / samples that hit the object.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.data.synthetic.raycast import build_embree_scene
from clipose_ros.data.synthetic.triangle_scene import TriangleScene
from clipose_ros.geometry.boxes import box_corners
from clipose_ros.geometry.camera import project
from clipose_ros.geometry.se3 import invert_transform
from clipose_ros.types import BoolArray, CameraIntrinsics, FloatArray


class Visibility(NamedTuple):
    """Visible part of a silhouette.

    Attributes:
        fraction: Visible share of the silhouette in [0, 1].
        pixels: Approximate number of visible pixels.
    """

    fraction: float
    pixels: int


class _Grid(NamedTuple):
    """Every k-th pixel of a rectangle, which may extend beyond the image.

    Attributes:
        u: ``(W,)`` int64 columns.
        v: ``(H,)`` int64 rows.
        step: Distance k of the columns and rows, pixels.
    """

    u: FloatArray
    v: FloatArray
    step: int


class Silhouette(ABC):
    """Silhouette of an object, sampled on a coarse pixel grid to measure its visible share.

    Args:
        mesh: The object or a part of it, in the object frame, metres.
    """

    GRID = 40
    """Approximate number of grid points along the longer side of the silhouette."""

    def __init__(self, mesh: Mesh) -> None:
        self._low, self._high = mesh.bounds

    def measure_visibility(self, T_camera_object: FloatArray, camera: CameraIntrinsics, mask: BoolArray) -> Visibility:
        """Measure the share of the silhouette that a mask covers.

        Args:
            T_camera_object: ``(4, 4)`` pose, metres.
            camera: Intrinsics of the mask; the silhouette may extend beyond the image.
            mask: ``(H, W)`` bool, visible pixels of the object.

        Returns:
            Fraction and number of the covered pixels; both are 0 if the object reaches closer than 20 mm to the camera
            plane.
        """
        T_object_box = np.eye(4)
        T_object_box[:3, 3] = (self._low + self._high) / 2.0
        corners = box_corners(T_camera_object @ T_object_box, self._high - self._low)
        # Corners behind the camera have no projection, so the pixel bounds would be wrong.
        if corners[:, 2].min() < 0.02:
            return Visibility(0.0, 0)
        pixels = project(corners, camera)
        first, last = np.floor(pixels.min(axis=0)).astype(int), np.ceil(pixels.max(axis=0)).astype(int) + 1
        step = max(int((last - first).max() / self.GRID), 1)
        grid = _Grid(np.arange(first[0], last[0], step), np.arange(first[1], last[1], step), step)
        hit = self._find_hits(grid, T_camera_object, camera)
        inside_u, inside_v = (grid.u >= 0) & (grid.u < camera.width), (grid.v >= 0) & (grid.v < camera.height)
        seen = mask[np.ix_(grid.v[inside_v], grid.u[inside_u])]
        covered = int(np.count_nonzero(seen & hit[np.ix_(inside_v, inside_u)]))
        # Each sample stands for step x step pixels.
        return Visibility(covered / max(int(np.count_nonzero(hit)), 1), covered * step * step)

    @abstractmethod
    def _find_hits(self, grid: _Grid, T_camera_object: FloatArray, camera: CameraIntrinsics) -> BoolArray:
        """Return a mask ``(H, W)`` of the pixels of a grid that the object covers."""


class RaySilhouette(Silhouette):
    """Silhouette that is sampled by rays of Embree."""

    def __init__(self, mesh: Mesh) -> None:
        super().__init__(mesh)
        self._embree = build_embree_scene([mesh])

    def _find_hits(self, grid: _Grid, T_camera_object: FloatArray, camera: CameraIntrinsics) -> BoolArray:
        u, v = (axis.ravel() for axis in np.meshgrid(grid.u, grid.v))
        R, t = T_camera_object[:3, :3], T_camera_object[:3, 3]
        rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(len(u))], axis=1)
        # R^T (0 - t) is the camera centre in the object frame.
        origins = np.tile((-t @ R).astype(np.float32), (len(u), 1))
        hit: BoolArray = self._embree.run(origins, (rays @ R).astype(np.float32), query="OCCLUDED") >= 0
        return hit.reshape(len(grid.v), len(grid.u))


class RasterSilhouette(Silhouette):
    """Silhouette that is sampled by the rasterizer."""

    def __init__(self, mesh: Mesh) -> None:
        super().__init__(mesh)
        self._scene = TriangleScene([mesh])

    def _find_hits(self, grid: _Grid, T_camera_object: FloatArray, camera: CameraIntrinsics) -> BoolArray:
        k = grid.step
        window = CameraIntrinsics(
            camera.fx / k, camera.fy / k, (camera.cx - grid.u[0]) / k, (camera.cy - grid.v[0]) / k,
            len(grid.u), len(grid.v),
        )  # fmt: skip
        hit: BoolArray = self._scene.draw(invert_transform(T_camera_object), window).face >= 0
        return hit
