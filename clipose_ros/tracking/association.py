"""Which detection continues which track."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from clipose_ros.types import BoolArray, FloatArray


def associate(
    tracks: FloatArray, detections: FloatArray, gate_m: float, comparable: BoolArray | None = None
) -> list[tuple[int, int]]:
    """Pair tracks with detections by distance.

    As many pairs as possible are made within the gate, and of those choices the one with the least sum of distances.

    Args:
        tracks: ``(M, 3)`` positions, metres.
        detections: ``(N, 3)`` positions in the same frame.
        gate_m: Farther apart than this nothing is paired, metres.
        comparable: ``(M, N)``, which pairs there may be at all, such as those of one category; all when None.

    Returns:
        Pairs (track, detection) of indices, each index at most once.

    References:
        Kuhn, "The Hungarian method for the assignment problem", 1955.
    """
    if not len(tracks) or not len(detections):
        return []
    distance = np.sqrt(np.square(tracks[:, None] - detections[None]).sum(axis=-1))
    allowed = distance <= gate_m
    if comparable is not None:
        allowed &= comparable
    # dearer than any set of allowed pairs, so that a pair is given up only where it must be
    forbidden = gate_m * (min(distance.shape) + 1.0)
    rows, columns = linear_sum_assignment(np.where(allowed, distance, forbidden))
    chosen = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(i, j) for i, j in chosen if allowed[i, j]]
