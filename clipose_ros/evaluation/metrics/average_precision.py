"""Greedy matching of predictions to truths, and the average precision that comes of it, as in the NOCS release.

Where values tie, the later one goes first: what the release's reversed sort did with short lists.
"""

from __future__ import annotations

import numpy as np

from clipose_ros.types import BoolArray, FloatArray, IndexArray


def descending(values: FloatArray) -> IndexArray:
    """Indices that sort the last axis from high to low."""
    return np.asarray(np.argsort(values, axis=-1, kind="stable")[..., ::-1])


def greedy_matches(preference: IndexArray, admissible: BoolArray) -> IndexArray:
    """Give each prediction in turn the first truth it prefers that is admissible and not taken.

    Args:
        preference: ``(P, G)``; row i lists the truths as prediction i prefers them. Predictions come best score first.
        admissible: ``(T, P, G)``, which pairs each of T thresholds lets pass.

    Returns:
        ``(T, P)``: the truth each prediction got, -1 where none.
    """
    thresholds, predictions, truths = admissible.shape
    matches = np.full((thresholds, predictions), -1)
    taken = np.zeros((thresholds, truths), dtype=bool)
    for i, row in enumerate(preference):
        for j in row:
            won = admissible[:, i, j] & ~taken[:, j] & (matches[:, i] < 0)
            matches[won, i] = j
            taken[won, j] = True
    return matches


def average_precision(hits: BoolArray, scores: FloatArray, truths: int) -> FloatArray:
    """Area under the precision-recall curve whose precision is made never to rise with recall (VOC 2010 and later).

    Args:
        hits: ``(T, P)``, whether each prediction has a truth, at each of T thresholds.
        scores: ``(P,)``.
        truths: How many there are to find.

    Returns:
        ``(T,)`` in [0, 1]; 0 where there is nothing to find.
    """
    if truths == 0:
        return np.zeros(len(hits))
    hits = hits[:, descending(scores)]
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((hits * best_from_here).sum(axis=1) / truths)
