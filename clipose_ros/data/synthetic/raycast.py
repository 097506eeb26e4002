"""Ray casting with Embree: pixel rays and intersections.

Pixel rays. Pixel (u, v) has the direction d = ((u - cx) / fx, (v - cy) / fy, 1) in the camera frame. Because d has
z = 1, the ray parameter s of the intersection o + s d equals the depth along the optical axis, not the distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.errors import DataError
from clipose_ros.types import CameraIntrinsics, FloatArray


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
