"""Checks of stored clouds: training on degenerate clouds fails late, or succeeds with wrong weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from clipose_ros.types import BoolArray, FloatArray

MIN_SIZE_M, MAX_SIZE_M = 1e-3, 10.0
"""Smallest and largest full extent of an object, metres."""
MIN_SPREAD_M = 1e-4
"""Smallest extent of a cloud along its longest axis, metres."""
MAX_DISTANCE_RATIO = 10.0
"""Largest distance of the mean point from the object's centre, relative to the object's diagonal."""
_ORTHOGONALITY_TOLERANCE = 1e-3
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class CloudFault:
    """Reason why clouds cannot be used.

    Attributes:
        row: Row of the first affected cloud.
        reason: What is wrong with it.
        count: Number of clouds with this fault.
    """

    row: int
    reason: str
    count: int


def find_fault(points: FloatArray, T_camera_object: FloatArray, size: FloatArray) -> CloudFault | None:
    """Return the first degenerate cloud, or None.

    Clouds must be finite and extended, lie near their object, and have a rigid pose and a size of an object, in metres.

    Args:
        points: ``(S, N, 3)`` metres, camera frame; N at least 1.
        T_camera_object: ``(S, 4, 4)`` poses, metres.
        size: ``(S, 3)`` full extents, metres.
    """
    finite = np.empty(len(points), dtype=bool)
    mean, spread = np.empty((len(points), 3)), np.empty(len(points))
    # In chunks, because comparisons of all points at once would need as much memory as the points.
    for first in range(0, len(points), _CHUNK):
        rows = slice(first, first + _CHUNK)
        # Reductions along the last axis are the fast ones.
        axes = np.ascontiguousarray(np.swapaxes(points[rows], 1, 2), dtype=np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            low, high = axes.min(axis=2), axes.max(axis=2)
            # Minimum and maximum of values that are not all finite are not finite.
            finite[rows] = np.isfinite(low).all(axis=1) & np.isfinite(high).all(axis=1)
            mean[rows], spread[rows] = axes.mean(axis=2), (high - low).max(axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        for is_good, reason in _checks(
            finite, mean, spread, T_camera_object.astype(np.float64), size.astype(np.float64)
        ):
            if not is_good.all():
                row = int(np.flatnonzero(~is_good)[0])
                return CloudFault(row, reason(row), int(np.count_nonzero(~is_good)))
    return None


def _checks(
    finite: BoolArray, mean: FloatArray, spread: FloatArray, T: FloatArray, size: FloatArray
) -> Iterator[tuple[BoolArray, Callable[[int], str]]]:
    """Yield the clouds that pass each check, ``(S,)``, and the reason why a row fails."""
    R, t = T[:, :3, :3], T[:, :3, 3]
    yield finite, lambda row: "a point is not finite"
    yield np.asarray(np.isfinite(T).all(axis=(1, 2))), lambda row: f"its pose is not finite: {_text(T[row, :3])}"
    yield (
        np.asarray(((size >= MIN_SIZE_M) & (size <= MAX_SIZE_M)).all(axis=1)),
        lambda row: f"its size is {_text(size[row])}, expected {MIN_SIZE_M} to {MAX_SIZE_M} m: is the unit metres?",
    )
    error = np.abs(R @ np.swapaxes(R, 1, 2) - np.eye(3)).max(axis=(1, 2))
    yield np.asarray(error < _ORTHOGONALITY_TOLERANCE), lambda row: f"its rotation is not orthogonal: {_text(R[row])}"
    yield (
        np.asarray(np.linalg.det(R) > 0.0),
        lambda row: f"its rotation is mirrored: {_text(R[row])}",
    )
    yield (T[:, 3] == (0.0, 0.0, 0.0, 1.0)).all(axis=1), lambda row: f"the last row of its pose is {_text(T[row, 3])}"
    yield spread >= MIN_SPREAD_M, lambda row: f"all points lie within {MIN_SPREAD_M} m of {_text(mean[row])}"
    distance = np.linalg.norm(mean - t, axis=1)
    yield (
        distance <= MAX_DISTANCE_RATIO * np.linalg.norm(size, axis=1),
        lambda row: (
            f"its points lie {distance[row]:.3g} m from the object, which is {_text(size[row])} m in size: are points "
            "and pose in metres and of the same camera?"
        ),
    )


def _text(values: FloatArray) -> str:
    """Return rounded values for a message."""
    return str([float(f"{value:.3g}") for value in values.reshape(-1)])
