"""Compiled loop over the rays of a window: positions, normals, incidence and textured albedo.

For a ray o + s d that hits a face with the normal n: the point p = o + s d, the unit normal towards the camera, the
cosine abs(n . d) / (norm(n) norm(d)), and the albedo a (1 + c t), with the contrast c of the body and the texture t at
(p . u, p . v) times the scale of the body.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from clipose_ros.model.numba_cache import ensure_writable_cache
from clipose_ros.types import FloatArray

ensure_writable_cache(Path(__file__).parent)


class Materials(NamedTuple):
    """Materials of a scene; all arrays are float32 but ``first_face``.

    Attributes:
        albedo: ``(F,)`` albedo of all faces.
        first_face: ``(B,)`` int64 index of the first face of each body.
        contrast: ``(B,)`` relative change of the albedo by texture.
        scale: ``(B,)`` texture pixels per metre.
        axes: ``(3, 2)`` directions of the texture coordinates.
        noise: ``(S, S)`` periodic texture in [-1, 1].
    """

    albedo: FloatArray
    first_face: NDArray[np.int64]
    contrast: FloatArray
    scale: FloatArray
    axes: FloatArray
    noise: FloatArray


class Rays(NamedTuple):
    """Rays and their intersections.

    Attributes:
        origin: ``(3,)`` float32 common origin.
        directions: ``(N, 3)`` float32.
        distance: ``(N,)`` float32 ray parameters.
        body: ``(N,)`` int32; negative for no hit.
        face: ``(N,)`` int32.
        normals: ``(N, 3)`` float32, not normalized.
    """

    origin: FloatArray
    directions: FloatArray
    distance: FloatArray
    body: NDArray[np.int32]
    face: NDArray[np.int32]
    normals: FloatArray


@njit(cache=True, nogil=True)
def shade_rays(rays: Rays, materials: Materials, points: FloatArray, normals: FloatArray, values: FloatArray) -> None:
    """Fill points, unit normals and values (depth, cosine, albedo), ``(N, 3)`` each; zeros for rays without a hit."""
    side = materials.noise.shape[0]
    for i in range(len(rays.body)):
        body = rays.body[i]
        if body < 0:
            points[i, :] = rays.origin
            normals[i, :] = 0.0
            values[i, :] = 0.0
            continue
        s = rays.distance[i]
        d0, d1, d2 = rays.directions[i]
        n0, n1, n2 = rays.normals[i]
        p0, p1, p2 = rays.origin[0] + s * d0, rays.origin[1] + s * d1, rays.origin[2] + s * d2
        length = np.sqrt(n0 * n0 + n1 * n1 + n2 * n2)
        along = n0 * d0 + n1 * d1 + n2 * d2
        turn = -np.sign(along) / max(length, np.float32(1e-20))
        points[i, 0], points[i, 1], points[i, 2] = p0, p1, p2
        normals[i, 0], normals[i, 1], normals[i, 2] = turn * n0, turn * n1, turn * n2
        cosine = abs(along) / max(length * np.sqrt(d0 * d0 + d1 * d1 + d2 * d2), np.float32(1e-20))
        scale, axes = materials.scale[body], materials.axes
        u = scale * (p0 * axes[0, 0] + p1 * axes[1, 0] + p2 * axes[2, 0])
        v = scale * (p0 * axes[0, 1] + p1 * axes[1, 1] + p2 * axes[2, 1])
        # Bilinear interpolation in the periodic texture.
        left, top = int(np.floor(u)), int(np.floor(v))
        a, b = u - left, v - top
        x0, y0 = left % side, top % side
        x1, y1 = (x0 + 1) % side, (y0 + 1) % side
        noise = materials.noise
        upper = noise[y0, x0] * (1 - a) + noise[y0, x1] * a
        lower = noise[y1, x0] * (1 - a) + noise[y1, x1] * a
        albedo = materials.albedo[materials.first_face[body] + rays.face[i]]
        albedo *= 1 + materials.contrast[body] * (upper * (1 - b) + lower * b)
        values[i, 0], values[i, 1], values[i, 2] = s, cosine, min(max(albedo, 0.0), 1.0)
