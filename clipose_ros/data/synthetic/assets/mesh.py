"""Triangle meshes and their construction: revolve, extrude, sweep, and concatenation of parts.

All generated meshes are closed (every edge belongs to two faces) with outward winding, so parts may overlap. Methods
that change a mesh return a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clipose_ros.data.synthetic.assets.profiles import make_rounded_rectangle, round_corners
from clipose_ros.data.synthetic.assets.texture_maps import TextureMap
from clipose_ros.errors import ShapeError
from clipose_ros.types import FloatArray

MM = 1e-3
"""Metres per millimetre; shape parameters are drawn in millimetres."""
BODY = 0
"""Part number of ordinary faces."""
HANDLE = 1
"""Part number of the faces of a mug's handle."""
INSIDE, LIQUID, CLOSURE = 2, 3, 4
"""Part numbers of the inner surface of a vessel, its contents, and its cap or lid."""
SCREEN, LID, LENS, BARREL, GRIP = 5, 6, 7, 8, 9
"""Part numbers of a laptop's screen and lid, and of a camera's front glass, lens and leather."""
PRINTED = 10
"""Part number of the printed faces of cartons and books."""


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A triangle mesh with one colour and one part number per face.

    Parts of a mesh and concatenated meshes have no texture.

    Attributes:
        vertices: ``(V, 3)`` float64, metres.
        faces: ``(F, 3)`` int32 vertex indices, counter-clockwise seen from outside.
        colours: ``(F, 3)`` float32, linear albedo in [0, 1].
        parts: ``(F,)`` int8 part numbers; all but ``HANDLE`` serve the colour image only.
        texture: Colours of points of the faces in colour images; None for ``colours``.
        is_closed: True if every edge belongs to two faces with outward winding, so that no face is seen from behind.
    """

    vertices: FloatArray
    faces: NDArray[np.int32]
    colours: FloatArray
    parts: NDArray[np.int8]
    texture: TextureMap | None = None
    is_closed: bool = True

    @classmethod
    def plain(cls, vertices: FloatArray, faces: NDArray[np.int32]) -> Mesh:
        """Create a mid-grey mesh of ordinary faces."""
        count = len(faces)
        return cls(
            np.asarray(vertices, dtype=np.float64),
            np.asarray(faces, dtype=np.int32),
            np.full((count, 3), 0.5, dtype=np.float32),
            np.full(count, BODY, dtype=np.int8),
        )

    @property
    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """Return the smallest and largest coordinates, ``(3,)`` each, metres."""
        return compute_column_bounds(self.vertices)

    @property
    def face_centres(self) -> FloatArray:
        """Return the centres of the faces' bounding boxes, ``(F, 3)``; the two halves of a quad share their height."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
        centres: FloatArray = (low + high) / 2.0
        return centres

    def painted(self, colour: FloatArray, where: NDArray[np.bool_] | None = None) -> Mesh:
        """Return the mesh with some or all of its faces in one colour.

        A mesh that is painted as a whole loses its texture. Otherwise the texture is kept and hides the colour.

        Args:
            colour: ``(3,)`` linear albedo.
            where: ``(F,)`` bool, the faces to paint; all by default.
        """
        colours = self.colours.copy()
        colours[slice(None) if where is None else where] = colour
        return replace(self, colours=colours, texture=None if where is None else self.texture)

    def with_part(self, part: int, where: NDArray[np.bool_] | None = None) -> Mesh:
        """Return the mesh with some or all of its faces, ``(F,)`` bool, in one part."""
        parts = self.parts.copy()
        parts[slice(None) if where is None else where] = part
        return replace(self, parts=parts)

    def select_part(self, part: int) -> Mesh:
        """Return the faces of one part with their vertices."""
        chosen = self.parts == part
        # Vertices of other parts are dropped, so that the bounds are those of the part.
        used, faces = np.unique(self.faces[chosen], return_inverse=True)
        corners = faces.reshape(-1, 3).astype(np.int32)
        return Mesh(self.vertices[used], corners, self.colours[chosen], self.parts[chosen], is_closed=False)

    def transformed(self, T: FloatArray) -> Mesh:
        """Return the mesh moved by a ``(4, 4)`` rigid transform."""
        return replace(self, vertices=self.vertices @ T[:3, :3].T + T[:3, 3])

    def translated(self, offset: Sequence[float] | FloatArray) -> Mesh:
        """Return the mesh moved by an offset ``(3,)``, metres."""
        return replace(self, vertices=self.vertices + np.asarray(offset))

    def scaled(self, factors: Sequence[float] | FloatArray) -> Mesh:
        """Return the mesh scaled about the origin by positive factors ``(3,)``."""
        return replace(self, vertices=self.vertices * np.asarray(factors))

    def rotated(self, axis: str, angle_deg: float) -> Mesh:
        """Return the mesh rotated about a coordinate axis through the origin; right-handed, degrees."""
        first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
        c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
        R = np.eye(3)
        R[first, first], R[first, second], R[second, first], R[second, second] = c, -s, s, c
        return replace(self, vertices=self.vertices @ R.T)

    def centered(self) -> Mesh:
        """Return the mesh with the centre of its bounding box at the origin."""
        low, high = self.bounds
        return self.translated(-(low + high) / 2.0)


def compute_column_bounds(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the smallest and largest values of each column of an array ``(N, C)``, ``(C,)`` each."""
    # NumPy reduces long rows twenty times as fast as the columns of a narrow array.
    columns = np.ascontiguousarray(values.T)
    return columns.min(axis=1), columns.max(axis=1)


def concatenate_meshes(parts: Sequence[Mesh]) -> Mesh:
    """Concatenate meshes into one. The parts remain separate closed surfaces and may overlap."""
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=True)]).astype(np.int32),
        np.concatenate([part.colours for part in parts]),
        np.concatenate([part.parts for part in parts]),
        is_closed=all(part.is_closed for part in parts),
    )


def revolve(
    profile: FloatArray,
    segments: int = 48,
    flatness: FloatArray | float = 1.0,
    squareness: FloatArray | float = 2.0,
) -> Mesh:
    """Create a closed surface of revolution about y, optionally with a flattened or superelliptic cross-section.

    A profile point (r, y) at angle theta becomes (f rho cos(theta), y, rho sin(theta)) with flatness f and the
    superellipse of exponent p: rho = r (abs(cos(theta))^p + abs(sin(theta))^p)^(-1 / p).

    Args:
        profile: ``(P, 2)`` (radius, y), metres, counter-clockwise; the first and last point lie on the axis.
        segments: Number of facets around the axis; a multiple of four keeps the mirror planes exact.
        flatness: Ratio of the width along x to the width along z; a scalar or ``(P,)``.
        squareness: Superellipse exponent, 2 is round; a scalar or ``(P,)``.

    Raises:
        ShapeError: The profile does not start and end on the axis.
    """
    if abs(profile[0, 0]) > 1e-9 or abs(profile[-1, 0]) > 1e-9:
        raise ShapeError(f"a profile must start and end at radius 0, got {profile[0, 0]} and {profile[-1, 0]}")
    # The two points on the axis become single vertices that close the ends.
    ring = profile[1:-1]
    flat = np.broadcast_to(np.asarray(flatness, dtype=np.float64), len(profile))[1:-1, None]
    power = np.broadcast_to(np.asarray(squareness, dtype=np.float64), len(profile))[1:-1, None]
    theta = 2.0 * np.pi * np.arange(segments) / segments
    c, s = np.cos(theta)[None], np.sin(theta)[None]
    rho = ring[:, :1] * (np.abs(c) ** power + np.abs(s) ** power) ** (-1.0 / power)
    y = np.broadcast_to(ring[:, 1:], rho.shape)
    vertices = np.stack([rho * c * flat, y, rho * s], axis=-1).reshape(-1, 3)
    ends = np.array([[0.0, profile[0, 1], 0.0], [0.0, profile[-1, 1], 0.0]])
    faces = _tube_faces(len(ring), segments)
    return Mesh.plain(np.concatenate([vertices, ends]), faces)


def sweep(path: FloatArray, section: FloatArray, section_scale: FloatArray | None = None) -> Mesh:
    """Create a closed tube by sweeping a cross-section along a planar path.

    Args:
        path: ``(P, 2)`` points in the xy plane, metres.
        section: ``(S, 2)`` cross-section, counter-clockwise, metres: first across the path in its plane, second along
            z.
        section_scale: ``(P,)`` scale of the cross-section at each point; 1 if left out.
    """
    scale = np.ones(len(path)) if section_scale is None else section_scale
    # In the plane, the normal is the tangent rotated by -90 degrees.
    tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    rings = np.empty((len(path), len(section), 3))
    rings[..., :2] = path[:, None] + normal[:, None] * section[None, :, :1] * scale[:, None, None]
    rings[..., 2] = section[None, :, 1] * scale[:, None]
    ends = np.zeros((2, 3))
    ends[:, :2] = path[[0, -1]]
    return Mesh.plain(np.concatenate([rings.reshape(-1, 3), ends]), _tube_faces(len(path), len(section)))


def extrude(outline: FloatArray, height: float) -> Mesh:
    """Create a closed prism from y = 0 to ``height`` over an outline ``(S, 2)`` in the xz plane, metres.

    The outline must be star-shaped about its mean, which is the centre of both end faces.
    """
    count = len(outline)
    base = np.stack([outline[:, 0], np.zeros(count), outline[:, 1]], axis=1)
    centre = base.mean(axis=0)
    up = np.array([0.0, height, 0.0])
    return Mesh.plain(np.concatenate([base, base + up, [centre, centre + up]]), _tube_faces(2, count))


def box(size: Sequence[float] | FloatArray, radius: float = 0.0, axis: str = "y") -> Mesh:
    """Create a centred box of a full extent ``(3,)``; edges along ``axis`` are rounded by ``radius`` metres."""
    x, y, z = (float(s) for s in size)
    width, height, depth = {"x": (y, x, z), "y": (x, y, z), "z": (x, z, y)}[axis]
    mesh = (
        extrude(make_rounded_rectangle(width, depth, radius), height).centered()
        if radius > 0
        else boxes(np.array([[width, height, depth]]), np.zeros((1, 3)))
    )
    return {"y": mesh, "x": mesh.rotated("z", -90.0), "z": mesh.rotated("x", 90.0)}[axis]


def cylinder(radius: float, height: float, bevel: float = 0.0, segments: int = 48) -> Mesh:
    """Create a centred cylinder about y with bevelled rims; lengths in metres."""
    h = height / 2
    profile = round_corners([(0.0, -h), (radius, -h), (radius, h), (0.0, h)], bevel, steps=4)
    return revolve(profile, segments)


def ellipsoid(radii: Sequence[float] | FloatArray, segments: int = 32) -> Mesh:
    """Create a centred ellipsoid with radii ``(3,)``, metres."""
    t = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    profile = np.stack([np.cos(t), np.sin(t)], axis=1)
    profile[[0, -1], 0] = 0.0
    return revolve(profile, segments).scaled(radii)


def boxes(sizes: FloatArray, centres: FloatArray) -> Mesh:
    """Create boxes with sharp edges along the axes in one mesh.

    Args:
        sizes: ``(N, 3)`` full extents, metres.
        centres: ``(N, 3)`` positions, metres.
    """
    signs, faces = _make_box_topology()
    vertices = 0.5 * np.asarray(sizes)[:, None] * signs + np.asarray(centres)[:, None]
    starts = len(signs) * np.arange(len(sizes), dtype=np.int32)
    return Mesh.plain(vertices.reshape(-1, 3), (faces + starts[:, None, None]).reshape(-1, 3))


@lru_cache(maxsize=1)
def _make_box_topology() -> tuple[FloatArray, NDArray[np.int32]]:
    """Return the signs of a box's vertices ``(10, 3)`` along the axes and its faces ``(16, 3)``."""
    corners = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    prism = extrude(corners, 2.0).translated([0.0, -1.0, 0.0])
    return prism.vertices, prism.faces


@lru_cache(maxsize=256)
def _tube_faces(rings: int, segments: int) -> NDArray[np.int32]:
    """Return the faces of a tube of vertex rings, closed by two end points that follow the rings in the vertex list.

    The array is cached and read-only.
    """
    # Each quad between rings a, b (lower) and c, d (upper) is split into two triangles.
    k = np.arange(segments)
    following = (k + 1) % segments
    start = np.arange(rings - 1)[:, None] * segments
    a, b, c, d = start + k, start + following, start + segments + k, start + segments + following
    # Faces are ordered by ring: generators paint the inside of a vessel by the second half of its faces.
    sides = np.stack([np.stack([a, c, b], -1), np.stack([b, c, d], -1)], axis=1).reshape(-1, 3)
    bottom, top = rings * segments, rings * segments + 1
    last = (rings - 1) * segments
    low = np.stack([k, following, np.full(segments, bottom)], axis=-1)
    high = np.stack([last + following, last + k, np.full(segments, top)], axis=-1)
    faces = np.concatenate([sides, low, high]).astype(np.int32)
    faces.setflags(write=False)
    return faces
