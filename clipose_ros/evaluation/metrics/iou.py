"""3D intersection over union (IoU) of posed boxes, in the three variants used in the literature.

Poses are similarities as in NOCS result files, ``S_camera_object`` ``(4, 4)``. They map unitless NOCS coordinates into
camera coordinates in metres, so the 3x3 block contains the scale. Extents are in NOCS units.
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
    """Definition of the overlap of two boxes. IoU values of different kinds are not comparable."""

    RELEASED = "released"
    CORRECTED = "corrected"
    ORIENTED = "oriented"

    @property
    def meaning(self) -> str:
        """Return a description of the kind."""
        return {
            IouKind.RELEASED: "as in the NOCS release and in papers: the extremes are taken over x, y, z of "
            "each corner, so the value is not a ratio of volumes",
            IouKind.CORRECTED: "boxes around the corners of the objects, aligned with the axes of the camera",
            IouKind.ORIENTED: "the volume of the intersection of the oriented boxes",
        }[self]


TURNS: FloatArray = make_transform(
    exp_so3(np.linspace(0.0, 2.0 * math.pi, 20, endpoint=False)[:, None] * [0.0, 1.0, 0.0]), np.zeros(3)
)
"""``(20, 4, 4)`` rotations about y. The IoU of an axially symmetric object is the maximum over them."""


def pairwise_iou(
    kind: IouKind,
    S_estimate: FloatArray,
    extents_estimate: FloatArray,
    S_true: FloatArray,
    extents_true: FloatArray,
    axial: BoolArray,
) -> FloatArray:
    """Compute the IoU of every estimated box with every true box.

    Args:
        kind: Definition of the overlap.
        S_estimate: ``(P, 4, 4)`` similarities.
        extents_estimate: ``(P, 3)``, NOCS units.
        S_true: ``(G, 4, 4)``.
        extents_true: ``(G, 3)``.
        axial: ``(G,)``, True for objects that are symmetric about y.

    Returns:
        ``(P, G)`` float64 in [0, 1]; 0 for estimates that are not finite or have no extent.
    """
    result = np.zeros((len(S_estimate), len(S_true)))
    # Two batches: the 20 rotations are computed for axially symmetric truths only.
    for flag, turns in ((False, TURNS[:1]), (True, TURNS)):
        chosen = np.flatnonzero(np.asarray(axial, dtype=bool) == flag)
        if chosen.size and len(S_estimate):
            rotated = (S_estimate[:, None] @ turns)[:, None]
            values = box_iou(
                kind, rotated, extents_estimate[:, None, None], S_true[chosen, None], extents_true[chosen, None]
            )
            result[:, chosen] = values.max(axis=-1)
    return result


def box_iou(
    kind: IouKind, S_a: FloatArray, extents_a: FloatArray, S_b: FloatArray, extents_b: FloatArray
) -> FloatArray:
    """Compute the IoU of boxes with broadcast leading dimensions, without symmetry.

    Args:
        kind: Definition of the overlap.
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
            # the release takes the extremes over x, y, z of each corner instead of over the corners for each axis
            over = -1 if kind is IouKind.RELEASED else -2
            shared, volume_a, volume_b = _aligned(box_corners(S_a, extents_a), box_corners(S_b, extents_b), over)
        ratio = shared / (volume_a + volume_b - shared)
    return np.asarray(np.where(np.isfinite(ratio), ratio, 0.0))


def split_similarity(S: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Split similarities ``(..., 4, 4)`` into rotations ``(..., 3, 3)`` and scales ``(...)``; NaN for scale 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        # det(s R) = s^3
        scale = np.cbrt(np.linalg.det(S[..., :3, :3]))
        return S[..., :3, :3] / scale[..., None, None], scale


def _aligned(corners_a: FloatArray, corners_b: FloatArray, over: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return intersection and both volumes from the extremes of the corners over an axis of the arrays."""
    low_a, high_a = corners_a.min(axis=over), corners_a.max(axis=over)
    low_b, high_b = corners_b.min(axis=over), corners_b.max(axis=over)
    shared = np.clip(np.minimum(high_a, high_b) - np.maximum(low_a, low_b), 0.0, None)
    return shared.prod(axis=-1), (high_a - low_a).prod(axis=-1), (high_b - low_b).prod(axis=-1)


def _oriented(
    S_a: FloatArray, extents_a: FloatArray, S_b: FloatArray, extents_b: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the volumes of intersection, first and second box."""
    (R_a, scale_a), (R_b, scale_b) = split_similarity(S_a), split_similarity(S_b)
    size_a, size_b = np.abs(scale_a[..., None] * extents_a), np.abs(scale_b[..., None] * extents_b)
    shared = intersection_volume(R_a, S_a[..., :3, 3], size_a, R_b, S_b[..., :3, 3], size_b)
    return shared, size_a.prod(axis=-1), size_b.prod(axis=-1)
