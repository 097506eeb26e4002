"""Materials: reflection, print and light of the parts of a body, evaluated at ray hits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clipose_ros.data.synthetic.assets.mesh import BODY, Mesh
from clipose_ros.data.synthetic.assets.prints import Print
from clipose_ros.data.synthetic.assets.textures import Texture, is_metal
from clipose_ros.types import FloatArray

_PARTS = 16
"""Upper bound of part numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Reflection and print of one part of a body.

    Attributes:
        gloss: Strength of reflections, from 0 (matt) to 1 (polished).
        roughness: Blur of reflections, from 0 (mirror) to 1.
        colour: ``(3,)`` linear albedo, or None for the colours of the mesh.
        metallic: True for metal; faces in the colour of bare metal are metal in any case.
        emission: Share of the albedo that is light of the surface itself, as of a screen.
        transmission: Share of the light that passes through the surface, tinted by its albedo; print stops it.
        textured: Strength of the body's procedural texture, from 0 to 1.
        prints: Images on the surface, the lowest first.
    """

    gloss: float = 0.4
    roughness: float = 0.22
    colour: FloatArray | None = None
    metallic: bool = False
    emission: float = 0.0
    transmission: float = 0.0
    textured: float = 1.0
    prints: tuple[Print, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Surfaces of a body by part number; parts without one are like ``BODY``."""

    surface_by_part: Mapping[int, Surface] = field(default_factory=lambda: {BODY: Surface()})

    @property
    def is_clear(self) -> bool:
        """Return True if light passes through some of the surfaces."""
        return any(surface.transmission > 0.0 for surface in self.surface_by_part.values())

    def get_surface(self, part: int) -> Surface:
        """Return the surface of a part."""
        return self.surface_by_part.get(part, self.surface_by_part[BODY])


PLAIN_MATERIAL = Material()
"""Material of bodies without print, such as walls."""


@dataclass(frozen=True, slots=True, eq=False)
class BodyFrame:
    """The frame of a body's texture and print.

    Attributes:
        texture: Procedural texture of the body.
        T_world_body: ``(4, 4)`` pose of the frame, metres.
        material: Material of the body.
    """

    texture: Texture
    T_world_body: FloatArray
    material: Material

    def paint(
        self, surface: Surface, colours: FloatArray, points: FloatArray, normals: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return albedo ``(M, 3)`` and the opacity of print ``(M,)``.

        Args:
            surface: A surface of the body.
            colours: ``(M, 3)`` linear albedo of the mesh.
            points: ``(M, 3)`` points in the world frame, metres.
            normals: ``(M, 3)`` unit normals in the world frame.
        """
        albedo = colours if surface.colour is None else np.broadcast_to(np.float32(surface.colour), colours.shape)
        covered = np.zeros(len(colours), np.float32)
        has_texture = surface.textured > 0.0 and self.texture.kind != "plain"
        if not has_texture and not surface.prints:
            return albedo, covered
        R, t = self.T_world_body[:3, :3].astype(np.float32), self.T_world_body[:3, 3].astype(np.float32)
        # R^T (p - t) is the point in the frame of the body, with which texture and print move.
        points, normals = (points - t) @ R, normals @ R
        if has_texture:
            factor = 1.0 + surface.textured * (self.texture.factor(points) - 1.0)
            # Bare metal has no pattern.
            factor = np.where(is_metal(colours), 1.0, np.clip(factor, 0.0, 1.4))
            albedo = albedo * factor.astype(np.float32)[:, None]
        for image in surface.prints:
            printed, opacity = image.sample(points, normals)
            albedo = albedo + opacity[:, None] * (printed - albedo)
            covered = np.maximum(covered, opacity)
        return albedo, covered


class MeshColours:
    """Albedo of the meshes of a scene at ray hits, before procedural texture and print.

    Args:
        meshes: Meshes in the order of their body numbers.
    """

    def __init__(self, meshes: Sequence[Mesh]) -> None:
        self.faces = np.concatenate([mesh.colours for mesh in meshes]).astype(np.float32)
        """``(F, 3)`` linear albedo of the faces of all meshes."""
        first = np.cumsum([0] + [len(mesh.faces) for mesh in meshes[:-1]]).tolist()
        self._textures = [
            (body, start, mesh.texture)
            for body, (start, mesh) in enumerate(zip(first, meshes, strict=True))
            if mesh.texture is not None
        ]

    def sample(self, body: NDArray[np.integer], face: NDArray[np.integer], weights: FloatArray) -> FloatArray:
        """Return the linear albedo ``(N, 3)`` of hits.

        Args:
            body: ``(N,)`` body numbers.
            face: ``(N,)`` numbers of the faces, counted over all meshes.
            weights: ``(N, 3)`` barycentric weights of the faces' corners.
        """
        colours: FloatArray = self.faces[face]
        for number, start, texture in self._textures:
            hit = np.flatnonzero(body == number)
            colours[hit] = texture.sample(face[hit] - start, weights[hit])
        return colours


def group_by_surface(
    bodies: Sequence[BodyFrame], body: NDArray[np.integer], part: NDArray[np.integer]
) -> Iterator[tuple[BodyFrame, Surface, NDArray[np.intp]]]:
    """Yield body, surface and the indices of the hits on it, for hits with the body and part numbers ``(N,)``."""
    # Numbers of 16 bits are sorted in linear time.
    key = (body * _PARTS + part).astype(np.uint16 if len(bodies) * _PARTS <= 1 << 16 else np.int64)
    order = np.argsort(key, kind="stable")
    found = key[order]
    start = np.flatnonzero(found[1:] != found[:-1]) + 1
    for index in np.split(order, start) if len(order) else ():
        number = int(key[index[0]])
        frame = bodies[number // _PARTS]
        yield frame, frame.material.get_surface(number % _PARTS), index
