"""Compiled light on the pixels of the rasterizer.

A pixel with the direction d and the inverse depth w shows the point p = d / w in the camera frame. With the unit normal
n of its face, cos = abs(n . d) / norm(d), and the textured albedo a (``ray_kernels``), its brightness is

    a sqrt(cos) (ambient + pattern / z^2 * dots(f x / z, f y / z)),

where (x, y, z) is the point seen from the projector.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from clipose_ros.data.synthetic.sensors.ray_kernels import Materials
from clipose_ros.model.numba_cache import ensure_writable_cache
from clipose_ros.types import FloatArray

ensure_writable_cache(Path(__file__).parent)

_SHADOW_M = np.float32(0.004)
"""Distance behind the surface that the projector reaches first from which a surface lies in its shadow, metres."""


class Pixels(NamedTuple):
    """Pixels of a window.

    Attributes:
        inverse_depth: ``(H, W)`` float32, 1 / metres.
        face: ``(H, W)`` int32 index of the face; -1 for none.
        K: ``(4,)`` float32: fx, fy, cx, cy.
        R: ``(3, 3)`` float32 orientation of the camera in the world.
        origin: ``(3,)`` float32 position of the camera, metres.
    """

    inverse_depth: FloatArray
    face: NDArray[np.int32]
    K: FloatArray
    R: FloatArray
    origin: FloatArray


class Appearance(NamedTuple):
    """Normals and materials of the faces of a scene.

    Attributes:
        normals: ``(F, 3)`` float32 unit normals of the faces, world frame.
        body_of_face: ``(F,)`` int32 index of the body of each face.
        materials: Materials of the bodies.
    """

    normals: FloatArray
    body_of_face: NDArray[np.int32]
    materials: Materials


class Projector(NamedTuple):
    """Light of a lamp; lengths in metres, distances between pixels in pixels; all numbers are float32.

    Attributes:
        place: ``(3,)`` place in the frame of the camera that sees the pixels.
        focal: Focal length.
        ambient: Brightness of the ambient light.
        pattern: Brightness of the dots at 1 m.
        offset: ``(2,)`` shift of the pattern.
        dots: ``(S, S)`` periodic pattern.
    """

    place: FloatArray
    focal: np.float32
    ambient: np.float32
    pattern: np.float32
    offset: FloatArray
    dots: FloatArray


class ShadowMap(NamedTuple):
    """Appearance that the projector reaches.

    Attributes:
        inverse_depth: ``(H, W)`` float32 inverse depth seen from the projector; without pixels if nothing blocks it.
        fx: Focal length along columns, pixels.
        fy: Focal length along rows, pixels.
        cx: Column of the optical axis.
        cy: Row of the optical axis.
    """

    inverse_depth: FloatArray
    fx: np.float32
    fy: np.float32
    cx: np.float32
    cy: np.float32


@njit(cache=True, nogil=True, inline="always")
def _look_up(image: FloatArray, u: np.float32, v: np.float32) -> np.float32:
    """Interpolate a periodic image ``(S, S)`` between pixels; S is a power of two."""
    mask = image.shape[0] - 1
    left, top = int(np.floor(u)), int(np.floor(v))
    a, b = u - np.float32(left), v - np.float32(top)
    x0, y0 = left & mask, top & mask
    x1, y1 = (x0 + 1) & mask, (y0 + 1) & mask
    upper = image[y0, x0] + a * (image[y0, x1] - image[y0, x0])
    lower = image[y1, x0] + a * (image[y1, x1] - image[y1, x0])
    return upper + b * (lower - upper)


@njit(cache=True, nogil=True, fastmath=True)
def shade_pixels(pixels: Pixels, appearance: Appearance) -> tuple[FloatArray, FloatArray]:
    """Return the cosines of the incidence and the albedo with texture, ``(H, W)`` float32; 0 without a surface."""
    height, width = pixels.face.shape
    cosine, albedo = np.zeros((height, width), dtype=np.float32), np.zeros((height, width), dtype=np.float32)
    fx, fy, cx, cy = pixels.K
    R, origin, normals = pixels.R, pixels.origin, appearance.normals
    materials, body_of_face, zero, one = appearance.materials, appearance.body_of_face, np.float32(0.0), np.float32(1.0)
    axes, noise, scales, contrasts, albedos = (
        materials.axes, materials.noise, materials.scale, materials.contrast, materials.albedo
    )  # fmt: skip
    for row in range(height):
        dy = (np.float32(row) - cy) / fy
        for column in range(width):
            face = pixels.face[row, column]
            if face < 0:
                continue
            dx, depth = (np.float32(column) - cx) / fx, one / pixels.inverse_depth[row, column]
            d0 = R[0, 0] * dx + R[0, 1] * dy + R[0, 2]
            d1 = R[1, 0] * dx + R[1, 1] * dy + R[1, 2]
            d2 = R[2, 0] * dx + R[2, 1] * dy + R[2, 2]
            along = normals[face, 0] * d0 + normals[face, 1] * d1 + normals[face, 2] * d2
            cosine[row, column] = abs(along) / np.sqrt(dx * dx + dy * dy + one)
            p0, p1, p2 = origin[0] + depth * d0, origin[1] + depth * d1, origin[2] + depth * d2
            body = body_of_face[face]
            u = scales[body] * (p0 * axes[0, 0] + p1 * axes[1, 0] + p2 * axes[2, 0])
            v = scales[body] * (p0 * axes[0, 1] + p1 * axes[1, 1] + p2 * axes[2, 1])
            value = albedos[face] * (one + contrasts[body] * _look_up(noise, u, v))
            albedo[row, column] = min(max(value, zero), one)
    return cosine, albedo


@njit(cache=True, nogil=True)
def place_pixels(pixels: Pixels, appearance: Appearance) -> tuple[FloatArray, FloatArray]:
    """Return the points and the unit normals towards the camera of pixels, ``(H, W, 3)`` float32, world frame.

    Pixels without a surface have the place of the camera and no normal.
    """
    height, width = pixels.face.shape
    points, normals = np.empty((height, width, 3), dtype=np.float32), np.zeros((height, width, 3), dtype=np.float32)
    fx, fy, cx, cy = pixels.K
    R, origin, face_normals = pixels.R, pixels.origin, appearance.normals
    for row in range(height):
        dy = (np.float32(row) - cy) / fy
        for column in range(width):
            face = pixels.face[row, column]
            if face < 0:
                points[row, column, 0], points[row, column, 1], points[row, column, 2] = origin
                continue
            dx, depth = (np.float32(column) - cx) / fx, np.float32(1.0) / pixels.inverse_depth[row, column]
            along = np.float32(0.0)
            for axis in range(3):
                d = R[axis, 0] * dx + R[axis, 1] * dy + R[axis, 2]
                points[row, column, axis] = origin[axis] + depth * d
                along += face_normals[face, axis] * d
            turn = np.float32(-1.0) if along > 0.0 else np.float32(1.0)
            for axis in range(3):
                normals[row, column, axis] = turn * face_normals[face, axis]
    return points, normals


@njit(cache=True, nogil=True, fastmath=True)
def light_pixels(pixels: Pixels, appearance: Appearance, projector: Projector, shadow: ShadowMap) -> FloatArray:
    """Return the brightness ``(H, W)`` float32 of the pixels of a window; 0 where there is no surface.

    Args:
        pixels: The pixels.
        appearance: Their appearance.
        projector: The light.
        shadow: What the projector reaches.
    """
    cosine, albedo = shade_pixels(pixels, appearance)
    height, width = albedo.shape
    brightness, one = np.zeros((height, width), dtype=np.float32), np.float32(1.0)
    fx, fy, cx, cy = pixels.K
    place, dots, offset, reached = projector.place, projector.dots, projector.offset, shadow.inverse_depth
    shadow_height, shadow_width = reached.shape
    for row in range(height):
        dy = (np.float32(row) - cy) / fy
        for column in range(width):
            if cosine[row, column] <= 0.0:
                continue
            light = projector.ambient
            if projector.pattern > 0.0:
                dx, depth = (np.float32(column) - cx) / fx, one / pixels.inverse_depth[row, column]
                x, y, z = depth * dx - place[0], depth * dy - place[1], depth - place[2]
                is_lit = True
                if shadow_height > 0:
                    u = int(np.floor(x / z * shadow.fx + shadow.cx + np.float32(0.5)))
                    v = int(np.floor(y / z * shadow.fy + shadow.cy + np.float32(0.5)))
                    if 0 <= u < shadow_width and 0 <= v < shadow_height:
                        is_lit = reached[v, u] * (z - _SHADOW_M) <= one
                if is_lit:
                    near = one / max(z, np.float32(0.05))
                    focal = projector.focal * near
                    light += (
                        projector.pattern * near * near * _look_up(dots, focal * x + offset[0], focal * y + offset[1])
                    )
            brightness[row, column] = albedo[row, column] * np.sqrt(cosine[row, column]) * light
    return brightness
