"""Projection and back-projection with a pinhole camera, in the camera optical frame (x right, y down, z forward).

A point (x, y, z) has the pixel u = fx x / z + cx, v = fy y / z + cy. Pixel centres have integer coordinates.
"""

from __future__ import annotations

import numpy as np

from clipose_ros.errors import ShapeError
from clipose_ros.types import CameraIntrinsics, FloatArray

_MAX_OFFSET = 0.2
"""Largest plausible distance of the principal point from the centre, as a fraction of width or height."""
_MIN_ANGLE_DEG, _MAX_ANGLE_DEG = 15.0, 150.0
_MAX_ASPECT = 1.3
"""Largest plausible ratio of the focal lengths."""


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


def implausible_intrinsics(intrinsics: CameraIntrinsics) -> str | None:
    """Return what makes intrinsics implausible for their image size, with the values; None if they are plausible.

    Intrinsics of another camera or resolution have a principal point far from the centre of the image, or an angle of
    view that no RGB-D camera has.
    """
    k = intrinsics
    offset_x, offset_y = k.cx - (k.width - 1) / 2, k.cy - (k.height - 1) / 2
    if abs(offset_x) > _MAX_OFFSET * k.width or abs(offset_y) > _MAX_OFFSET * k.height:
        return (
            f"has the principal point ({k.cx:.1f}, {k.cy:.1f}), {np.hypot(offset_x, offset_y):.0f} pixels from the "
            f"centre of an image of {k.width}x{k.height}"
        )
    angle_deg = np.degrees(2.0 * np.arctan(0.5 * max(k.width / k.fx, k.height / k.fy)))
    if not _MIN_ANGLE_DEG < angle_deg < _MAX_ANGLE_DEG:
        return (
            f"has focal lengths {k.fx:.1f} and {k.fy:.1f}, which give an image of {k.width}x{k.height} an angle of "
            f"view of {angle_deg:.0f} degrees"
        )
    if not 1.0 / _MAX_ASPECT < k.fx / k.fy < _MAX_ASPECT:
        return f"has focal lengths {k.fx:.1f} and {k.fy:.1f}, pixels that are far from square"
    return None
