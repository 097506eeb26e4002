"""Projection and back-projection with a pinhole camera."""

from __future__ import annotations

import numpy as np

from clipose_ros.errors import ShapeError
from clipose_ros.types import CameraIntrinsics, FloatArray


def backproject(
    depth: FloatArray, intrinsics: CameraIntrinsics, box: tuple[int, int, int, int] | None = None
) -> FloatArray:
    """Compute the points of all pixels of a depth image, or of a box of it.

    Args:
        depth: ``(H, W)``, metres along the optical axis, the whole image; invalid pixels are not finite or <= 0.
        intrinsics: The camera of ``depth``.
        box: Pixels (x0, y0, x1, y1) to work on, x1 and y1 exclusive; all when None.

    Returns:
        ``(h, w, 3)`` float64, metres, camera optical frame; NaN where the depth is invalid.

    Raises:
        ShapeError: ``depth`` has another size than ``intrinsics``.
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
    """Compute the points of single pixels.

    Args:
        u: ``(N,)`` column of each pixel; pixel centres have integer coordinates.
        v: ``(N,)`` row of each pixel.
        depth_m: ``(N,)``, metres along the optical axis.
        intrinsics: The camera.

    Returns:
        ``(N, 3)`` float64, metres, camera optical frame.
    """
    points_camera = np.empty((len(depth_m), 3))
    points_camera[:, 2] = depth_m
    points_camera[:, 0] = (u - intrinsics.cx) / intrinsics.fx * points_camera[:, 2]
    points_camera[:, 1] = (v - intrinsics.cy) / intrinsics.fy * points_camera[:, 2]
    return points_camera


def project(points_camera: FloatArray, intrinsics: CameraIntrinsics) -> FloatArray:
    """Project points to pixels.

    Args:
        points_camera: ``(N, 3)``, camera optical frame.
        intrinsics: The camera.

    Returns:
        ``(N, 2)`` float64 pixels (u, v), also beyond the image's border; NaN for points that are not in front (z <= 0).
    """
    points_camera = np.asarray(points_camera, dtype=np.float64)
    z = np.where(points_camera[:, 2] > 0.0, points_camera[:, 2], np.nan)
    u = points_camera[:, 0] / z * intrinsics.fx + intrinsics.cx
    v = points_camera[:, 1] / z * intrinsics.fy + intrinsics.cy
    return np.stack([u, v], axis=-1)
