"""A ray caster: colour with light and shadow, depth, labels and truth of a scene.

Pixel centres have integer coordinates; depth is along the optical axis. What does not depend on the camera is prepared
once, in ``Renderer``, so that a moving camera over a static scene pays only for its rays.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.data.synthetic.assets.mesh import HANDLE
from clipose_ros.data.synthetic.raycast import Silhouette, build_embree_scene, compute_ray_directions
from clipose_ros.data.synthetic.scenes import Scene
from clipose_ros.data.synthetic.shading import Hits, Shader
from clipose_ros.geometry.se3 import invert_transform
from clipose_ros.types import LABEL_BASE, BoolArray, ByteArray, CameraIntrinsics, FloatArray, LabelArray

MIN_HANDLE_FRACTION = 0.15
"""A handle counts as visible when at least this share of its own outline is."""
MIN_HANDLE_PIXELS = 20
"""... and at least this many pixels."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTruth:
    """Where an object of the frame really is.

    Attributes:
        instance: Number within the scene; the label is category id x 1000 + instance.
        category: Name of the category.
        T_camera_object: ``(4, 4)`` float64 pose.
        size: ``(3,)`` full extent, metres, object frame.
        visible_fraction: Visible pixels over those of the whole outline, the part beyond the image's rim included.
        handle_visible: Whether the handle is seen; always true for objects that have none.
    """

    instance: int
    category: str
    T_camera_object: FloatArray
    size: FloatArray
    visible_fraction: float
    handle_visible: bool


@dataclass(frozen=True, slots=True, eq=False)
class RenderedFrame:
    """One view of a scene.

    Attributes:
        rgb: ``(H, W, 3)`` uint8; all zero where colour was not asked for.
        depth: ``(H, W)`` float32 metres, perfect; 0 where nothing was hit.
        labels: ``(H, W)`` uint16, category id x 1000 + instance; 0 elsewhere.
        truths: One for each object of which a pixel is visible.
        cos_incidence: ``(H, W)`` float32, cosine of the angle between ray and surface normal; 0 where nothing was hit.
        albedo: ``(H, W)`` float32 in [0, 1], how bright the surface itself is.
    """

    rgb: ByteArray
    depth: FloatArray
    labels: LabelArray
    truths: tuple[ObjectTruth, ...]
    cos_incidence: FloatArray
    albedo: FloatArray


def render(
    scene: Scene, T_world_camera: FloatArray, intrinsics: CameraIntrinsics, colour: bool = True, shadow_rays: int = 4
) -> RenderedFrame:
    """One view of a scene; see ``Renderer`` for several."""
    return Renderer(scene).render(T_world_camera, intrinsics, colour, shadow_rays)


class Renderer:
    """Casts rays at one scene.

    Args:
        scene: What to look at.
        categories: Where label ids come from.
    """

    def __init__(self, scene: Scene, categories: CategorySet = NOCS_CATEGORIES) -> None:
        self._objects = scene.objects
        self._light = scene.light
        bodies = [(item.object.mesh, item.T_world_object, item.texture) for item in scene.objects]
        bodies += [(prop.mesh, prop.T_world_prop, prop.texture) for prop in scene.props]
        self._meshes = [mesh.transformed(T) for mesh, T, _ in bodies]
        self._textures = [(texture, T) for _, T, texture in bodies]
        self._rays = build_embree_scene(self._meshes)
        self._labels = np.zeros(len(bodies), dtype=np.uint16)
        for i, item in enumerate(scene.objects):
            self._labels[i] = categories[item.object.category].id * LABEL_BASE + item.instance
        self._first_face = np.cumsum([0] + [len(mesh.faces) for mesh in self._meshes[:-1]])
        colours = np.concatenate([mesh.colours for mesh in self._meshes])
        self._albedo = (colours @ LUMINANCE).astype(np.float32)
        self._handle = np.concatenate([mesh.parts == HANDLE for mesh in self._meshes])
        self._outlines = [Silhouette(item.object.mesh) for item in scene.objects]
        self._handles = [
            Silhouette(item.object.mesh.select_part(HANDLE)) if item.object.has_handle else None
            for item in scene.objects
        ]

    @cached_property
    def _shader(self) -> Shader:
        """Made when colour is first asked for; training never does."""
        return Shader(self._meshes, self._textures, self._light, self._rays)

    def render(
        self,
        T_world_camera: FloatArray,
        intrinsics: CameraIntrinsics,
        colour: bool = True,
        shadow_rays: int = 4,
        instances: Collection[int] | None = None,
    ) -> RenderedFrame:
        """One view.

        Args:
            T_world_camera: ``(4, 4)`` camera pose, optical frame.
            intrinsics: The camera.
            colour: False leaves rgb black and saves most of the time.
            shadow_rays: Rays towards the lamp per pixel; 0 casts no shadows.
            instances: Objects whose truth is wanted; all if left out.
        """
        shape = (intrinsics.height, intrinsics.width)
        directions = compute_ray_directions(intrinsics) @ T_world_camera[:3, :3].T.astype(np.float32)
        origins = np.tile(T_world_camera[:3, 3].astype(np.float32), (len(directions), 1))
        found = self._rays.run(origins, directions, output=True)
        seen = np.flatnonzero(found["geomID"] >= 0)
        hits, distance, cosine = self._hits(found, seen, origins[seen], directions[seen], intrinsics.width)

        def image(values: Any, dtype: type) -> Any:
            pixels: NDArray[Any] = np.zeros(shape, dtype=dtype)
            pixels.reshape(-1)[seen] = values
            return pixels

        rgb = np.zeros((*shape, 3), dtype=np.uint8)
        if colour:
            rgb.reshape(-1, 3)[seen] = self._shader.shade(hits, shadow_rays)
        labels: LabelArray = image(self._labels[hits.body], np.uint16)
        handle: BoolArray = image(self._handle[hits.face], np.bool_)
        return RenderedFrame(
            rgb=rgb,
            depth=image(distance, np.float32),
            labels=labels,
            truths=self._truths(invert_transform(T_world_camera), intrinsics, labels, handle, instances),
            cos_incidence=image(cosine, np.float32),
            albedo=image(self._albedo[hits.face], np.float32),
        )

    def _hits(
        self, found: dict[str, Any], seen: NDArray[np.integer], origins: FloatArray, rays: FloatArray, width: int
    ) -> tuple[Hits, FloatArray, FloatArray]:
        """What the rays of the pixels ``seen`` met, how far away, and the cosine of the angle at which."""
        body, distance, second, third = (found[key][seen] for key in ("geomID", "tfar", "u", "v"))
        normals = found["Ng"][seen]
        normals = normals / np.maximum(np.sqrt(np.einsum("ij,ij->i", normals, normals)), 1e-20)[:, None]
        cosine = -np.einsum("ij,ij->i", normals, rays) / np.sqrt(np.einsum("ij,ij->i", rays, rays))
        # Interleaved gradient noise (Jimenez 2014): neighbouring pixels differ, and no pattern shows.
        ramp = (0.06711056 * (seen % width) + 0.00583715 * (seen // width)) % 1.0
        hits = Hits(
            points=origins + rays * distance[:, None],
            rays=rays,
            body=body,
            face=self._first_face[body] + found["primID"][seen],
            weights=np.stack([1.0 - second - third, second, third], axis=1),
            normals=np.where(cosine[:, None] < 0.0, -normals, normals),
            turn=(2 * np.pi * ((52.9829189 * ramp) % 1.0)).astype(np.float32),
        )
        return hits, distance, np.abs(cosine)

    def _truths(
        self,
        T_camera_world: FloatArray,
        intrinsics: CameraIntrinsics,
        labels: LabelArray,
        handle: BoolArray,
        instances: Collection[int] | None,
    ) -> tuple[ObjectTruth, ...]:
        """Pose, size and visibility of every object that has a pixel."""
        present = set(np.unique(labels).tolist())
        truths = []
        for i, item in enumerate(self._objects):
            label = int(self._labels[i])
            if label not in present or (instances is not None and item.instance not in instances):
                continue
            T_camera_object, handle_outline = T_camera_world @ item.T_world_object, self._handles[i]
            fraction, _ = self._outlines[i].measure_visibility(T_camera_object, intrinsics, labels == label)
            handle_visible = True
            if handle_outline is not None:
                share, pixels = handle_outline.measure_visibility(
                    T_camera_object, intrinsics, (labels == label) & handle
                )
                handle_visible = share >= MIN_HANDLE_FRACTION and pixels >= MIN_HANDLE_PIXELS
            category, size = item.object.category, item.object.size
            truths.append(ObjectTruth(item.instance, category, T_camera_object, size, fraction, handle_visible))
        return tuple(truths)
