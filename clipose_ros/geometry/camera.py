"""Projection and back-projection with a pinhole camera, in the camera optical frame (x right, y down, z forward).

A point (x, y, z) has the pixel u = fx x / z + cx, v = fy y / z + cy. Pixel centres have integer coordinates.
"""

from __future__ import annotations

import numpy as np

from clipose_ros.errors import ShapeError
from clipose_ros.types import CameraIntrinsics, FloatArray


def backproject(
    depth: FloatArray, intrinsics: CameraIntrinsics, box: tuple[int, int, int, int] | None = None
) -> FloatArray:
    """Compute the points of all pixels of a depth image or of a pixel box in it.

    Args:
        depth: ``(H, W)`` depth along the optical axis, metres; invalid pixels are not finite or <= 0.
        intrinsics: Intrinsics of the whole image.
        box: Pixel box (x0, y0, x1, y1), x1 and y1 exclusive; the whole image if None.

    Returns:
        ``(h, w, 3)`` float64 points of the box, metres, camera optical frame; NaN at invalid pixels.

    Raises:
        ShapeError: The image size differs from that of ``intrinsics``.
    """
    if depth.shape != (intrinsics.height, intrinsics.width):
        raise ShapeError(f"depth must have shape {(intrinsics.height, intrinsics.width)}, got {depth.shape}")
    x0, y0, x1, y1 = box or (0, 0, intrinsics.width, intrinsics.height)
    z = depth[y0:y1, x0:x1].astype(np.float64)
    z[~(np.isfinite(z) & (z > 0.0))] = np.nan
    x = (np.arange(x0, x1) - intrinsics.cx) / intrinsics.fx * z
    y = (np.arange(y0, y1)[:, None] - intrinsics.cy) / intrinsics.fy * z
    return np.stack([x, y, z], axis=-1)


def backproject_pixels(u: FloatArray, v: FloatArray, depth_m: FloatArray, intrinsics: CameraIntrinsics) -> FloatArray:
    """Compute the points of a list of pixels.

    Args:
        u: ``(N,)`` columns, pixels.
        v: ``(N,)`` rows, pixels.
        depth_m: ``(N,)`` depth along the optical axis, metres.
        intrinsics: Camera intrinsics.

    Returns:
        ``(N, 3)`` float64 points, metres, camera optical frame.
    """
    points_camera = np.empty((len(depth_m), 3))
    points_camera[:, 2] = depth_m
    points_camera[:, 0] = (u - intrinsics.cx) / intrinsics.fx * points_camera[:, 2]
    points_camera[:, 1] = (v - intrinsics.cy) / intrinsics.fy * points_camera[:, 2]
    return points_camera


def project(points_camera: FloatArray, intrinsics: CameraIntrinsics) -> FloatArray:
    """Project points to pixels.

    Args:
        points_camera: ``(N, 3)`` points, metres, camera optical frame.
        intrinsics: Camera intrinsics.

    Returns:
        ``(N, 2)`` float64 pixels (u, v), not limited to the image; NaN for points with z <= 0.
    """
    points_camera = np.asarray(points_camera, dtype=np.float64)
    z = np.where(points_camera[:, 2] > 0.0, points_camera[:, 2], np.nan)
    u = points_camera[:, 0] / z * intrinsics.fx + intrinsics.cx
    v = points_camera[:, 1] / z * intrinsics.fy + intrinsics.cy
    return np.stack([u, v], axis=-1)
