"""Compiled rasterizer: the nearest triangle behind each pixel of a window, without a structure that must be built.

A vertex at p in the camera frame has the homogeneous pixel q = (fx x + cx z, fy y + cy z, z) = z (u, v, 1). A triangle
q0, q1, q2 covers a pixel d = (u, v, 1) if the three edge values

    e0 = d . (q1 x q2) / D,   e1 = d . (q2 x q0) / D,   e2 = d . (q0 x q1) / D,   D = q0 . (q1 x q2)

are not negative. Their sum is 1 / z, the inverse depth of the triangle at that pixel, of which the largest is kept
(Olano and Greer, "Triangle scan conversion using 2D homogeneous coordinates", 1997). Triangles that cross the plane of
the camera need no clipping. Most triangles of a mesh lie between pixel centres and end at their bounds.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from clipose_ros.model.numba_cache import ensure_writable_cache
from clipose_ros.types import BoolArray, FloatArray

ensure_writable_cache(Path(__file__).parent)

_NEAREST_M = 1e-4
"""Depth below which a vertex has no pixel, metres."""


_FARTHEST = 1.0 / _NEAREST_M
_OUTSIDE, _IN_FRONT, _CROSSING = 0, 1, 2
_OVERLAP_PX = 1e-9
_TINY = 1e-200


class Triangles(NamedTuple):
    """Triangles of B bodies, one after the other.

    Attributes:
        vertices: ``(3, V)`` float64 x, y and z, metres, world frame.
        faces: ``(F, 3)`` int32 indices of vertices.
        first_vertex: ``(B + 1,)`` int64 index of the first vertex of each body, and V.
        first_face: ``(B + 1,)`` int64 index of the first face of each body, and F.
        low: ``(B, 3)`` smallest coordinates of each body.
        high: ``(B, 3)`` largest coordinates of each body.
        is_closed: ``(B,)`` bool, bodies whose triangles are seen from outside alone.
    """

    vertices: FloatArray
    faces: NDArray[np.int32]
    first_vertex: NDArray[np.int64]
    first_face: NDArray[np.int64]
    low: FloatArray
    high: FloatArray
    is_closed: BoolArray


@njit(cache=True, nogil=True)
def draw_triangles(triangles: Triangles, P: FloatArray, inverse_depth: FloatArray, face: NDArray[np.int32]) -> None:
    """Draw bodies into the images of a window.

    Args:
        triangles: The bodies.
        P: ``(3, 4)`` float64 projection of the world to homogeneous pixels z (u, v, 1) of the window.
        inverse_depth: ``(H, W)`` float32, largest inverse depth so far, 1 / metres; updated.
        face: ``(H, W)`` int32 index of the face with it; updated.
    """
    height, width = face.shape
    vertices, faces = triangles.vertices, triangles.faces
    pixels = np.empty((3, vertices.shape[1]))
    for body in range(len(triangles.low)):
        place = _place_box(triangles.low[body], triangles.high[body], P, height, width)
        if place == _OUTSIDE:
            continue
        for i in range(triangles.first_vertex[body], triangles.first_vertex[body + 1]):
            x, y, z = vertices[0, i], vertices[1, i], vertices[2, i]
            w = 1.0 / max(P[2, 0] * x + P[2, 1] * y + P[2, 2] * z + P[2, 3], _NEAREST_M)
            pixels[0, i] = (P[0, 0] * x + P[0, 1] * y + P[0, 2] * z + P[0, 3]) * w
            pixels[1, i] = (P[1, 0] * x + P[1, 1] * y + P[1, 2] * z + P[1, 3]) * w
            pixels[2, i] = w
        for index in range(triangles.first_face[body], triangles.first_face[body + 1]):
            i, j, k = faces[index, 0], faces[index, 1], faces[index, 2]
            if place == _CROSSING and max(pixels[2, i], pixels[2, j], pixels[2, k]) >= _FARTHEST:
                _draw_crossing(triangles, P, index, inverse_depth, face)
                continue
            ui, uj, uk = pixels[0, i], pixels[0, j], pixels[0, k]
            vi, vj, vk = pixels[1, i], pixels[1, j], pixels[1, k]
            area = (uj - ui) * (vk - vi) - (uk - ui) * (vj - vi)
            if area == 0.0 or (area > 0.0 and triangles.is_closed[body]):
                continue  # a face that is seen from behind is hidden
            x0, x1 = max(math.ceil(min(ui, uj, uk)), 0), min(math.floor(max(ui, uj, uk)), width - 1)
            y0, y1 = max(math.ceil(min(vi, vj, vk)), 0), min(math.floor(max(vi, vj, vk)), height - 1)
            if x0 > x1 or y0 > y1:
                continue
            # Edge values are barycentric weights, which are linear in the pixel, as the inverse depth is.
            scale = 1.0 / area
            a0, b0, a1, b1 = (vj - vk) * scale, (uk - uj) * scale, (vk - vi) * scale, (ui - uk) * scale
            a2, b2 = -a0 - a1, -b0 - b1
            c0, c1 = -a0 * uk - b0 * vk, -a1 * uk - b1 * vk
            c2 = 1.0 - c0 - c1
            wi, wj, wk = pixels[2, i], pixels[2, j], pixels[2, k]
            wa, wb, wc = a0 * wi + a1 * wj + a2 * wk, b0 * wi + b1 * wj + b2 * wk, c0 * wi + c1 * wj + c2 * wk
            s0, s1, s2 = 1.0 / (a0 or _TINY), 1.0 / (a1 or _TINY), 1.0 / (a2 or _TINY)
            for y in range(y0, y1 + 1):
                # Columns at which the edge values change their sign.
                t0, t1, t2 = -(b0 * y + c0) * s0, -(b1 * y + c1) * s1, -(b2 * y + c2) * s2
                low = max(t0 if s0 > 0.0 else -np.inf, t1 if s1 > 0.0 else -np.inf, t2 if s2 > 0.0 else -np.inf)
                high = min(t0 if s0 < 0.0 else np.inf, t1 if s1 < 0.0 else np.inf, t2 if s2 < 0.0 else np.inf)
                # Rounding must not open a gap between triangles that share an edge.
                left = math.ceil(min(max(low - _OVERLAP_PX, x0), x1 + 1.0))
                right = math.floor(max(min(high + _OVERLAP_PX, x1), x0 - 1.0))
                row = wb * y + wc
                for x in range(left, right + 1):
                    inverse = np.float32(row + wa * x)
                    if inverse > inverse_depth[y, x]:
                        inverse_depth[y, x] = inverse
                        face[y, x] = index


@njit(cache=True, nogil=True)
def _draw_crossing(
    triangles: Triangles, P: FloatArray, index: int, inverse_depth: FloatArray, face: NDArray[np.int32]
) -> None:
    """Draw a triangle that reaches the plane of the camera."""
    height, width = face.shape
    q = np.empty((3, 3))
    for corner in range(3):
        i = triangles.faces[index, corner]
        x, y, z = triangles.vertices[0, i], triangles.vertices[1, i], triangles.vertices[2, i]
        for m in range(3):
            q[corner, m] = P[m, 0] * x + P[m, 1] * y + P[m, 2] * z + P[m, 3]
    if q[:, 2].max() <= 0.0:
        return
    edges = np.empty((3, 3))
    for corner in range(3):
        a, b = q[(corner + 1) % 3], q[(corner + 2) % 3]
        edges[corner, 0] = a[1] * b[2] - a[2] * b[1]
        edges[corner, 1] = a[2] * b[0] - a[0] * b[2]
        edges[corner, 2] = a[0] * b[1] - a[1] * b[0]
    volume = (q[0] * edges[0]).sum()
    if volume == 0.0:
        return
    edges /= volume
    for y in range(height):
        for x in range(width):
            e0 = edges[0, 0] * x + edges[0, 1] * y + edges[0, 2]
            e1 = edges[1, 0] * x + edges[1, 1] * y + edges[1, 2]
            e2 = edges[2, 0] * x + edges[2, 1] * y + edges[2, 2]
            if e0 >= 0.0 and e1 >= 0.0 and e2 >= 0.0:
                inverse = np.float32(e0 + e1 + e2)
                if inverse > inverse_depth[y, x]:
                    inverse_depth[y, x] = inverse
                    face[y, x] = index


@njit(cache=True, nogil=True)
def _place_box(low: FloatArray, high: FloatArray, P: FloatArray, height: int, width: int) -> int:
    """Return where a box lies: outside of the view of the window, in front of the camera, or crossing its plane."""
    u0, u1, v0, v1 = np.inf, -np.inf, np.inf, -np.inf
    behind = 0
    for corner in range(8):
        x = high[0] if corner & 1 else low[0]
        y = high[1] if corner & 2 else low[1]
        z = high[2] if corner & 4 else low[2]
        depth = P[2, 0] * x + P[2, 1] * y + P[2, 2] * z + P[2, 3]
        if depth <= _NEAREST_M:
            behind += 1
            continue
        u = (P[0, 0] * x + P[0, 1] * y + P[0, 2] * z + P[0, 3]) / depth
        v = (P[1, 0] * x + P[1, 1] * y + P[1, 2] * z + P[1, 3]) / depth
        u0, u1, v0, v1 = min(u0, u), max(u1, u), min(v0, v), max(v1, v)
    if behind:
        return _OUTSIDE if behind == 8 else _CROSSING
    return _OUTSIDE if u1 < 0.0 or v1 < 0.0 or u0 > width - 1.0 or v0 > height - 1.0 else _IN_FRONT


@njit(cache=True, nogil=True)
def compute_unit_normals(vertices: FloatArray, faces: NDArray[np.int32]) -> FloatArray:
    """Return the unit normals ``(F, 3)`` float32 of faces; zeros for faces without an area.

    Args:
        vertices: ``(3, V)`` x, y and z.
        faces: ``(F, 3)`` indices of vertices.
    """
    normals = np.zeros((len(faces), 3), dtype=np.float32)
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        x0, y0, z0 = vertices[0, i], vertices[1, i], vertices[2, i]
        ax, ay, az = vertices[0, j] - x0, vertices[1, j] - y0, vertices[2, j] - z0
        bx, by, bz = vertices[0, k] - x0, vertices[1, k] - y0, vertices[2, k] - z0
        x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        length = np.sqrt(x * x + y * y + z * z)
        if length > 0.0:
            normals[f, 0], normals[f, 1], normals[f, 2] = x / length, y / length, z / length
    return normals


@njit(cache=True, nogil=True)
def measure_incidence(face: NDArray[np.int32], normals: FloatArray, R: FloatArray, K: FloatArray) -> FloatArray:
    """Return the cosines ``(H, W)`` float32 of the angles between the rays of pixels and the normals of their faces.

    Args:
        face: ``(H, W)`` index of the face; -1 for none, whose cosine is 0.
        normals: ``(F, 3)`` float32 unit normals.
        R: ``(3, 3)`` float32 orientation of the camera, ``R_world_camera``.
        K: ``(4,)`` float32 fx, fy, cx, cy.
    """
    height, width = face.shape
    cosine = np.zeros((height, width), dtype=np.float32)
    for row in range(height):
        y = (np.float32(row) - K[3]) / K[1]
        for column in range(width):
            index = face[row, column]
            if index < 0:
                continue
            x = (np.float32(column) - K[2]) / K[0]
            d0 = R[0, 0] * x + R[0, 1] * y + R[0, 2]
            d1 = R[1, 0] * x + R[1, 1] * y + R[1, 2]
            d2 = R[2, 0] * x + R[2, 1] * y + R[2, 2]
            along = normals[index, 0] * d0 + normals[index, 1] * d1 + normals[index, 2] * d2
            cosine[row, column] = abs(along) / np.sqrt(x * x + y * y + np.float32(1.0))
    return cosine
