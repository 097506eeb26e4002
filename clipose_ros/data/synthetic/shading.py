"""Shading of ray hits: printed albedo, one lamp with soft shadows, ambient light, highlights and reflections of a room.

For a hit with unit normal n, unit direction l and distance d to the lamp, unit view direction v and albedo a::

    diffuse   = visible * max(n . l, 0) * 2 / max(d, 1)                      share of the lamp's light
    specular  = HIGHLIGHT * gloss * max(n . h, 0)^s * min(3 diffuse, 1)      Blinn-Phong, h = (l + v) / |l + v|
    ambient_n = (0.62 + 0.38 n_z) * ambient                                  brighter from above
    linear    = a * (ambient_n + diffuse * lamp) + specular * lamp           then gamma 2.2

with the exponent s = 2 / roughness^2 - 2. Polished and metal surfaces reflect the room besides::

    F       = F0 + (1 - F0) (1 - abs(n . v))^5                               Schlick; F0 = 0.04, or a for metal
    linear += F * gloss * room(reflect(v, n))                                a metal keeps a fifth of its diffuse light

and a screen shows ``emission * a`` instead of that share of its reflected light. ``visible`` is the share of sample
points on the lamp's disc that shadow rays reach. The room is light above, dark at the horizon, with two tall windows
beside the lamp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.data.synthetic.assets.textures import Texture, is_metal
from clipose_ros.data.synthetic.materials import PLAIN_MATERIAL, BodyFrame, Material, MeshColours, group_by_surface
from clipose_ros.data.synthetic.raycast import Intersections
from clipose_ros.data.synthetic.scenes import Light
from clipose_ros.types import ByteArray, FloatArray

SMOOTH_COS = 0.82
"""Corners are shaded smoothly if the cosine between face normal and mean normal of the vertex exceeds this."""
HIGHLIGHT = 0.45
"""Strength of the highlight of a polished surface."""
POLISHED_GLOSS = 0.5
"""Gloss from which a surface reflects the room."""
WINDOWS = np.radians([-50.0, 110.0])
"""Azimuths of the windows of the room relative to the lamp, radians."""
SRGB_TABLE = (255.0 * np.linspace(0.0, 1.0, 4096) ** (1.0 / 2.2) + 0.5).astype(np.uint8)
"""``(4096,)`` uint8 gamma-encoded values of linear light from 0 to 1."""
GOLDEN_ANGLE = 2.39996
"""Angle between consecutive sample points on the lamp, radians; the golden angle spreads them evenly."""


@dataclass(frozen=True, slots=True, eq=False)
class RayHits:
    """Intersections of N rays with a scene.

    Attributes:
        points: ``(N, 3)`` intersection points, metres, world frame.
        rays: ``(N, 3)`` ray directions, world frame.
        body: ``(N,)`` index of the mesh.
        face: ``(N,)`` index of the face, counted over all meshes.
        weights: ``(N, 3)`` barycentric weights of the face's corners.
        normals: ``(N, 3)`` unit face normals, towards the ray's origin.
        turn: ``(N,)`` rotation of the lamp's sample points, radians; it varies between pixels.
    """

    points: FloatArray
    rays: FloatArray
    body: NDArray[np.integer]
    face: NDArray[np.integer]
    weights: FloatArray
    normals: FloatArray
    turn: FloatArray


def make_ray_hits(
    found: Intersections, origins: FloatArray, rays: FloatArray, turn: FloatArray, first_face: NDArray[np.integer]
) -> RayHits:
    """Convert M intersections to the input of a shader.

    Args:
        found: The intersections.
        origins: ``(M, 3)`` origins of their rays, world frame, metres.
        rays: ``(M, 3)`` directions of their rays, world frame.
        turn: ``(M,)`` rotation of the lamp's sample points, radians.
        first_face: Number of the first face of each mesh, counted over all meshes.
    """
    normals = _normalize(found.normals)
    return RayHits(
        points=origins + rays * found.distance[:, None],
        rays=rays,
        body=found.body,
        face=first_face[found.body] + found.face,
        weights=np.stack([1.0 - found.u - found.v, found.u, found.v], axis=1),
        normals=np.where(_dot(normals, rays)[:, None] > 0.0, -normals, normals),
        turn=turn,
    )


class SurfaceShader(Protocol):
    """Source of the colours of ray hits."""

    def shade(self, hits: RayHits, shadow_rays: int) -> ByteArray:
        """Compute sRGB colours ``(N, 3)`` uint8 with a number of shadow rays per hit."""
        ...


ShaderFactory = Callable[[Sequence[Mesh], Sequence[tuple[Texture, FloatArray]], Light, EmbreeScene], SurfaceShader]
"""Function that makes the shader of a scene from its meshes in the world frame, textures, lamp and Embree scene."""


class Shader:
    """Colour of the surfaces of one scene under its lamp.

    Args:
        meshes: Meshes in the world frame.
        textures: Texture of each mesh and ``T_world_body``, the pose of the frame in which texture and print are fixed.
        light: The lamp.
        scene: Embree scene of the meshes, for shadow rays.
        materials: Material of each mesh; plain ones if left out.
    """

    def __init__(
        self,
        meshes: Sequence[Mesh],
        textures: Sequence[tuple[Texture, FloatArray]],
        light: Light,
        scene: EmbreeScene,
        materials: Sequence[Material] = (),
    ) -> None:
        self._colours = MeshColours(meshes)
        self._metal = is_metal(self._colours.faces)
        self._parts = np.concatenate([mesh.parts for mesh in meshes])
        self._normals = np.concatenate([compute_corner_normals(mesh) for mesh in meshes]).astype(np.float32)
        materials = materials or [PLAIN_MATERIAL] * len(meshes)
        self._bodies = [BodyFrame(*placed, material) for placed, material in zip(textures, materials, strict=True)]
        self._light = light
        self._scene = scene

    def shade(self, hits: RayHits, shadow_rays: int) -> ByteArray:
        """Compute sRGB colours ``(N, 3)`` uint8.

        Args:
            hits: The surface points to shade.
            shadow_rays: Number of shadow rays per hit; 0 casts no shadows.
        """
        light = self._light
        lamp, ambient = light.colour.astype(np.float32), light.ambient.astype(np.float32)
        normals = _normalize(np.einsum("ij,ijk->ik", hits.weights, self._normals[hits.face]))
        # Interpolated normals may face away from the camera near silhouettes.
        normals *= np.sign(_dot(normals, hits.normals))[:, None]
        to_light = light.position.astype(np.float32) - hits.points
        distance = np.sqrt(_dot(to_light, to_light))
        to_light /= distance[:, None]
        diffuse = np.clip(_dot(normals, to_light), 0.0, None) * 2.0 / np.maximum(distance, 1.0)
        if shadow_rays > 0:
            diffuse *= self._compute_lamp_visibility(hits, diffuse > 0, shadow_rays)
        rays = _normalize(hits.rays)
        highlight = np.clip(_dot(normals, _normalize(to_light - rays)), 0.0, 1.0)
        facing = HIGHLIGHT * np.minimum(3.0 * diffuse, 1.0)
        received = (0.62 + 0.38 * normals[:, 2:]) * ambient + diffuse[:, None] * lamp
        colours = self._colours.sample(hits.body, hits.face, hits.weights)
        linear = np.empty_like(received)
        for body, surface, i in group_by_surface(self._bodies, hits.body, self._parts[hits.face]):
            face = hits.face[i]
            albedo, _ = body.paint(surface, colours[i], hits.points[i], normals[i])
            specular = surface.gloss * facing[i] * highlight[i] ** np.float32(2.0 / surface.roughness**2 - 2.0)
            metal = self._metal[face] | surface.metallic
            lit = albedo * received[i] * np.where(metal, 0.2, 1.0 - surface.emission).astype(np.float32)[:, None]
            linear[i] = lit + specular[:, None] * lamp + np.float32(surface.emission) * albedo
            if surface.gloss >= POLISHED_GLOSS or metal.any():
                f0 = np.where(metal[:, None], albedo, np.float32(0.04))
                strength = np.where(metal, 1.0, surface.gloss).astype(np.float32)
                mirrored = _reflect_room(normals[i], rays[i], light, surface.roughness)
                linear[i] += strength[:, None] * reflectance(f0, normals[i], rays[i]) * mirrored
        srgb: ByteArray = SRGB_TABLE[(np.clip(linear, 0.0, 1.0) * (len(SRGB_TABLE) - 1) + 0.5).astype(np.uint16)]
        return srgb

    def _compute_lamp_visibility(self, hits: RayHits, facing: NDArray[np.bool_], count: int) -> FloatArray:
        """Compute the visible share of the lamp's disc, ``(N,)``, from ``count`` shadow rays per facing hit.

        The sample points form a spiral on the disc: point k lies at radius sqrt((k + 0.5) / count) and angle
        k * GOLDEN_ANGLE. Each pixel rotates the spiral by its own angle, so that the penumbra is dithered rather than
        banded.
        """
        light = self._light
        # Two vectors across the direction to the table span the disc; the constant vector is arbitrary.
        side = np.cross(light.position, [0.3, 0.5, 0.81])
        side /= np.linalg.norm(side)
        other = np.cross(light.position, side) / np.linalg.norm(light.position)
        disc = light.radius_m * np.stack([side, other]).astype(np.float32)
        # 0.2 mm off the surface: a ray from the surface itself could hit its own face
        points = hits.points[facing] + np.float32(2e-4) * hits.normals[facing]
        to_light, turn = light.position.astype(np.float32) - points, hits.turn[facing]
        far = np.ones(len(points), np.float32)  # rays end at the lamp: bodies beyond it cast no shadow
        visible = np.zeros(len(points), dtype=np.float32)
        for k in range(count):
            angle = turn + np.float32(GOLDEN_ANGLE * k)
            spot = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.float32(np.sqrt((k + 0.5) / count))
            visible += self._scene.run(points, to_light + spot @ disc, far, query="OCCLUDED") < 0
        share = np.ones(len(hits.points), dtype=np.float32)
        share[facing] = visible / count
        return share


def compute_corner_normals(mesh: Mesh) -> FloatArray:
    """Compute shading normals ``(F, 3, 3)`` of the corners of each face: smooth over flat edges, sharp at creases.

    Vertex normals are means of face normals weighted by area (the cross product's length). A corner takes the vertex
    normal if its cosine to the face normal exceeds ``SMOOTH_COS``, else the face normal.
    """
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


def reflectance(f0: FloatArray, normals: FloatArray, rays: FloatArray) -> FloatArray:
    """Return Schlick's reflectance ``(N, 3)`` from that at normal incidence ``(N, 3)``."""
    grazing: FloatArray = (1.0 - np.abs(_dot(normals, rays)))[:, None] ** 5
    return f0 + (1.0 - f0) * grazing


def _reflect_room(normals: FloatArray, rays: FloatArray, light: Light, roughness: float) -> FloatArray:
    """Return the light ``(N, 3)`` of the room in the mirrored directions of rays: ceiling, table and two windows."""
    mirrored = rays - 2.0 * _dot(rays, normals)[:, None] * normals
    up = mirrored[:, 2]
    ambient, lamp = light.ambient.astype(np.float32), light.colour.astype(np.float32)
    # Light from above, a dark horizon, and the table below.
    level = 0.15 + 1.1 * np.clip(up, 0.0, None) + 0.8 * np.clip(-2.0 * up, 0.0, 1.0)
    azimuth = np.arctan2(mirrored[:, 1], mirrored[:, 0]) - np.float32(np.arctan2(light.position[1], light.position[0]))
    blur = np.float32(0.18 + roughness)
    window = sum(np.exp((np.cos(azimuth - np.float32(w)) - 1.0) / (0.5 * blur * blur)) for w in WINDOWS)
    upright = np.clip(1.0 - ((up - 0.35) / (0.4 + roughness)) ** 2, 0.0, 1.0)
    bright = (window * upright * np.float32(0.7 / (0.3 + roughness)))[:, None]
    room: FloatArray = level[:, None] * ambient + bright * lamp
    return room


def _dot(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return dot products ``(N,)`` of vectors ``(N, 3)``."""
    product: FloatArray = np.einsum("ij,ij->i", a, b)
    return product


def _normalize(vectors: FloatArray) -> FloatArray:
    """Scale vectors ``(N, 3)`` to unit length."""
    unit: FloatArray = vectors / np.maximum(np.sqrt(_dot(vectors, vectors)), 1e-9)[:, None]
    return unit
