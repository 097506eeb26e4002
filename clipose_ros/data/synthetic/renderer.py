"""Ray-cast renderer: colour, depth, labels and ground truth of a scene.

Pixel centres have integer coordinates; depth is along the optical axis. ``Renderer`` prepares everything that does not
depend on the camera once. A moving camera in a static scene costs only its rays.

Algorithm for one view of H x W pixels and a camera with the pose ``T_world_camera`` = (R, c):

1. Rotate the pixel rays d_camera ``(H * W, 3)`` into the world frame: d = R d_camera. All rays start at c.
2. Intersect them with the scene. M rays hit a face; the depth of a pixel is the ray parameter s (``raycast``).
3. For each hit compute the point c + s d, the unit normal n towards the camera, and cos = abs(n . d) / norm(d).
4. Shade the hits (``shading``), look up label and albedo of the hit faces, and scatter all values into images.
5. For each object with a visible pixel, measure the visible share of its silhouette. A mug's handle counts as visible
   from ``MIN_HANDLE_FRACTION`` and ``MIN_HANDLE_PIXELS`` of its own silhouette.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.data.synthetic.assets.mesh import HANDLE, Mesh
from clipose_ros.data.synthetic.object_materials import make_materials
from clipose_ros.data.synthetic.raycast import (
    Intersections,
    build_embree_scene,
    compute_ray_directions,
    find_intersections,
)
from clipose_ros.data.synthetic.scenes import Scene
from clipose_ros.data.synthetic.shading import RayHits, Shader, ShaderFactory, SurfaceShader, make_ray_hits
from clipose_ros.data.synthetic.silhouettes import RaySilhouette, Silhouette
from clipose_ros.geometry.se3 import invert_transform
from clipose_ros.types import LABEL_BASE, BoolArray, ByteArray, CameraIntrinsics, FloatArray, LabelArray

Scalar = TypeVar("Scalar", bound=np.generic)

MIN_HANDLE_FRACTION = 0.15
"""Visible share of a handle's silhouette from which the handle counts as visible."""
MIN_HANDLE_PIXELS = 20
"""Visible pixels of a handle's silhouette from which, in addition, the handle counts as visible."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Weights of linear red, green and blue in the luminance (Rec. 709)."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTruth:
    """Ground truth of an object in a rendered frame.

    Attributes:
        instance: Number within the scene; the label is category id x 1000 + instance.
        category: Name of the category.
        T_camera_object: ``(4, 4)`` float64 pose, metres.
        size: ``(3,)`` full extent, metres, object frame.
        visible_fraction: Share of the object's silhouette that is visible; the silhouette includes the part outside the
            image.
        handle_visible: True if the handle is visible, and for objects without a handle.
    """

    instance: int
    category: str
    T_camera_object: FloatArray
    size: FloatArray
    visible_fraction: float
    handle_visible: bool


@dataclass(frozen=True, slots=True, eq=False)
class RenderedFrame:
    """A rendered view of a scene.

    Attributes:
        rgb: ``(H, W, 3)`` uint8; all zero if colour was not requested.
        depth: ``(H, W)`` float32 depth without noise, metres; 0 if the ray hit nothing.
        labels: ``(H, W)`` uint16, category id x 1000 + instance; 0 is background.
        truths: Ground truth of every object with a visible pixel.
        cos_incidence: ``(H, W)`` float32, cosine of the angle between ray and surface normal; 0 if the ray hit nothing.
        albedo: ``(H, W)`` float32 luminance of the surface in [0, 1].
    """

    rgb: ByteArray
    depth: FloatArray
    labels: LabelArray
    truths: tuple[ObjectTruth, ...]
    cos_incidence: FloatArray
    albedo: FloatArray


class TruthFinder:
    """Ground truth of the objects of a scene in label images.

    Args:
        scene: The scene.
        categories: Category set that defines the ids in label images.
        make_silhouette: Source of the silhouette of a mesh.

    Attributes:
        labels: ``(B,)`` uint16 label of each body: objects, then props with the label 0.
    """

    def __init__(self, scene: Scene, categories: CategorySet, make_silhouette: Callable[[Mesh], Silhouette]) -> None:
        self._objects = scene.objects
        self.labels = np.zeros(len(scene.objects) + len(scene.props), dtype=np.uint16)
        for i, item in enumerate(scene.objects):
            self.labels[i] = categories[item.object.category].id * LABEL_BASE + item.instance
        self._silhouettes = [make_silhouette(item.object.mesh) for item in scene.objects]
        self._handle_silhouettes = [
            make_silhouette(item.object.mesh.select_part(HANDLE)) if item.object.has_handle else None
            for item in scene.objects
        ]

    def find(
        self,
        T_camera_world: FloatArray,
        intrinsics: CameraIntrinsics,
        labels: LabelArray,
        handle: BoolArray,
        instances: Collection[int] | None,
    ) -> tuple[ObjectTruth, ...]:
        """Return pose, size and visibility of every object with a visible pixel.

        Args:
            T_camera_world: ``(4, 4)`` inverse of the camera's pose, metres.
            intrinsics: Intrinsics of the image.
            labels: ``(H, W)`` label image.
            handle: ``(H, W)`` pixels of handles.
            instances: Instances whose ground truth is returned; None for all.
        """
        truths = []
        for i, item in enumerate(self._objects):
            if instances is not None and item.instance not in instances:
                continue
            mask = labels == self.labels[i]
            # Only objects with a visible pixel have a truth.
            if not mask.any():
                continue
            T_camera_object, handle_silhouette = T_camera_world @ item.T_world_object, self._handle_silhouettes[i]
            visible = self._silhouettes[i].measure_visibility(T_camera_object, intrinsics, mask)
            handle_visible = True
            if handle_silhouette is not None:
                visible_handle = handle_silhouette.measure_visibility(T_camera_object, intrinsics, mask & handle)
                enough_pixels = visible_handle.pixels >= MIN_HANDLE_PIXELS
                handle_visible = visible_handle.fraction >= MIN_HANDLE_FRACTION and enough_pixels
            category, size = item.object.category, item.object.size
            truths.append(ObjectTruth(item.instance, category, T_camera_object, size, visible.fraction, handle_visible))
        return tuple(truths)


def render(
    scene: Scene, T_world_camera: FloatArray, intrinsics: CameraIntrinsics, colour: bool = True, shadow_rays: int = 4
) -> RenderedFrame:
    """Render one view of a scene. For several views, create one ``Renderer``."""
    return Renderer(scene).render(T_world_camera, intrinsics, colour, shadow_rays)


class Renderer:
    """Renderer of views of one scene.

    Args:
        scene: The scene.
        categories: Category set that defines the ids in label images.
        make_shader: Source of the shader of colour images; by default the lamp of the scene shines on materials of its
            objects.
    """

    def __init__(
        self, scene: Scene, categories: CategorySet = NOCS_CATEGORIES, make_shader: ShaderFactory | None = None
    ) -> None:
        self._make_shader = make_shader
        self._scene = scene
        bodies = [(item.object.mesh, item.T_world_object, item.texture) for item in scene.objects]
        bodies += [(prop.mesh, prop.T_world_prop, prop.texture) for prop in scene.props]
        self._meshes = [mesh.transformed(T) for mesh, T, _ in bodies]
        self._textures = [(texture, T) for _, T, texture in bodies]
        self._rays = build_embree_scene(self._meshes)
        self._truths = TruthFinder(scene, categories, RaySilhouette)
        # Embree numbers faces within a mesh; the arrays below are indexed over all meshes.
        self._first_face = np.cumsum([0] + [len(mesh.faces) for mesh in self._meshes[:-1]])
        colours = np.concatenate([mesh.colours for mesh in self._meshes])
        self._albedo = (colours @ LUMINANCE).astype(np.float32)
        self._is_handle_face = np.concatenate([mesh.parts == HANDLE for mesh in self._meshes])

    @cached_property
    def _shader(self) -> SurfaceShader:
        """Return the shader, created at the first colour image; training clouds need none."""
        bodies = self._meshes, self._textures, self._scene.light, self._rays
        if self._make_shader is not None:
            return self._make_shader(*bodies)
        return Shader(*bodies, make_materials(self._scene))

    def render(
        self,
        T_world_camera: FloatArray,
        intrinsics: CameraIntrinsics,
        colour: bool = True,
        shadow_rays: int = 4,
        instances: Collection[int] | None = None,
    ) -> RenderedFrame:
        """Render one view.

        Args:
            T_world_camera: ``(4, 4)`` camera pose, optical frame, metres.
            intrinsics: Camera intrinsics.
            colour: Render colour; False leaves rgb black and saves most of the time.
            shadow_rays: Shadow rays per pixel; 0 casts no shadows.
            instances: Instances whose ground truth is returned; all if left out.
        """
        shape = (intrinsics.height, intrinsics.width)
        directions = compute_ray_directions(intrinsics) @ T_world_camera[:3, :3].T.astype(np.float32)
        origins = np.tile(T_world_camera[:3, 3].astype(np.float32), (len(directions), 1))
        found = find_intersections(self._rays, origins, directions)
        pixels = found.rays
        hits, cosine = self._make_hits(found, origins[pixels], directions[pixels], intrinsics.width)
        rgb = np.zeros((*shape, 3), dtype=np.uint8)
        if colour:
            rgb.reshape(-1, 3)[pixels] = self._shader.shade(hits, shadow_rays)
        labels = _scatter(self._truths.labels[hits.body], pixels, shape)
        handle = _scatter(self._is_handle_face[hits.face], pixels, shape)
        return RenderedFrame(
            rgb=rgb,
            depth=_scatter(found.distance, pixels, shape),
            labels=labels,
            truths=self._truths.find(invert_transform(T_world_camera), intrinsics, labels, handle, instances),
            cos_incidence=_scatter(cosine, pixels, shape),
            albedo=_scatter(self._albedo[hits.face], pixels, shape),
        )

    def _make_hits(
        self, found: Intersections, origins: FloatArray, rays: FloatArray, width: int
    ) -> tuple[RayHits, FloatArray]:
        """Convert M intersections to the input of the shader.

        Args:
            found: The intersections.
            origins: ``(M, 3)`` origins of their rays, world frame, metres.
            rays: ``(M, 3)`` directions of their rays, world frame.
            width: Image width, pixels.

        Returns:
            The hits, and the cosines ``(M,)`` of the angles between ray and surface normal.
        """
        # Interleaved gradient noise (Jimenez 2014): neighbouring pixels differ without a visible pattern.
        ramp = (0.06711056 * (found.rays % width) + 0.00583715 * (found.rays // width)) % 1.0
        turn = (2 * np.pi * ((52.9829189 * ramp) % 1.0)).astype(np.float32)
        hits = make_ray_hits(found, origins, rays, turn, self._first_face)
        cosine = -np.einsum("ij,ij->i", hits.normals, rays) / np.sqrt(np.einsum("ij,ij->i", rays, rays))
        return hits, np.abs(cosine)


def _scatter(values: NDArray[Scalar], pixels: NDArray[np.intp], shape: tuple[int, int]) -> NDArray[Scalar]:
    """Scatter the values ``(M,)`` of M pixels, given by flat index, into an image of zeros."""
    image = np.zeros(shape, dtype=values.dtype)
    image.reshape(-1)[pixels] = values
    return image
