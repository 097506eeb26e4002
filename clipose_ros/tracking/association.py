"""Association of detections with tracks."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from clipose_ros.types import BoolArray, FloatArray


def associate(
    tracks: FloatArray, detections: FloatArray, gate_m: float, comparable: BoolArray | None = None
) -> list[tuple[int, int]]:
    """Assign detections to tracks by distance.

    The assignment has as many pairs within the gate as possible and, among those, the least sum of distances.

    Args:
        tracks: ``(M, 3)`` positions, metres.
        detections: ``(N, 3)`` positions in the same frame.
        gate_m: Largest distance of a pair, metres.
        comparable: ``(M, N)`` bool, permitted pairs, such as those of one category; None permits all.

    Returns:
        Pairs of indices (track, detection); each index occurs at most once.

    References:
        Kuhn, "The Hungarian method for the assignment problem", 1955.
    """
    if not len(tracks) or not len(detections):
        return []
    distance = np.sqrt(np.square(tracks[:, None] - detections[None]).sum(axis=-1))
    allowed = distance <= gate_m
    if comparable is not None:
        allowed &= comparable
    # costs more than any set of allowed pairs, so that no allowed pair is given up for a shorter distance
    forbidden = gate_m * (min(distance.shape) + 1.0)
    rows, columns = linear_sum_assignment(np.where(allowed, distance, forbidden))
    chosen = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(i, j) for i, j in chosen if allowed[i, j]]
