"""Shading of ray hits by an environment: printed albedo, soft shadows, glossy and metallic reflections.

For a hit with unit normal n, unit view ray v, albedo a and the light directions d_k, which are drawn in proportion to
the light that comes from them::

    visible = sum_k max(n . d_k, 0) V_k / sum_k max(n . d_k, 0)            V_k = 1 if the shadow ray reaches the sky
    diffuse = a * (E(n) / pi * visible + BOUNCE * (1 - visible))
    F       = F0 + (1 - F0) (1 - abs(n . v))^5                              Schlick; F0 = 0.04, or a for metal
    linear  = (1 - F) (1 - metallic) * diffuse + F * gloss * L(reflect(v, n), roughness) * (0.3 + 0.7 visible)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from embreex.rtcore_scene import EmbreeScene

from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.data.synthetic.assets.textures import Texture, is_metal
from clipose_ros.data.synthetic.scenes import Light
from clipose_ros.data.synthetic.shading import SRGB_TABLE, RayHits, compute_corner_normals
from clipose_ros.segmenter_training.environment import Environment
from clipose_ros.segmenter_training.printed_labels import draw_cover, draw_label
from clipose_ros.types import BoolArray, ByteArray, FloatArray

BOUNCE = 0.22
"""Light that shadowed surfaces receive from their surroundings, relative to a white surface in the open."""
LIGHT_DIRECTIONS = 64
"""Number of light directions of an image, from which each pixel takes its shadow rays."""
LABEL_PROBABILITY = {"bottle": 0.7, "bowl": 0.15, "can": 0.92, "mug": 0.35}
"""Probability of a printed label by category."""


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Reflection of a body, and its print.

    Attributes:
        gloss: Strength of reflections, from 0 (matt) to 1 (polished).
        roughness: Blur of reflections in [0, 1].
        image: ``(H, W, 3)`` linear albedo of the print, or None.
        wrapped: True if the print is wrapped around the y axis of the body; else it covers each side.
        window: Smallest and largest height of a wrapped print, as fractions of the body's height.
        turns: Share of the circumference that a wrapped print covers.
        side_m: Side of a print that covers each side, metres.
    """

    gloss: float = 0.3
    roughness: float = 0.5
    image: FloatArray | None = field(default=None, repr=False)
    wrapped: bool = False
    window: tuple[float, float] = (0.0, 1.0)
    turns: float = 1.0
    side_m: float = 0.3


def random_object_material(rng: np.random.Generator, category: str) -> Material:
    """Draw the material of an object of a category."""
    gloss, roughness = float(rng.uniform(0.1, 1.0)), float(rng.uniform(0.15, 0.9))
    if rng.uniform() >= LABEL_PROBABILITY.get(category, 0.0):
        return Material(gloss, roughness)
    if category == "can":
        low, high, turns = rng.uniform(0.0, 0.08), rng.uniform(0.92, 1.0), 1.0
    else:
        low, high, turns = rng.uniform(0.05, 0.45), rng.uniform(0.5, 0.95), float(rng.choice([1.0, 1.0, 0.3, 0.5]))
    return Material(gloss, roughness, draw_label(rng), True, (float(low), float(max(high, low + 0.1))), turns)


def random_prop_material(rng: np.random.Generator, printed: float) -> Material:
    """Draw the material of a prop, printed with a given probability."""
    gloss, roughness = float(rng.uniform(0.0, 0.7)), float(rng.uniform(0.4, 1.0))
    image = draw_cover(rng) if rng.uniform() < printed else None
    return Material(gloss, roughness, image, side_m=float(np.exp(rng.uniform(np.log(0.08), np.log(0.6)))))


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
        self._bodies: list[_Body] = []

    def attach(
        self, meshes: Sequence[Mesh], textures: Sequence[tuple[Texture, FloatArray]], _: Light, scene: EmbreeScene
    ) -> EnvironmentShader:
        """Take over the surfaces of the scene; this is the ``ShaderFactory`` of a renderer."""
        self._colours = np.concatenate([mesh.colours for mesh in meshes]).astype(np.float32)
        self._metal = is_metal(self._colours)
        self._normals = np.concatenate([compute_corner_normals(mesh) for mesh in meshes]).astype(np.float32)
        self._scene = scene
        for mesh, (texture, T), material in zip(meshes, textures, self._materials, strict=True):
            height = (mesh.vertices - T[:3, 3]) @ T[:3, 1]
            self._bodies.append(_Body(texture, T, material, float(height.min()), float(np.ptp(height))))
        return self

    def shade(self, hits: RayHits, shadow_rays: int) -> ByteArray:
        """Compute sRGB colours ``(N, 3)`` uint8."""
        normals = np.einsum("ij,ijk->ik", hits.weights, self._normals[hits.face])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        # Interpolated normals may face away from the camera near silhouettes.
        normals *= np.sign(np.einsum("ij,ij->i", normals, hits.normals))[:, None]
        rays = hits.rays / np.linalg.norm(hits.rays, axis=1, keepdims=True)
        metal = self._metal[hits.face]
        albedo, gloss, mirrored = self._evaluate_bodies(hits, normals, rays, metal)
        visible = self._compute_visibility(hits, normals, shadow_rays)[:, None] if shadow_rays else np.float32(1.0)
        diffuse = albedo * (self._environment.irradiance(normals) * visible + BOUNCE * (1.0 - visible))
        f0 = np.where(metal[:, None], albedo, np.float32(0.04))
        grazing = (1.0 - np.abs(np.einsum("ij,ij->i", normals, rays)))[:, None] ** 5
        fresnel = f0 + (1.0 - f0) * grazing
        strength = np.where(metal, 1.0, gloss)[:, None] * fresnel * (0.3 + 0.7 * visible)
        linear = np.where(metal[:, None], 0.12, 1.0 - fresnel) * diffuse + strength * mirrored
        return encode(linear * self._exposure)

    def background(self, directions: FloatArray) -> ByteArray:
        """Return the sRGB colours ``(N, 3)`` of the environment in directions ``(N, 3)``."""
        return encode(self._environment.radiance(directions) * self._exposure)

    def _evaluate_bodies(
        self, hits: RayHits, normals: FloatArray, rays: FloatArray, metal: BoolArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return albedo ``(N, 3)``, gloss ``(N,)`` and mirrored radiance ``(N, 3)`` of the hits."""
        albedo = self._colours[hits.face]
        gloss = np.zeros(len(albedo), dtype=np.float32)
        mirrored = np.zeros_like(albedo)
        reflected = rays - 2.0 * np.einsum("ij,ij->i", rays, normals)[:, None] * normals
        for number in np.unique(hits.body):
            body, chosen = self._bodies[number], hits.body == number
            points = (hits.points[chosen] - body.T[:3, 3]) @ body.T[:3, :3]
            albedo[chosen] = body.paint(albedo[chosen], points, normals[chosen] @ body.T[:3, :3], metal[chosen])
            gloss[chosen] = body.material.gloss
            mirrored[chosen] = self._environment.radiance(reflected[chosen], body.material.roughness)
        # Reflections from below show the table rather than the panorama.
        below = np.clip(-4.0 * reflected[:, 2:], 0.0, 1.0)
        return albedo, gloss, mirrored * (1.0 - below) + 0.25 * below

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
class _Body:
    """A mesh of the scene with its texture, pose and material; height range along the y axis of its frame, metres."""

    texture: Texture
    T: FloatArray
    material: Material
    bottom: float
    height: float

    def paint(self, colours: FloatArray, points: FloatArray, normals: FloatArray, metal: BoolArray) -> FloatArray:
        """Return the albedo ``(N, 3)`` at points ``(N, 3)`` with normals ``(N, 3)`` in the body's frame."""
        image = self.material.image
        if image is None:
            factor = np.asarray(self.texture.factor(points), dtype=np.float32)
            return np.clip(colours * np.where(metal, 1.0, factor)[:, None], 0.0, 0.95)
        if not self.material.wrapped:
            return _sample(image, *_project_to_sides(points, normals, self.material.side_m))
        low, high = self.material.window
        u = (-np.arctan2(points[:, 2], points[:, 0]) / (2 * np.pi) % 1.0) / self.material.turns
        v = 1.0 - ((points[:, 1] - self.bottom) / max(self.height, 1e-6) - low) / (high - low)
        printed = (u < 1.0) & (v > 0.0) & (v < 1.0) & (np.abs(normals[:, 1]) < 0.75) & ~metal
        return np.where(printed[:, None], _sample(image, u, v), colours)


def _project_to_sides(points: FloatArray, normals: FloatArray, side_m: float) -> tuple[FloatArray, FloatArray]:
    """Return texture coordinates ``(N,)`` each, of the side that each normal faces."""
    axis = np.abs(normals).argmax(axis=1)
    first, second = np.array([2, 0, 0])[axis], np.array([1, 2, 1])[axis]
    rows = np.arange(len(points))
    # Seen from outside, letters read from left to right and are not upside down on upright sides.
    mirror = np.sign(normals[rows, axis]) * np.array([-1.0, 1.0, 1.0])[axis]
    down = np.where(axis == 1, 1.0, -1.0)
    return mirror * points[rows, first] / side_m + 0.5, down * points[rows, second] / side_m + 0.5


def _sample(image: FloatArray, u: FloatArray, v: FloatArray) -> FloatArray:
    """Sample an image that repeats in both directions at coordinates in units of its sides, ``(N, 3)``."""
    height, width = image.shape[:2]
    sampled: FloatArray = image[(v * height).astype(np.int64) % height, (u * width).astype(np.int64) % width]
    return sampled


def encode(linear: FloatArray) -> ByteArray:
    """Encode linear radiance as sRGB uint8; values above 0.8 are compressed like those of a camera."""
    bright = np.maximum(linear - 0.8, 0.0)
    soft = np.minimum(linear, 0.8) + 0.2 * (1.0 - np.exp(-bright / 0.2))
    encoded: ByteArray = SRGB_TABLE[(np.clip(soft, 0.0, 1.0) * (len(SRGB_TABLE) - 1) + 0.5).astype(np.uint16)]
    return encoded
