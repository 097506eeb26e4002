"""Positions of rejected instances, for markers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipose_ros.geometry.camera import backproject_pixels
from clipose_ros.geometry.se3 import transform_points
from clipose_ros.types import FloatArray, InstanceMask, Rejection, RgbdFrame


@dataclass(frozen=True, slots=True, eq=False)
class LocatedRejection:
    """Instance without a pose, and its position.

    Attributes:
        rejection: The rejection.
        position: ``(3,)`` metres, in the frame of the published poses.
    """

    rejection: Rejection
    position: FloatArray


def locate_rejections(
    frame: RgbdFrame, rejections: Sequence[Rejection], T_frame_camera: FloatArray
) -> list[LocatedRejection]:
    """Compute positions of rejected instances from the depth under their masks.

    Args:
        frame: Frame in which the instances were detected.
        rejections: Rejections of that frame.
        T_frame_camera: ``(4, 4)``, camera into the frame of the positions.

    Returns:
        Rejections with a position. Rejections without an instance, without valid depth under its mask, or with a
        position that is not finite, are left out.
    """
    located = []
    for rejection in rejections:
        position_camera = None if rejection.instance is None else _median_point(frame, rejection.instance)
        if position_camera is not None:
            position = transform_points(T_frame_camera, position_camera)[0]
            if np.isfinite(position).all():
                located.append(LocatedRejection(rejection, position))
    return located


def _median_point(frame: RgbdFrame, instance: InstanceMask) -> FloatArray | None:
    """Return the point ``(1, 3)`` at median column, row and depth of a mask, camera frame; None without valid depth."""
    x0, y0, x1, y1 = instance.box
    depth = frame.depth[y0:y1, x0:x1]
    v, u = np.nonzero(instance.mask & np.isfinite(depth) & (depth > 0.0))
    if not len(u):
        return None
    medians = np.array([np.median(u + x0), np.median(v + y0), np.median(depth[v, u])])
    return backproject_pixels(medians[:1], medians[1:2], medians[2:], frame.intrinsics)
