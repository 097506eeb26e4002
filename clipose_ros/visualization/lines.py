"""Projection of the boxes and axes of objects to line segments on the image, for a batch of N objects.

1. Each object has 15 lines ``(15, 2, 3)``: 12 box edges and 3 arrows from the centre along the axes.
2. Lines are clipped to z >= ``_NEAR_M``. A line that crosses the camera plane would otherwise be projected mirrored.
3. A face with the outward axis direction s (+1 or -1) faces the camera if s e > h, with the camera position e in the
   object frame and half the extent h along that axis. An edge faces the camera if one of its two faces does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipose_ros.geometry.boxes import BOX_EDGES, BOX_SIGNS, box_corners
from clipose_ros.geometry.camera import project
from clipose_ros.types import BoolArray, CameraIntrinsics, FloatArray

EDGES = len(BOX_EDGES)
"""Number of edges of a box. The lines of an object are its edges, then its axes x, y, z."""

_NEAR_M = 0.02
"""Distance of the near clipping plane from the camera, metres."""
_EDGE_SIGNS = BOX_SIGNS[BOX_EDGES]
_FACE_AXES = _EDGE_SIGNS[:, 0] == _EDGE_SIGNS[:, 1]
"""``(12, 3)`` bool, the normal axes of the two faces of each edge: the axes along which the edge does not run."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectLines:
    """Projected lines of N objects.

    Attributes:
        pixels: ``(N, 15, 2, 2)`` float64, end points (u, v) of the part of each line in front of the camera.
        shown: ``(N, 15)`` bool, True for lines with a part in front of the camera; the pixels of others are undefined.
        facing: ``(N, 12)`` bool, True for edges of a face that faces the camera.
        far_first: ``(N, 3)`` indices of the axes by decreasing distance of their tips.
    """

    pixels: FloatArray
    shown: BoolArray
    facing: BoolArray
    far_first: NDArray[np.intp]

    def bounds(self) -> FloatArray:
        """Return bounding rectangles ``(N, 4)`` (u0, v0, u1, v1) of the boxes, pixels; infinite behind the camera."""
        shown, ends = self.shown[:, :EDGES, None, None], self.pixels[:, :EDGES]
        low = np.where(shown, ends, np.inf).min(axis=(1, 2))
        high = np.where(shown, ends, -np.inf).max(axis=(1, 2))
        return np.concatenate([low, high], axis=1)


def project_object_lines(T_camera_object: FloatArray, size: FloatArray, intrinsics: CameraIntrinsics) -> ObjectLines:
    """Project box edges and axis arrows of objects; the arrows of an object have equal length.

    Args:
        T_camera_object: ``(N, 4, 4)`` poses, metres.
        size: ``(N, 3)`` full extents, metres, object frame.
        intrinsics: Camera intrinsics.
    """
    half = 0.5 * size[:, None]
    corners = box_corners(T_camera_object, size)
    R, t = T_camera_object[:, :3, :3], T_camera_object[:, None, :3, 3]
    tips = t + 0.6 * np.sort(size, axis=1)[:, 1, None, None] * np.swapaxes(R, 1, 2)
    arrows = np.stack([np.broadcast_to(t, tips.shape), tips], axis=2)
    lines, shown = _clip_to_front(np.concatenate([corners[:, BOX_EDGES], arrows], axis=1))
    eye = -t @ R  # the camera in object coordinates
    facing = (_FACE_AXES & (_EDGE_SIGNS[:, 0] * eye > half)).any(axis=2)
    lines = np.where(shown[..., None, None], lines, [0.0, 0.0, 1.0])
    pixels = project(lines.reshape(-1, 3), intrinsics).reshape(*lines.shape[:-1], 2)
    return ObjectLines(pixels, shown, facing, np.argsort(-tips[:, :, 2], axis=1, kind="stable"))


def _clip_to_front(lines: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Clip lines ``(..., 2, 3)`` to the space in front of the camera.

    Returns:
        The clipped lines, and a mask ``(...)`` bool of the lines with a part in front of the camera.
    """
    z = lines[..., 2]
    shown = z.max(axis=-1) >= _NEAR_M
    cut = (z < _NEAR_M) & shown[..., None]
    if cut.any():
        share = np.where(cut, _NEAR_M - z, 0.0) / np.where(cut, z[..., ::-1] - z, 1.0)
        lines = lines + share[..., None] * (lines[..., ::-1, :] - lines)
    return lines, shown
