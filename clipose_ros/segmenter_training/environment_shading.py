"""Shading of ray hits by an environment: printed albedo, soft shadows, glossy and metallic reflections.

For a hit with unit normal n, unit view ray v, albedo a and the light directions d_k, which are drawn in proportion to
the light that comes from them::

    visible = sum_k max(n . d_k, 0) V_k / sum_k max(n . d_k, 0)            V_k = 1 if the shadow ray reaches the sky
    diffuse = a * (E(n) / pi * visible + BOUNCE * (1 - visible))
    F       = F0 + (1 - F0) (1 - abs(n . v))^5                              Schlick; F0 = 0.04, or a for metal
    linear  = (1 - F) (1 - metallic) * diffuse + F * gloss * L(reflect(v, n), roughness) * (0.3 + 0.7 visible)

A screen shows ``emission * a`` instead of that share of its diffuse light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.data.synthetic.assets.textures import Texture, is_metal
from clipose_ros.data.synthetic.materials import BodyFrame, Material, MeshColours, group_by_surface
from clipose_ros.data.synthetic.raycast import build_embree_scene, find_intersections
from clipose_ros.data.synthetic.scenes import Light
from clipose_ros.data.synthetic.shading import SRGB_TABLE, RayHits, compute_corner_normals, make_ray_hits, reflectance
from clipose_ros.segmenter_training.environment import Environment
from clipose_ros.types import ByteArray, FloatArray

BOUNCE = 0.22
"""Light that shadowed surfaces receive from their surroundings, relative to a white surface in the open."""
LIGHT_DIRECTIONS = 64
"""Number of light directions of an image, from which each pixel takes its shadow rays."""


class EnvironmentShader:
    """Colour of the surfaces of one scene in an environment.

    Args:
        environment: The light.
        materials: Material of each mesh.
        rng: Random generator of the light directions.
        exposure: Factor of the radiance before it is clipped and encoded.
    """

    def __init__(
        self,
        environment: Environment,
        materials: Sequence[Material],
        rng: np.random.Generator,
        exposure: float = 0.8,
    ) -> None:
        self._environment, self._materials, self._exposure = environment, materials, exposure
        self._lights = environment.draw_light_directions(rng, LIGHT_DIRECTIONS)
        self._bodies: list[BodyFrame] = []

    def attach(
        self, meshes: Sequence[Mesh], textures: Sequence[tuple[Texture, FloatArray]], _: Light, scene: EmbreeScene
    ) -> EnvironmentShader:
        """Take over the surfaces of the scene; this is the ``ShaderFactory`` of a renderer."""
        self._colours = MeshColours(meshes)
        self._metal = is_metal(self._colours.faces)
        self._parts = np.concatenate([mesh.parts for mesh in meshes])
        self._normals = np.concatenate([compute_corner_normals(mesh) for mesh in meshes]).astype(np.float32)
        self._bodies = [BodyFrame(*placed, own) for placed, own in zip(textures, self._materials, strict=True)]
        self._scene = scene
        opaque = [k for k, own in enumerate(self._materials) if not own.is_clear]
        self._opaque = _OpaqueScene.build(meshes, opaque) if len(opaque) < len(meshes) else None
        return self

    def shade(self, hits: RayHits, shadow_rays: int) -> ByteArray:
        """Compute sRGB colours ``(N, 3)`` uint8."""
        return encode(self._compute_radiance(hits, shadow_rays) * self._exposure)

    def _compute_radiance(self, hits: RayHits, shadow_rays: int) -> FloatArray:
        """Compute the radiance ``(N, 3)`` of hits."""
        normals = np.einsum("ij,ijk->ik", hits.weights, self._normals[hits.face])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        # Interpolated normals may face away from the camera near silhouettes.
        normals *= np.sign(np.einsum("ij,ij->i", normals, hits.normals))[:, None]
        rays = hits.rays / np.linalg.norm(hits.rays, axis=1, keepdims=True)
        visible = (
            self._compute_visibility(hits, normals, shadow_rays) if shadow_rays else np.ones(len(rays), np.float32)
        )
        colours = self._colours.sample(hits.body, hits.face, hits.weights)
        linear: FloatArray = np.empty_like(normals)
        for body, surface, i in group_by_surface(self._bodies, hits.body, self._parts[hits.face]):
            face, clear = hits.face[i], visible[i, None]
            albedo, covered = body.paint(surface, colours[i], hits.points[i], normals[i])
            albedo = np.clip(albedo, 0.0, 0.95)
            light = self._environment.irradiance(normals[i]) * clear + BOUNCE * (1.0 - clear)
            metal = (self._metal[face] | surface.metallic)[:, None]
            fresnel = reflectance(np.where(metal, albedo, np.float32(0.04)), normals[i], rays[i])
            strength = np.where(metal, 1.0, surface.gloss) * fresnel * (0.3 + 0.7 * clear)
            diffuse = np.where(metal, 0.12, (1.0 - fresnel) * (1.0 - surface.emission)) * albedo * light
            if surface.transmission > 0.0 and self._opaque is not None:
                # Light that leaves at a flat angle has passed more of the wall.
                path = 1.0 / np.maximum(np.abs(np.einsum("ij,ij->i", normals[i], rays[i])), 0.2)
                through = albedo ** path[:, None] * self._look_through(self._opaque, hits, i)
                share = surface.transmission * (1.0 - covered)[:, None]
                diffuse = (1.0 - share) * diffuse + share * (1.0 - fresnel) * through
            mirrored = self._reflect(normals[i], rays[i], surface.roughness)
            linear[i] = diffuse + surface.emission * albedo + strength * mirrored
        return linear

    def _look_through(self, opaque: _OpaqueScene, hits: RayHits, index: NDArray[np.intp]) -> FloatArray:
        """Return the radiance ``(M, 3)`` behind some of the hits, as if all clear bodies were absent."""
        origins, rays = hits.points[index], hits.rays[index]
        radiance = self._environment.radiance(rays / np.linalg.norm(rays, axis=1, keepdims=True))
        behind, which = opaque.cast(origins, rays, hits.turn[index])
        if len(which):
            radiance[which] = self._compute_radiance(behind, 2)
        return radiance

    def background(self, directions: FloatArray) -> ByteArray:
        """Return the sRGB colours ``(N, 3)`` of the environment in directions ``(N, 3)``."""
        return encode(self._environment.radiance(directions) * self._exposure)

    def _reflect(self, normals: FloatArray, rays: FloatArray, roughness: float) -> FloatArray:
        """Return the radiance ``(N, 3)`` in the mirrored directions of unit rays ``(N, 3)``."""
        mirrored = rays - 2.0 * np.einsum("ij,ij->i", rays, normals)[:, None] * normals
        # Reflections from below show the table rather than the panorama.
        below = np.clip(-4.0 * mirrored[:, 2:], 0.0, 1.0)
        radiance: FloatArray = self._environment.radiance(mirrored, roughness) * (1.0 - below) + 0.25 * below
        return radiance

    def _compute_visibility(self, hits: RayHits, normals: FloatArray, count: int) -> FloatArray:
        """Compute the visible share of the light ``(N,)``; each pixel takes other light directions."""
        points = (hits.points + np.float32(2e-4) * hits.normals).astype(np.float32)
        start = (hits.turn / np.float32(2 * np.pi) * LIGHT_DIRECTIONS).astype(np.int64)
        received, possible = np.zeros(len(points), np.float32), np.full(len(points), 1e-3, np.float32)
        for k in range(count):
            directions = self._lights[(start + k * LIGHT_DIRECTIONS // count) % LIGHT_DIRECTIONS]
            cosine = np.maximum(np.einsum("ij,ij->i", normals, directions), 0.0)
            far = np.full(len(points), 3.0, np.float32)  # walls are part of the panorama
            clear = self._scene.run(points, directions, far, query="OCCLUDED") < 0
            received += cosine * clear
            possible += cosine
        return received / possible


@dataclass(frozen=True, slots=True, eq=False)
class _OpaqueScene:
    """The bodies of a scene that are not clear.

    Attributes:
        scene: Embree scene of these bodies.
        bodies: Their numbers in the whole scene.
        first_face: Number of the first face of each mesh of the whole scene.
    """

    scene: EmbreeScene
    bodies: NDArray[np.intp]
    first_face: NDArray[np.integer]

    @classmethod
    def build(cls, meshes: Sequence[Mesh], opaque: Sequence[int]) -> _OpaqueScene | None:
        """Build the scene of the bodies with the given numbers, or return None if there are none."""
        first_face = np.cumsum([0] + [len(mesh.faces) for mesh in meshes[:-1]])
        numbers = np.array(opaque, dtype=np.intp)
        return cls(build_embree_scene([meshes[k] for k in opaque]), numbers, first_face) if opaque else None

    def cast(self, origins: FloatArray, rays: FloatArray, turn: FloatArray) -> tuple[RayHits, NDArray[np.intp]]:
        """Return the hits of rays ``(M, 3)``, and the indices of the rays that hit."""
        found = find_intersections(self.scene, origins.astype(np.float32), rays.astype(np.float32))
        found = replace(found, body=self.bodies[found.body])
        which = found.rays
        return make_ray_hits(found, origins[which], rays[which], turn[which], self.first_face), which


def encode(linear: FloatArray) -> ByteArray:
    """Encode linear radiance as sRGB uint8; values above 0.8 are compressed like those of a camera."""
    bright = np.maximum(linear - 0.8, 0.0)
    soft = np.minimum(linear, 0.8) + 0.2 * (1.0 - np.exp(-bright / 0.2))
    encoded: ByteArray = SRGB_TABLE[(np.clip(soft, 0.0, 1.0) * (len(SRGB_TABLE) - 1) + 0.5).astype(np.uint16)]
    return encoded
