"""Ray casting with Embree: scenes, pixel rays, and the visible share of an object's silhouette.

A pixel (u, v) has the ray ((u - cx) / fx, (v - cy) / fy, 1) in the camera frame. Its z component is 1, so the ray
parameter of a hit equals the depth along the optical axis. To measure visibility, rays are cast at the object alone, on
a grid over its projected bounding box: the silhouette. The visible share is the share of silhouette pixels that belong
to the object in the rendered label image.
"""

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
    """Build an Embree scene with one geometry per mesh, in order.

    Raises:
        DataError: There are no meshes.
    """
    if not meshes:
        raise DataError("a scene to render needs at least one object or prop, got none")
    scene = EmbreeScene()
    for mesh in meshes:
        TriangleMesh(scene, mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32))
    return scene


@lru_cache(maxsize=4)
def compute_ray_directions(K: CameraIntrinsics) -> FloatArray:
    """Return the ray directions of all pixels, ``(H * W, 3)`` float32, camera frame, z = 1; cached and read-only."""
    u, v = np.meshgrid(np.arange(K.width), np.arange(K.height))
    rays = np.stack([(u - K.cx) / K.fx, (v - K.cy) / K.fy, np.ones(u.shape)], axis=-1).reshape(-1, 3).astype(np.float32)
    rays.setflags(write=False)
    return rays


class Silhouette:
    """Silhouette of an object, sampled on a coarse pixel grid to measure its visible share.

    Args:
        mesh: The object or a part of it, in the object frame, metres.
    """

    GRID = 40
    """Approximate number of grid points along the longer side of the silhouette."""

    def __init__(self, mesh: Mesh) -> None:
        self._embree = build_embree_scene([mesh])
        self._low, self._high = mesh.bounds

    def measure_visibility(
        self, T_camera_object: FloatArray, camera: CameraIntrinsics, mask: BoolArray
    ) -> tuple[float, int]:
        """Measure the share of the silhouette that a mask covers.

        Args:
            T_camera_object: ``(4, 4)`` pose, metres.
            camera: Intrinsics of the mask; the silhouette may extend beyond the image.
            mask: ``(H, W)`` bool, visible pixels of the object.

        Returns:
            The covered share of the silhouette and the approximate number of covered pixels; both are 0 if the object
            reaches closer than 20 mm to the camera plane.
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
        hit = self._cast(u, v, T_camera_object, camera)
        inside = hit & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
        covered = int(mask[v[inside], u[inside]].sum())
        return covered / max(int(hit.sum()), 1), covered * step * step

    def _cast(self, u: FloatArray, v: FloatArray, T_camera_object: FloatArray, camera: CameraIntrinsics) -> BoolArray:
        """Cast the rays of pixels at the mesh, in the object frame, and return which of them hit, ``(N,)`` bool."""
        R, t = T_camera_object[:3, :3], T_camera_object[:3, 3]
        rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(len(u))], axis=1)
        origins = np.tile((-t @ R).astype(np.float32), (len(u), 1))
        hit: BoolArray = self._embree.run(origins, (rays @ R).astype(np.float32), query="OCCLUDED") >= 0
        return hit
