"""Which detection continues which track."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from clipose_ros.types import FloatArray


def associate(tracks: FloatArray, detections: FloatArray, gate_m: float) -> list[tuple[int, int]]:
    """Pair tracks with detections of the same category by distance.

    As many pairs as possible are made within the gate, and of those choices the one with the least sum of distances.

    Args:
        tracks: ``(M, 3)`` positions, metres.
        detections: ``(N, 3)`` positions in the same frame.
        gate_m: Farther apart than this nothing is paired, metres.

    Returns:
        Pairs (track, detection) of indices, each index at most once.

    References:
        Kuhn, "The Hungarian method for the assignment problem", 1955.
    """
    if not len(tracks) or not len(detections):
        return []
    distance = np.linalg.norm(tracks[:, None] - detections[None], axis=-1)
    # dearer than any set of allowed pairs, so that a pair is given up only where it must be
    forbidden = gate_m * (min(distance.shape) + 1.0)
    rows, columns = linear_sum_assignment(np.where(distance <= gate_m, distance, forbidden))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if distance[i, j] <= gate_m]
