"""3D intersection over union of posed boxes, in the three ways that figures of this field are made.

A pose here is a similarity as in NOCS result files, ``S_camera_object`` ``(4, 4)``: it maps unitless NOCS coordinates
into camera coordinates in metres, so its 3x3 block carries the scale. Extents are in NOCS units.
"""

from __future__ import annotations

import math
from enum import Enum

import numpy as np

from clipose_ros.evaluation.metrics.box_intersection import intersection_volume
from clipose_ros.geometry.boxes import box_corners
from clipose_ros.geometry.se3 import exp_so3, make_transform
from clipose_ros.types import BoolArray, FloatArray


class IouKind(str, Enum):
    """How the overlap of two boxes is measured. A figure means nothing without it."""

    RELEASED = "released"
    CORRECTED = "corrected"
    ORIENTED = "oriented"

    @property
    def meaning(self) -> str:
        """In a sentence."""
        return {
            IouKind.RELEASED: "as in the NOCS release: the extremes are taken over x, y, z of each corner, "
            "so it is no volume; what papers report",
            IouKind.CORRECTED: "boxes around the objects' corners along the camera's axes",
            IouKind.ORIENTED: "the true volume that the oriented boxes share",
        }[self]


TURNS: FloatArray = make_transform(
    exp_so3(np.linspace(0.0, 2.0 * math.pi, 20, endpoint=False)[:, None] * [0.0, 1.0, 0.0]), np.zeros(3)
)
"""``(20, 4, 4)`` turns about y; an axially symmetric object is given the best of them."""


def pairwise_iou(
    kind: IouKind,
    S_estimate: FloatArray,
    extents_estimate: FloatArray,
    S_true: FloatArray,
    extents_true: FloatArray,
    axial: BoolArray,
) -> FloatArray:
    """IoU of every estimated box with every true one.

    Args:
        kind: How it is measured.
        S_estimate: ``(P, 4, 4)`` similarities.
        extents_estimate: ``(P, 3)``, NOCS units.
        S_true: ``(G, 4, 4)``.
        extents_true: ``(G, 3)``.
        axial: ``(G,)``, whether any turn about y leaves the true object the same.

    Returns:
        ``(P, G)`` float64 in [0, 1]; 0 where an estimate is not finite or has no extent.
    """
    result = np.zeros((len(S_estimate), len(S_true)))
    for flag, turns in ((False, TURNS[:1]), (True, TURNS)):
        chosen = np.flatnonzero(np.asarray(axial, dtype=bool) == flag)
        if chosen.size and len(S_estimate):
            turned = (S_estimate[:, None] @ turns)[:, None]
            values = box_iou(
                kind, turned, extents_estimate[:, None, None], S_true[chosen, None], extents_true[chosen, None]
            )
            result[:, chosen] = values.max(axis=-1)
    return result


def box_iou(
    kind: IouKind, S_a: FloatArray, extents_a: FloatArray, S_b: FloatArray, extents_b: FloatArray
) -> FloatArray:
    """IoU of boxes whose leading dimensions broadcast; no symmetry.

    Args:
        kind: How it is measured.
        S_a: ``(..., 4, 4)`` similarities.
        extents_a: ``(..., 3)``, NOCS units.
        S_b: As ``S_a``.
        extents_b: As ``extents_a``.

    Returns:
        ``(...)`` float64 in [0, 1].
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if kind is IouKind.ORIENTED:
            shared, volume_a, volume_b = _oriented(S_a, extents_a, S_b, extents_b)
        else:
            # the release takes the extremes of each corner over x, y, z, where each axis over the corners was meant
            over = -1 if kind is IouKind.RELEASED else -2
            shared, volume_a, volume_b = _aligned(box_corners(S_a, extents_a), box_corners(S_b, extents_b), over)
        ratio = shared / (volume_a + volume_b - shared)
    return np.asarray(np.where(np.isfinite(ratio), ratio, 0.0))


def split_similarity(S: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rotation ``(..., 3, 3)`` and scale ``(...)`` of a similarity ``(..., 4, 4)``; not finite where that is null."""
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.cbrt(np.linalg.det(S[..., :3, :3]))
        return S[..., :3, :3] / scale[..., None, None], scale


def _aligned(corners_a: FloatArray, corners_b: FloatArray, over: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Shared product of ranges, and each box's own, of corners' extremes over an axis."""
    low_a, high_a = corners_a.min(axis=over), corners_a.max(axis=over)
    low_b, high_b = corners_b.min(axis=over), corners_b.max(axis=over)
    shared = np.clip(np.minimum(high_a, high_b) - np.maximum(low_a, low_b), 0.0, None)
    return shared.prod(axis=-1), (high_a - low_a).prod(axis=-1), (high_b - low_b).prod(axis=-1)


def _oriented(
    S_a: FloatArray, extents_a: FloatArray, S_b: FloatArray, extents_b: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Shared volume, and each box's own."""
    (R_a, scale_a), (R_b, scale_b) = split_similarity(S_a), split_similarity(S_b)
    size_a, size_b = np.abs(scale_a)[..., None] * extents_a, np.abs(scale_b)[..., None] * extents_b
    shared = intersection_volume(R_a, S_a[..., :3, 3], size_a, R_b, S_b[..., :3, 3], size_b)
    return shared, size_a.prod(axis=-1), size_b.prod(axis=-1)
