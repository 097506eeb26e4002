"""Boxes and axes as lines on an image, those of all objects at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipose_ros.geometry.boxes import BOX_EDGES, BOX_SIGNS, box_corners
from clipose_ros.geometry.camera import project
from clipose_ros.types import BoolArray, CameraIntrinsics, FloatArray

EDGES = len(BOX_EDGES)
"""So many lines of an object are the edges of its box; the axes x, y, z follow."""

_NEAR_M = 0.02  # lines are cut off this far in front of the camera
_EDGE_SIGNS = BOX_SIGNS[BOX_EDGES]
_ON_FACE = _EDGE_SIGNS[:, 0] == _EDGE_SIGNS[:, 1]  # the two faces of an edge: the axes along which it does not run


@dataclass(frozen=True, slots=True, eq=False)
class ObjectLines:
    """The lines of N objects.

    Attributes:
        pixels: ``(N, 15, 2, 2)`` float64, both ends (u, v) of each line, as far as it lies in front of the camera.
        shown: ``(N, 15)`` bool, which lines lie in front of the camera at all; the others' pixels mean nothing.
        facing: ``(N, 12)`` bool, which edges belong to a face that looks towards the camera.
        far_first: ``(N, 3)`` the axes in order of their tips' distance, the farthest first.
    """

    pixels: FloatArray
    shown: BoolArray
    facing: BoolArray
    far_first: NDArray[np.intp]

    def bounds(self) -> FloatArray:
        """``(N, 4)`` pixels (u0, v0, u1, v1) around each box; infinite where none of it is in front of the camera."""
        shown, ends = self.shown[:, :EDGES, None, None], self.pixels[:, :EDGES]
        low = np.where(shown, ends, np.inf).min(axis=(1, 2))
        high = np.where(shown, ends, -np.inf).max(axis=(1, 2))
        return np.concatenate([low, high], axis=1)


def object_lines(T_camera_object: FloatArray, size: FloatArray, intrinsics: CameraIntrinsics) -> ObjectLines:
    """The edges of the boxes of objects, and arrows along their axes, all of an object of one length.

    Args:
        T_camera_object: ``(N, 4, 4)``.
        size: ``(N, 3)`` full extents, metres.
        intrinsics: The camera.
    """
    half = 0.5 * size[:, None]
    corners = box_corners(T_camera_object, size)
    R, t = T_camera_object[:, :3, :3], T_camera_object[:, None, :3, 3]
    tips = t + 0.6 * np.sort(size, axis=1)[:, 1, None, None] * np.swapaxes(R, 1, 2)
    arrows = np.stack([np.broadcast_to(t, tips.shape), tips], axis=2)
    lines, shown = _in_front(np.concatenate([corners[:, BOX_EDGES], arrows], axis=1))
    eye = -t @ R  # the camera in object coordinates
    facing = (_ON_FACE & (_EDGE_SIGNS[:, 0] * eye > half)).any(axis=2)
    lines = np.where(shown[..., None, None], lines, [0.0, 0.0, 1.0])
    pixels = project(lines.reshape(-1, 3), intrinsics).reshape(*lines.shape[:-1], 2)
    return ObjectLines(pixels, shown, facing, np.argsort(-tips[:, :, 2], axis=1, kind="stable"))


def _in_front(lines: FloatArray) -> tuple[FloatArray, BoolArray]:
    """The parts ``(..., 2, 3)`` of lines that lie in front of the camera, and which have one."""
    z = lines[..., 2]
    shown = z.max(axis=-1) >= _NEAR_M
    cut = (z < _NEAR_M) & shown[..., None]
    if cut.any():
        share = np.where(cut, _NEAR_M - z, 0.0) / np.where(cut, z[..., ::-1] - z, 1.0)
        lines = lines + share[..., None] * (lines[..., ::-1, :] - lines)
    return lines, shown
