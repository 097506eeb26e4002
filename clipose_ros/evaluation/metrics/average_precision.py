"""Greedy matching of predictions with truths and average precision, as in the released NOCS evaluation code.

Of equal values the later one is sorted first, like the reversed sort of the release does with short lists.
"""

from __future__ import annotations

import numpy as np

from clipose_ros.types import BoolArray, FloatArray, IndexArray


def descending(values: FloatArray) -> IndexArray:
    """Return the indices that sort the last axis in descending order."""
    return np.asarray(np.argsort(values, axis=-1, kind="stable")[..., ::-1])


def greedy_matches(preference: IndexArray, admissible: BoolArray) -> IndexArray:
    """Match each prediction in turn with its most preferred truth that is admissible and not matched yet.

    Args:
        preference: ``(P, G)`` indices of truths; row i is in the order of preference of prediction i. Predictions are
            sorted by descending score.
        admissible: ``(T, P, G)``, True for the pairs that satisfy each of T thresholds.

    Returns:
        ``(T, P)`` index of the matched truth, -1 for none.
    """
    thresholds, predictions, truths = admissible.shape
    matches = np.full((thresholds, predictions), -1)
    taken = np.zeros((thresholds, truths), dtype=bool)
    # All thresholds are matched at once: a pair may be admissible at some of them only.
    for i, row in enumerate(preference):
        for j in row:
            matched = admissible[:, i, j] & ~taken[:, j] & (matches[:, i] < 0)
            matches[matched, i] = j
            taken[matched, j] = True
    return matches


def average_precision(hits: BoolArray, scores: FloatArray, truths: int) -> FloatArray:
    """Compute the area under the interpolated precision-recall curve, as in Pascal VOC 2010 and later.

    The precision at each recall is replaced by the largest precision at this or any higher recall.

    Args:
        hits: ``(T, P)``, True for predictions that are matched at each of T thresholds.
        scores: ``(P,)`` scores of the predictions.
        truths: Number of true objects.

    Returns:
        ``(T,)`` average precision, 0 to 1; 0 if there are no true objects.
    """
    if truths == 0:
        return np.zeros(len(hits))
    # Recall rises by 1 / truths at each hit, so the area is a sum over the hits.
    hits = hits[:, descending(scores)]
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    best_from_here = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((hits * best_from_here).sum(axis=1) / truths)
