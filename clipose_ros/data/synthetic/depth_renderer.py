"""Rasterized depth, labels and ground truth of a scene: the fast counterpart of ``renderer`` without colour."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.data.synthetic.assets.mesh import HANDLE
from clipose_ros.data.synthetic.raster_kernels import measure_incidence
from clipose_ros.data.synthetic.renderer import LUMINANCE, RenderedFrame, TruthFinder
from clipose_ros.data.synthetic.scenes import Scene
from clipose_ros.data.synthetic.silhouettes import RasterSilhouette
from clipose_ros.data.synthetic.triangle_scene import TriangleScene
from clipose_ros.geometry.se3 import invert_transform
from clipose_ros.types import CameraIntrinsics, FloatArray


class DepthRenderer:
    """Renderer of views of one scene without colour; equal to ``Renderer`` up to rounding.

    Args:
        scene: The scene.
        categories: Category set that defines the ids in label images.
    """

    def __init__(self, scene: Scene, categories: CategorySet = NOCS_CATEGORIES) -> None:
        bodies = [(item.object.mesh, item.T_world_object) for item in scene.objects]
        bodies += [(prop.mesh, prop.T_world_prop) for prop in scene.props]
        self._bodies = TriangleScene([mesh.transformed(T) for mesh, T in bodies])
        self._truths = TruthFinder(scene, categories, RasterSilhouette)
        # A face more, at the end, is that of pixels without a surface.
        body = np.append(self._bodies.body_of_face, 0)
        self._labels = self._truths.labels[body]
        self._labels[-1] = 0
        self._is_handle = np.append(np.concatenate([mesh.parts == HANDLE for mesh, _ in bodies]), False)
        colours = np.concatenate([mesh.colours for mesh, _ in bodies])
        self._albedo = np.append(colours @ LUMINANCE, 0.0).astype(np.float32)

    def render(
        self, T_world_camera: FloatArray, intrinsics: CameraIntrinsics, instances: Collection[int] | None = None
    ) -> RenderedFrame:
        """Render one view.

        Args:
            T_world_camera: ``(4, 4)`` camera pose, optical frame, metres.
            intrinsics: Camera intrinsics.
            instances: Instances whose ground truth is returned; all if left out.

        Returns:
            The view, with a black colour image.
        """
        image = self._bodies.draw(T_world_camera, intrinsics)
        face = image.face
        K = np.array([intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy], np.float32)
        R = np.ascontiguousarray(T_world_camera[:3, :3], np.float32)
        labels = self._labels[face]
        T_camera_world = invert_transform(T_world_camera)
        return RenderedFrame(
            rgb=np.zeros((*face.shape, 3), dtype=np.uint8),
            depth=image.depth,
            labels=labels,
            truths=self._truths.find(T_camera_world, intrinsics, labels, self._is_handle[face], instances),
            cos_incidence=measure_incidence(face, self._bodies.normals, R, K),
            albedo=self._albedo[face],
        )
