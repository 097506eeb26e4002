"""Scenes of triangles for the compiled rasterizer. They are ready as soon as their arrays are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.data.synthetic.raster_kernels import Triangles, compute_unit_normals, draw_triangles
from clipose_ros.errors import DataError
from clipose_ros.geometry.se3 import invert_transform
from clipose_ros.types import CameraIntrinsics, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class RasterImage:
    """Nearest triangles behind the pixels of a window.

    Attributes:
        inverse_depth: ``(H, W)`` float32 inverse of the depth along the optical axis, 1 / metres; 0 for none.
        face: ``(H, W)`` int32 index of the face among those of all bodies; -1 for none.
    """

    inverse_depth: FloatArray
    face: NDArray[np.int32]

    @property
    def depth(self) -> FloatArray:
        """Return the depth ``(H, W)`` float32, metres; 0 for none."""
        none = np.zeros_like(self.inverse_depth)
        return np.divide(np.float32(1.0), self.inverse_depth, out=none, where=self.face >= 0)


class TriangleScene:
    """Triangles of several bodies.

    Args:
        meshes: The bodies, metres, world frame; at least one.

    Attributes:
        triangles: Arrays of the kernels.
        body_of_face: ``(F,)`` int32 index of the body of each face.

    Raises:
        DataError: There are no meshes.
    """

    def __init__(self, meshes: Sequence[Mesh]) -> None:
        if not meshes:
            raise DataError("a scene to render needs at least one object or prop, got none")
        first_vertex = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
        counts = [len(mesh.faces) for mesh in meshes]
        bounds = [mesh.bounds for mesh in meshes]
        self.triangles = Triangles(
            vertices=np.concatenate([mesh.vertices.T for mesh in meshes], axis=1),
            faces=np.concatenate([mesh.faces + np.int32(k) for mesh, k in zip(meshes, first_vertex, strict=False)]),
            first_vertex=first_vertex,
            first_face=np.cumsum([0, *counts]),
            low=np.array([low for low, _ in bounds]),
            high=np.array([high for _, high in bounds]),
            is_closed=np.array([mesh.is_closed for mesh in meshes]),
        )
        self.body_of_face = np.repeat(np.arange(len(meshes), dtype=np.int32), counts)

    @cached_property
    def normals(self) -> FloatArray:
        """Return the unit normals ``(F, 3)`` float32 of the faces, world frame."""
        normals: FloatArray = compute_unit_normals(self.triangles.vertices, self.triangles.faces)
        return normals

    def draw(self, T_world_camera: FloatArray, window: CameraIntrinsics) -> RasterImage:
        """Draw the window of a camera.

        Args:
            T_world_camera: ``(4, 4)`` camera pose, optical frame, metres.
            window: Intrinsics of the window.
        """
        shape = window.height, window.width
        image = RasterImage(np.zeros(shape, np.float32), np.full(shape, -1, np.int32))
        P = np.ascontiguousarray(window.K @ invert_transform(T_world_camera)[:3])
        draw_triangles(self.triangles, P, image.inverse_depth, image.face)
        return image
