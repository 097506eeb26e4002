"""Ray casting with Embree: pixel rays, intersections, and the visible share of an object's silhouette.

Pixel rays. Pixel (u, v) has the direction d = ((u - cx) / fx, (v - cy) / fy, 1) in the camera frame. Because d has
z = 1, the ray parameter s of the intersection o + s d equals the depth along the optical axis, not the distance.

Visibility. The silhouette of an object is the set of pixels whose rays hit the object alone, without the rest of the
scene. It is sampled with a step of k pixels:

1. Project the corners of the object's box; their pixel bounds, also beyond the image, limit the grid.
2. Choose k so that the longer side has about ``Silhouette.GRID`` samples.
3. Cast the rays of the grid at the object. They are rotated into the object frame, so the object needs no transform.
4. visible fraction = samples covered by the object in the rendered label image / samples that hit the object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

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
    """Return the ray directions of all pixels in row-major order.

    Args:
        K: Intrinsics of the image.

    Returns:
        ``(H * W, 3)`` float32, camera optical frame, z = 1. The array is cached and read-only.
    """
    u, v = np.meshgrid(np.arange(K.width), np.arange(K.height))
    rays = np.stack([(u - K.cx) / K.fx, (v - K.cy) / K.fy, np.ones(u.shape)], axis=-1).reshape(-1, 3).astype(np.float32)
    rays.setflags(write=False)
    return rays


@dataclass(frozen=True, slots=True, eq=False)
class Intersections:
    """First intersections with a scene of the M rays that hit a mesh.

    Attributes:
        rays: ``(M,)`` indices of the rays, ascending.
        distance: ``(M,)`` float32 ray parameter of the intersection.
        body: ``(M,)`` index of the mesh.
        face: ``(M,)`` index of the face within the mesh.
        u: ``(M,)`` float32 barycentric weight of the face's second corner.
        v: ``(M,)`` float32 barycentric weight of the face's third corner.
        normals: ``(M, 3)`` float32 face normals, not normalized.
    """

    rays: NDArray[np.intp]
    distance: FloatArray
    body: NDArray[np.integer]
    face: NDArray[np.integer]
    u: FloatArray
    v: FloatArray
    normals: FloatArray


def find_intersections(scene: EmbreeScene, origins: FloatArray, directions: FloatArray) -> Intersections:
    """Intersect rays with a scene.

    Args:
        scene: The scene.
        origins: ``(N, 3)`` float32 start of each ray, world frame, metres.
        directions: ``(N, 3)`` float32 direction of each ray, world frame.

    Returns:
        The first intersection of every ray that hits a mesh.
    """
    result = scene.run(origins, directions, output=True)
    rays = np.flatnonzero(result["geomID"] >= 0)
    distance, body, face, u, v, normals = (result[key][rays] for key in ("tfar", "geomID", "primID", "u", "v", "Ng"))
    return Intersections(rays, distance, body, face, u, v, normals)


class Visibility(NamedTuple):
    """Visible part of a silhouette.

    Attributes:
        fraction: Visible share of the silhouette in [0, 1].
        pixels: Approximate number of visible pixels.
    """

    fraction: float
    pixels: int


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
        u, v = (
            grid.ravel() for grid in np.meshgrid(*(np.arange(a, b, step) for a, b in zip(first, last, strict=True)))
        )
        hit = self._cast(u, v, T_camera_object, camera)
        inside = hit & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
        covered = int(mask[v[inside], u[inside]].sum())
        # Each sample stands for step x step pixels.
        return Visibility(covered / max(int(hit.sum()), 1), covered * step * step)

    def _cast(self, u: FloatArray, v: FloatArray, T_camera_object: FloatArray, camera: CameraIntrinsics) -> BoolArray:
        """Cast the rays of N pixels at the mesh in the object frame; return a mask ``(N,)`` of the rays that hit."""
        R, t = T_camera_object[:3, :3], T_camera_object[:3, 3]
        rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(len(u))], axis=1)
        # R^T (0 - t) is the camera centre in the object frame.
        origins = np.tile((-t @ R).astype(np.float32), (len(u), 1))
        hit: BoolArray = self._embree.run(origins, (rays @ R).astype(np.float32), query="OCCLUDED") >= 0
        return hit
