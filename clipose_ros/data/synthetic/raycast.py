"""Rays: the scene that embree casts them at, those of a camera's pixels, and outlines counted with them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.errors import DataError
from clipose_ros.geometry.boxes import box_corners
from clipose_ros.geometry.camera import project
from clipose_ros.types import BoolArray, CameraIntrinsics, FloatArray


def build_embree_scene(meshes: Sequence[Mesh]) -> EmbreeScene:
    """An embree scene with one geometry per mesh, in order."""
    if not meshes:
        raise DataError("a scene to render needs at least one object or prop, got none")
    scene = EmbreeScene()
    for mesh in meshes:
        TriangleMesh(scene, mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32))
    return scene


@lru_cache(maxsize=4)
def compute_ray_directions(K: CameraIntrinsics) -> FloatArray:
    """Ray directions ``(H * W, 3)`` float32 in the camera frame with z = 1, so that a hit's distance is its depth."""
    u, v = np.meshgrid(np.arange(K.width), np.arange(K.height))
    rays = np.stack([(u - K.cx) / K.fx, (v - K.cy) / K.fy, np.ones(u.shape)], axis=-1).reshape(-1, 3).astype(np.float32)
    rays.setflags(write=False)
    return rays


class Silhouette:
    """Counts how much of an object's own outline is visible, on a coarse grid of pixels.

    Args:
        mesh: In the object's frame; the object itself, or some part of it.
    """

    GRID = 40
    """Pixels looked at along the longer side of the outline, about."""

    def __init__(self, mesh: Mesh) -> None:
        self._embree = build_embree_scene([mesh])
        self._low, self._high = mesh.bounds

    def measure_visibility(
        self, T_camera_object: FloatArray, camera: CameraIntrinsics, mask: BoolArray
    ) -> tuple[float, int]:
        """How much of the outline is set in a mask.

        Args:
            T_camera_object: ``(4, 4)`` pose.
            camera: Whose pixels; the outline may reach beyond the image.
            mask: ``(H, W)`` bool, pixels where the object is seen.

        Returns:
            The share of the outline, 0 where it reaches behind the camera; and about how many pixels that is.
        """
        T_object_box = np.eye(4)
        T_object_box[:3, 3] = (self._low + self._high) / 2.0
        corners = box_corners(T_camera_object @ T_object_box, self._high - self._low)
        if corners[:, 2].min() < 0.02:
            return 0.0, 0
        pixels = project(corners, camera)
        first, last = np.floor(pixels.min(axis=0)).astype(int), np.ceil(pixels.max(axis=0)).astype(int) + 1
        step = max(int((last - first).max() / self.GRID), 1)
        u, v = (
            grid.ravel() for grid in np.meshgrid(*(np.arange(a, b, step) for a, b in zip(first, last, strict=True)))
        )
        hit = self._hit(u, v, T_camera_object, camera)
        inside = hit & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
        seen = int(mask[v[inside], u[inside]].sum())
        return seen / max(int(hit.sum()), 1), seen * step * step

    def _hit(self, u: FloatArray, v: FloatArray, T_camera_object: FloatArray, camera: CameraIntrinsics) -> BoolArray:
        """Which pixels' rays meet the mesh; they are turned into its frame."""
        R, t = T_camera_object[:3, :3], T_camera_object[:3, 3]
        rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(len(u))], axis=1)
        origins = np.tile((-t @ R).astype(np.float32), (len(u), 1))
        hit: BoolArray = self._embree.run(origins, (rays @ R).astype(np.float32), query="OCCLUDED") >= 0
        return hit
