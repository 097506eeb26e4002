"""Colour of what a ray meets: textured albedo under a lamp with soft shadow, light from all around, a highlight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.data.synthetic.assets.textures import Texture
from clipose_ros.data.synthetic.scenes import Light
from clipose_ros.types import ByteArray, FloatArray

SMOOTH_COS = 0.82
"""Edges flatter than this (cosine of the angle between a face and its neighbours' mean) are shaded smoothly."""
GLOSS = 0.18
"""Strength of highlights."""
SHININESS = 40
"""Their sharpness."""
_SRGB = (255.0 * np.linspace(0.0, 1.0, 4096) ** (1.0 / 2.2) + 0.5).astype(np.uint8)
GOLDEN_ANGLE = 2.39996
"""Radians between the lamp's sample points, which spreads them evenly."""


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Where N rays met the scene.

    Attributes:
        points: ``(N, 3)`` metres, world.
        rays: ``(N, 3)`` directions of the rays.
        body: ``(N,)`` which body.
        face: ``(N,)`` which face, counted over all bodies.
        weights: ``(N, 3)`` barycentric weights of the face's corners.
        normals: ``(N, 3)`` unit normals of the faces, towards the ray's origin.
        turn: ``(N,)`` radians, differs from pixel to pixel.
    """

    points: FloatArray
    rays: FloatArray
    body: NDArray[np.integer]
    face: NDArray[np.integer]
    weights: FloatArray
    normals: FloatArray
    turn: FloatArray


class Shader:
    """Knows the surfaces and the lamp of one scene.

    Args:
        meshes: Bodies in the world frame.
        textures: Pattern of each, with the pose of the body whose frame it is fixed to.
        light: The lamp.
        scene: For shadow rays.
    """

    def __init__(
        self,
        meshes: Sequence[Mesh],
        textures: Sequence[tuple[Texture, FloatArray]],
        light: Light,
        scene: EmbreeScene,
    ) -> None:
        self._colours = np.concatenate([mesh.colours for mesh in meshes]).astype(np.float32)
        self._normals = np.concatenate([corner_normals(mesh) for mesh in meshes]).astype(np.float32)
        self._textures = textures
        self._light = light
        self._scene = scene

    def shade(self, hits: Hits, shadow_rays: int) -> ByteArray:
        """Colours ``(N, 3)`` uint8, sRGB.

        Args:
            hits: What to colour.
            shadow_rays: Rays towards the lamp for each; 0 casts no shadows.
        """
        light, lamp, ambient = self._light, *(v.astype(np.float32) for v in (self._light.colour, self._light.ambient))
        normals = _unit(np.einsum("ij,ijk->ik", hits.weights, self._normals[hits.face]))
        normals *= np.sign(_dot(normals, hits.normals))[:, None]
        to_light = light.position.astype(np.float32) - hits.points
        reach = np.sqrt(_dot(to_light, to_light))
        to_light /= reach[:, None]
        lit = np.clip(_dot(normals, to_light), 0.0, None) * 2.0 / np.maximum(reach, 1.0)
        if shadow_rays > 0:
            lit *= self._light_share(hits, lit > 0, shadow_rays)
        half = _unit(to_light - _unit(hits.rays))
        shine = GLOSS * np.clip(_dot(normals, half), 0.0, 1.0) ** SHININESS * np.minimum(3.0 * lit, 1.0)
        albedo = self._colours[hits.face] * self._patterns(hits)[:, None]
        around = (0.62 + 0.38 * normals[:, 2:]) * ambient
        linear = albedo * (around + lit[:, None] * lamp) + shine[:, None] * lamp
        srgb: ByteArray = _SRGB[(np.clip(linear, 0.0, 1.0) * (len(_SRGB) - 1) + 0.5).astype(np.uint16)]
        return srgb

    def _patterns(self, hits: Hits) -> FloatArray:
        """Texture factors ``(N,)``, each in its body's own frame."""
        factor = np.ones(len(hits.points), dtype=np.float32)
        for body in np.unique(hits.body):
            texture, T = self._textures[body]
            if texture.kind != "plain":
                here = hits.body == body
                factor[here] = texture.factor((hits.points[here] - T[:3, 3]) @ T[:3, :3])
        clipped: FloatArray = np.clip(factor, 0.0, 1.4)
        return clipped

    def _light_share(self, hits: Hits, facing: NDArray[np.bool_], count: int) -> FloatArray:
        """Share of the lamp ``(N,)`` seen; its sample points are turned from pixel to pixel to dither the penumbra."""
        light = self._light
        side = np.cross(light.position, [0.3, 0.5, 0.81])
        side /= np.linalg.norm(side)
        other = np.cross(light.position, side) / np.linalg.norm(light.position)
        disc = light.radius_m * np.stack([side, other]).astype(np.float32)
        points = hits.points[facing] + np.float32(2e-4) * hits.normals[facing]
        to_light, turn = light.position.astype(np.float32) - points, hits.turn[facing]
        far = np.ones(len(points), np.float32)  # what lies beyond the lamp casts no shadow
        seen = np.zeros(len(points), dtype=np.float32)
        for k in range(count):
            angle = turn + np.float32(GOLDEN_ANGLE * k)
            spot = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.float32(np.sqrt((k + 0.5) / count))
            seen += self._scene.run(points, to_light + spot @ disc, far, query="OCCLUDED") < 0
        share = np.ones(len(hits.points), dtype=np.float32)
        share[facing] = seen / count
        return share


def corner_normals(mesh: Mesh) -> FloatArray:
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


def _dot(a: FloatArray, b: FloatArray) -> FloatArray:
    product: FloatArray = np.einsum("ij,ij->i", a, b)
    return product


def _unit(vectors: FloatArray) -> FloatArray:
    unit: FloatArray = vectors / np.maximum(np.sqrt(_dot(vectors, vectors)), 1e-9)[:, None]
    return unit
