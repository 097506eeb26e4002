"""A ray caster: colour with light and shadow, depth, labels and truth of a scene.

Pixel centres have integer coordinates; depth is along the optical axis. What does not depend on the camera is prepared once, in
``Renderer``, so that a moving camera over a static scene pays only for its rays.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.data.mesh import HANDLE, Mesh
from clipose_ros.data.scenes import PlacedObject, Scene
from clipose_ros.errors import DataError
from clipose_ros.geometry.se3 import invert_transform
from clipose_ros.types import (
    BoolArray,
    ByteArray,
    CameraIntrinsics,
    FloatArray,
    LabelArray,
)

SMOOTH_COS = 0.82
"""Edges flatter than this (cosine of the angle between a face and its neighbours' mean) are shaded smoothly."""
HANDLE_SHARE = 0.15
"""A handle counts as visible when at least this share of its own outline is."""
HANDLE_PIXELS = 20
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
        self._scene = scene
        bodies = [(item.object.mesh, item.T_world_object, item.texture) for item in scene.objects]
        bodies += [(prop.mesh, prop.T_world_prop, prop.texture) for prop in scene.props]
        self._poses = [T for _, T, _ in bodies]
        self._textures = [texture for _, _, texture in bodies]
        meshes = [mesh.transformed(T) for mesh, T, _ in bodies]
        self._embree = _build(meshes)
        self._labels = np.zeros(len(bodies), dtype=np.uint16)
        for i, item in enumerate(scene.objects):
            self._labels[i] = categories[item.object.category].id * 1000 + item.instance
        counts = [len(mesh.faces) for mesh in meshes]
        self._first_face = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._colours = np.concatenate([mesh.colours for mesh in meshes])
        self._albedo = (self._colours @ LUMINANCE).astype(np.float32)
        self._handle = np.concatenate([mesh.parts == HANDLE for mesh in meshes])
        self._meshes = meshes
        self._normals: FloatArray | None = None
        self._outlines = [_Outline(item) for item in scene.objects]

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
            colour: False leaves rgb black and saves two thirds of the time.
            shadow_rays: Rays towards the lamp per pixel; 0 casts no shadows.
            instances: Objects whose truth is wanted; all if left out.
        """
        shape = (intrinsics.height, intrinsics.width)
        directions = (ray_grid(intrinsics) @ T_world_camera[:3, :3].T.astype(np.float32)).astype(np.float32)
        origins = np.broadcast_to(T_world_camera[:3, 3].astype(np.float32), directions.shape)
        hits = self._embree.run(np.ascontiguousarray(origins), directions, output=True)
        seen = np.flatnonzero(hits["geomID"] >= 0)
        geometry, distance = hits["geomID"][seen], hits["tfar"][seen]
        face = self._first_face[geometry] + hits["primID"][seen]
        normals = hits["Ng"][seen]
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
        rays = directions[seen]
        cosine = -np.einsum("ij,ij->i", normals, rays) / np.linalg.norm(rays, axis=1)
        normals = np.where(cosine[:, None] < 0, -normals, normals)
        labels = _image(shape, seen, self._labels[geometry], np.uint16)
        handle = _image(shape, seen, self._handle[face], np.bool_)
        rgb = np.zeros((*shape, 3), dtype=np.uint8)
        if colour:
            points = origins[seen] + rays * distance[:, None]
            bary = np.stack([1 - hits["u"][seen] - hits["v"][seen], hits["u"][seen], hits["v"][seen]], axis=1)
            shaded = self._shade(points, rays, face, geometry, normals, bary, seen, intrinsics.width, shadow_rays)
            rgb.reshape(-1, 3)[seen] = shaded
        return RenderedFrame(
            rgb=rgb,
            depth=_image(shape, seen, distance, np.float32),
            labels=labels,
            truths=self._truths(invert_transform(T_world_camera), intrinsics, labels, handle, instances),
            cos_incidence=_image(shape, seen, np.abs(cosine), np.float32),
            albedo=_image(shape, seen, self._albedo[face], np.float32),
        )

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
        for item, label, outline in zip(self._scene.objects, self._labels[: len(self._outlines)], self._outlines, strict=True):
            if int(label) not in present or (instances is not None and item.instance not in instances):
                continue
            T_camera_object = T_camera_world @ item.T_world_object
            whole, seen, _ = outline.whole.visible(T_camera_object, intrinsics, labels == label)
            handle_visible = True
            if outline.handle is not None:
                size, share, pixels = outline.handle.visible(T_camera_object, intrinsics, (labels == label) & handle)
                handle_visible = size > 0 and share / size >= HANDLE_SHARE and pixels >= HANDLE_PIXELS
            fraction = min(seen / whole, 1.0) if whole else 0.0
            truths.append(
                ObjectTruth(item.instance, item.object.category, T_camera_object, item.object.size, fraction, handle_visible)
            )
        return tuple(truths)

    def _shade(
        self, points: FloatArray, rays: FloatArray, face: NDArray[np.integer], geometry: NDArray[np.integer], flat: FloatArray,
        bary: FloatArray, pixel: NDArray[np.integer], width: int, shadow_rays: int,
    ) -> ByteArray:  # fmt: skip
        """sRGB colours ``(N, 3)`` of hits: textured albedo under the lamp, a sky and a highlight."""
        if self._normals is None:
            self._normals = np.concatenate([_corner_normals(mesh) for mesh in self._meshes]).astype(np.float32)
        normals = np.einsum("ij,ijk->ik", bary, self._normals[face])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        normals *= np.sign(np.einsum("ij,ij->i", normals, flat))[:, None]
        light = self._scene.light
        to_light = light.position.astype(np.float32) - points
        reach = np.linalg.norm(to_light, axis=1, keepdims=True)
        to_light = to_light / reach
        lambert = np.clip(np.einsum("ij,ij->i", normals, to_light), 0.0, None)
        lit = lambert * (4.0 / np.maximum(reach[:, 0] ** 2, 1.0)) ** 0.5
        if shadow_rays > 0:
            facing = np.flatnonzero(lambert > 0)
            lit[facing] *= self._light_share(points[facing] + 2e-4 * flat[facing], pixel[facing], width, shadow_rays)
        view = -rays / np.linalg.norm(rays, axis=1, keepdims=True)
        half = view + to_light
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        shine = 0.18 * np.clip(np.einsum("ij,ij->i", normals, half), 0, 1) ** 40 * (lit > 0.02) * np.minimum(lit * 3, 1)
        albedo = self._colours[face] * self._patterns(points, geometry)[:, None]
        sky = (0.62 + 0.38 * normals[:, 2:3]) * light.ambient
        linear = albedo * (sky + lit[:, None] * light.colour) + shine[:, None] * light.colour
        srgb: ByteArray = (255.0 * np.clip(linear, 0.0, 1.0) ** (1 / 2.2) + 0.5).astype(np.uint8)
        return srgb

    def _patterns(self, points: FloatArray, geometry: NDArray[np.integer]) -> FloatArray:
        """Texture factors ``(N,)``, each in its body's own frame."""
        factor = np.ones(len(points), dtype=np.float32)
        for index in np.unique(geometry):
            T, texture = self._poses[index], self._textures[index]
            if texture.kind != "plain":
                here = geometry == index
                factor[here] = texture.factor((points[here] - T[:3, 3]) @ T[:3, :3])
        return np.clip(factor, 0.0, 1.4)

    def _light_share(self, points: FloatArray, pixel: NDArray[np.integer], width: int, count: int) -> FloatArray:
        """Share of the lamp ``(N,)`` that each point sees; the sample pattern is turned per pixel to dither the penumbra."""
        light = self._scene.light
        axis = light.position / np.linalg.norm(light.position)
        side = np.cross(axis, [0.3, 0.5, 0.81])
        side /= np.linalg.norm(side)
        other = np.cross(axis, side)
        u, v = pixel % width, pixel // width
        turn = 2 * np.pi * ((52.9829189 * ((0.06711056 * u + 0.00583715 * v) % 1.0)) % 1.0)
        share = np.zeros(len(points), dtype=np.float32)
        for k in range(count):
            radius, angle = light.radius_m * np.sqrt((k + 0.5) / count), turn + 2.39996 * k
            offset = (radius * np.cos(angle))[:, None] * side + (radius * np.sin(angle))[:, None] * other
            direction = (light.position + offset - points).astype(np.float32)
            blocked = self._embree.run(points.astype(np.float32), direction, np.ones(len(points), np.float32), query="OCCLUDED")
            share += blocked < 0
        return share / count


class _Outline:
    """The silhouettes of one object alone, and of its handle alone."""

    def __init__(self, item: PlacedObject) -> None:
        mesh = item.object.mesh
        self.whole = _Silhouette(mesh)
        part = mesh.parts == HANDLE
        self.handle = _Silhouette(_submesh(mesh, part)) if part.any() else None


class _Silhouette:
    """Counts how much of a mesh's own outline is visible, on a coarse grid of pixels."""

    GRID = 40

    def __init__(self, mesh: Mesh) -> None:
        self._embree = _build([mesh])
        low, high = mesh.bounds
        pick = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)], dtype=bool)
        self._corners = np.where(pick, high, low)

    def visible(self, T_camera_object: FloatArray, K: CameraIntrinsics, mask: BoolArray) -> tuple[int, int, int]:
        """Grid pixels of the outline, how many of them are set in ``mask``, and about how many image pixels the latter are."""
        corners = self._corners @ T_camera_object[:3, :3].T + T_camera_object[:3, 3]
        if corners[:, 2].min() < 0.02:
            return 0, 0, 0
        u, v = K.fx * corners[:, 0] / corners[:, 2] + K.cx, K.fy * corners[:, 1] / corners[:, 2] + K.cy
        step = max(int(max(np.ptp(u), np.ptp(v)) / self.GRID), 1)
        columns, rows = np.arange(int(u.min()), int(u.max()) + 2, step), np.arange(int(v.min()), int(v.max()) + 2, step)
        grid_u, grid_v = (g.ravel() for g in np.meshgrid(columns, rows))
        directions = np.stack([(grid_u - K.cx) / K.fx, (grid_v - K.cy) / K.fy, np.ones(len(grid_u))], axis=1)
        R, t = T_camera_object[:3, :3], T_camera_object[:3, 3]
        origins = np.broadcast_to((-t @ R).astype(np.float32), directions.shape)
        hit = self._embree.run(np.ascontiguousarray(origins), (directions @ R).astype(np.float32), query="OCCLUDED") >= 0
        inside = hit & (grid_u >= 0) & (grid_u < K.width) & (grid_v >= 0) & (grid_v < K.height)
        seen = int(mask[grid_v[inside], grid_u[inside]].sum())
        return int(hit.sum()), seen, seen * step * step


@lru_cache(maxsize=4)
def ray_grid(K: CameraIntrinsics) -> FloatArray:
    """Ray directions ``(H * W, 3)`` float32 in the camera frame with z = 1, so that a hit's distance is its depth."""
    u, v = np.meshgrid(np.arange(K.width), np.arange(K.height))
    rays = np.stack([(u - K.cx) / K.fx, (v - K.cy) / K.fy, np.ones(u.shape)], axis=-1).reshape(-1, 3).astype(np.float32)
    rays.setflags(write=False)
    return rays


def _build(meshes: list[Mesh]) -> EmbreeScene:
    """An embree scene with one geometry per mesh, in order."""
    if not meshes:
        raise DataError("a scene to render needs at least one object or prop, got none")
    scene = EmbreeScene()
    for mesh in meshes:
        TriangleMesh(scene, mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32))
    return scene


def _image(shape: tuple[int, int], pixel: NDArray[np.integer], values: NDArray[np.generic], dtype: type) -> NDArray[np.generic]:
    """Values at pixels of an otherwise zero image."""
    image = np.zeros(shape, dtype=dtype)
    image.reshape(-1)[pixel] = values
    return image


def _submesh(mesh: Mesh, faces: BoolArray) -> Mesh:
    """Some faces of a mesh, with the vertices they use."""
    used, inverse = np.unique(mesh.faces[faces], return_inverse=True)
    return Mesh.plain(mesh.vertices[used], inverse.reshape(-1, 3).astype(np.int32))


def _corner_normals(mesh: Mesh) -> FloatArray:
    """Shading normals ``(F, 3, 3)`` of each face's corners: smooth across flat edges, sharp across creases."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    face = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-20)
    vertex = np.zeros_like(mesh.vertices)
    for k in range(3):
        np.add.at(vertex, mesh.faces[:, k], cross)
    vertex /= np.maximum(np.linalg.norm(vertex, axis=1, keepdims=True), 1e-20)
    corner = vertex[mesh.faces]
    smooth = np.einsum("ijk,ik->ij", corner, face) > SMOOTH_COS
    normals: FloatArray = np.where(smooth[..., None], corner, face[:, None])
    return normals
