"""The NOCS evaluation protocol: average precision over 3D IoU and over pose errors, per category and mean.

Predictions are matched per image and category in descending order of their scores.

- 3D IoU: at each threshold a prediction is matched with the truth of largest IoU above the threshold.
- Pose errors: only predictions and truths that are matched at IoU > 0.1 take part. A prediction is matched with the
  truth of the least sum of degrees and centimetres within both thresholds. The recall is relative to the matched
  truths alone, so truths without any prediction do not lower it. The released code counts in this way, and papers
  report these values.
  The difference between ``matched`` and ``truths`` is the number of ignored truths.

References:
    Wang et al., "Normalized Object Coordinate Space for Category-Level 6D Object Pose and Size Estimation", CVPR 2019,
    and its released evaluation code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clipose_ros.categories import NOCS_CATEGORIES, Category, CategorySet
from clipose_ros.evaluation.metrics.average_precision import average_precision, descending, greedy_matches
from clipose_ros.evaluation.metrics.iou import IouKind, pairwise_iou, split_similarity
from clipose_ros.evaluation.metrics.pose_accuracy import THRESHOLDS
from clipose_ros.evaluation.results_file import NocsFrame
from clipose_ros.geometry.boxes import box_corners
from clipose_ros.types import BoolArray, FloatArray

MATCH_IOU = 0.1
"""IoU above which a prediction and a truth take part in the evaluation of poses."""

CATEGORY_WITH_HANDLE = "mug"
"""NOCS category that is axially symmetric while its handle is hidden."""


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of average precision.

    Attributes:
        iou: IoU thresholds, 0 to 1.
        pose: Pairs of degrees and centimetres.
    """

    iou: tuple[float, ...] = (0.25, 0.50, 0.75)
    pose: tuple[tuple[float, float], ...] = THRESHOLDS

    @property
    def names(self) -> list[str]:
        """Return the names of all thresholds in order, such as ``IoU50`` and ``5deg2cm``."""
        return [f"IoU{100.0 * t:g}" for t in self.iou] + [f"{degrees:g}deg{cm:g}cm" for degrees, cm in self.pose]


TABLE = Thresholds()
"""Thresholds of published result tables."""


@dataclass(frozen=True, eq=False)
class MatchedPair:
    """A prediction and the truth matched with it at IoU > 0.1.

    Attributes:
        frame: Name of the frame.
        category: Name of the category.
        iou: IoU of the evaluated kind.
        rotation_deg: Rotation error, degrees; for objects symmetric about y the angle between the y axes.
        translation_cm: Distance between the centres, centimetres.
        corners_estimate: ``(8, 3)`` corners of the predicted box, camera frame, metres.
        corners_true: ``(8, 3)`` corners of the true box, camera frame, metres.
    """

    frame: str
    category: str
    iou: float
    rotation_deg: float
    translation_cm: float
    corners_estimate: FloatArray
    corners_true: FloatArray


@dataclass(frozen=True, eq=False)
class Scores:
    """Counts and average precision of one category, or the mean over categories.

    Attributes:
        truths: Number of true objects.
        predictions: Number of predicted objects.
        matched: Number of truths matched at IoU > 0.1.
        thresholds: Thresholds of the average precision.
        iou_ap: ``(K,)`` average precision at the IoU thresholds, per cent; NaN for a category without truths.
        pose_ap: ``(T,)`` average precision at the pose thresholds, per cent; NaN for a category without truths.
        pairs: Matched pairs.
    """

    truths: int
    predictions: int
    matched: int
    thresholds: Thresholds
    iou_ap: FloatArray
    pose_ap: FloatArray
    pairs: tuple[MatchedPair, ...] = ()


def evaluate_frames(
    frames: Iterable[NocsFrame],
    categories: CategorySet,
    kinds: Sequence[IouKind] = tuple(IouKind),
    thresholds: Thresholds = TABLE,
) -> dict[IouKind, dict[str, Scores]]:
    """Evaluate predictions with the NOCS protocol.

    Args:
        frames: Truths and predictions, read once in order.
        categories: Categories; their ids are the class ids of the frames. Objects with other ids are ignored.
        kinds: Kinds of IoU, evaluated independently. The kind also determines which poses take part.
        thresholds: Thresholds of the average precision.

    Returns:
        Scores by kind and by category in the order of the set, with the mean over categories that have truths as
        ``mean``.
    """
    accumulators = {kind: [_CategoryMatches(category, kind, thresholds) for category in categories] for kind in kinds}
    for frame in frames:
        for accumulator in (accumulator for per_kind in accumulators.values() for accumulator in per_kind):
            accumulator.add(frame)
    return {
        kind: _with_mean([accumulator.scores() for accumulator in per_kind], categories)
        for kind, per_kind in accumulators.items()
    }


def as_record(scores: Scores, thresholds: Thresholds = TABLE) -> dict[str, float | None]:
    """Return plain values for JSON: counts, and average precision at ``thresholds``, None where it is not defined."""
    values = (None if np.isnan(v) else float(v) for v in (*scores.iou_ap, *scores.pose_ap))
    figures = dict(zip(scores.thresholds.names, values, strict=True))
    counts: dict[str, float | None] = {
        "truths": scores.truths,
        "predictions": scores.predictions,
        "matched": scores.matched,
    }
    return counts | {name: figures[name] for name in thresholds.names}


def records_by_kind(by_kind: Mapping[IouKind, Mapping[str, Scores]]) -> dict[str, object]:
    """Return plain values for JSON: the description of each kind and the record of each category."""
    return {
        kind.value: {
            "meaning": kind.meaning,
            "categories": {name: as_record(scores) for name, scores in table.items()},
        }
        for kind, table in by_kind.items()
    }


def axially_symmetric(category: Category, handle_visible: BoolArray) -> BoolArray:
    """Return which objects of a category are symmetric about y.

    Among the NOCS categories the benchmark considers the visibility of the handle for mugs only, so other values in a
    file are ignored.

    Args:
        category: The category.
        handle_visible: ``(N,)`` visibility of the handle of each object.

    Returns:
        ``(N,)`` bool.
    """
    has_handle = category.name == CATEGORY_WITH_HANDLE or category.name not in NOCS_CATEGORIES.names
    return np.asarray((~handle_visible & has_handle) | category.symmetry.axial_y)


def pose_errors(S_estimate: FloatArray, S_true: FloatArray, axial: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Compute the rotation and translation errors between every estimate and every truth.

    Args:
        S_estimate: ``(P, 4, 4)`` similarities; the rotation error is 180 degrees if one has scale 0 or is not finite.
        S_true: ``(G, 4, 4)`` similarities.
        axial: ``(G,)``, True for objects symmetric about y, whose error is the angle between the y axes.

    Returns:
        ``(P, G)`` degrees and ``(P, G)`` centimetres.
    """
    R_estimate, R_true = split_similarity(S_estimate)[0], split_similarity(S_true)[0]
    y_estimate, y_true = R_estimate[:, :, 1], R_true[:, :, 1]
    # Matrices of result files are similarities up to rounding only, so the y axes need not have unit length.
    lengths = np.linalg.norm(y_estimate, axis=-1)[:, None] * np.linalg.norm(y_true, axis=-1)
    with np.errstate(invalid="ignore"):
        axis_cosine = y_estimate @ y_true.T / lengths
        rotation_cosine = 0.5 * (np.einsum("pij,gij->pg", R_estimate, R_true) - 1.0)
    cosine = np.where(axial, axis_cosine, rotation_cosine)
    degrees = np.degrees(np.arccos(np.clip(np.where(np.isfinite(cosine), cosine, -1.0), -1.0, 1.0)))
    metres = np.linalg.norm(S_estimate[:, None, :3, 3] - S_true[None, :, :3, 3], axis=-1)
    return degrees, np.where(np.isfinite(metres), 100.0 * metres, np.inf)


class _CategoryMatches:
    """Accumulates the matches of one category over all frames."""

    def __init__(self, category: Category, kind: IouKind, thresholds: Thresholds) -> None:
        self._category = category
        self._kind = kind
        self._thresholds = thresholds
        self._iou_thresholds = np.array([MATCH_IOU, *thresholds.iou])
        self._pose_thresholds = np.array(thresholds.pose).reshape(-1, 2)
        self._truths = 0
        self._scores: list[FloatArray] = [np.zeros(0)]
        self._iou_hits = [np.zeros((len(thresholds.iou), 0), dtype=bool)]
        self._pose_scores: list[FloatArray] = [np.zeros(0)]
        self._pose_hits = [np.zeros((len(thresholds.pose), 0), dtype=bool)]
        self._pairs: list[MatchedPair] = []

    def add(self, frame: NocsFrame) -> None:
        """Add the matches of a frame."""
        is_true = frame.truths.class_ids == self._category.id
        is_predicted = frame.predictions.class_ids == self._category.id
        if not is_true.any() and not is_predicted.any():
            return
        mine = np.flatnonzero(is_predicted)
        mine = mine[descending(frame.scores[mine])]
        axial = axially_symmetric(self._category, frame.handle_visible[is_true])
        S_estimate, S_true = frame.predictions.S_camera_object[mine], frame.truths.S_camera_object[is_true]
        extents = frame.predictions.extents[mine], frame.truths.extents[is_true]
        # single precision, to which the release rounds before it compares
        iou = pairwise_iou(self._kind, S_estimate, extents[0], S_true, extents[1], axial).astype(np.float32)
        matches = greedy_matches(descending(iou), iou > self._iou_thresholds[:, None, None])
        self._truths += len(axial)
        self._scores.append(frame.scores[mine])
        self._iou_hits.append(matches[1:] >= 0)

        found = np.flatnonzero(matches[0] >= 0)
        partners = matches[0, found]
        degrees, cm = pose_errors(S_estimate[found], S_true, axial)
        corners = box_corners(S_estimate[found], extents[0][found]), box_corners(S_true[partners], extents[1][partners])
        for row, (i, j) in enumerate(zip(found, partners, strict=True)):
            errors = float(iou[i, j]), float(degrees[row, j]), float(cm[row, j])
            self._pairs.append(MatchedPair(frame.name, self._category.name, *errors, corners[0][row], corners[1][row]))
        # In the order of the file, which decides between equal errors.
        kept = np.sort(partners)
        self._add_poses(frame.scores[mine[found]], degrees[:, kept], cm[:, kept])

    def _add_poses(self, scores: FloatArray, degrees: FloatArray, cm: FloatArray) -> None:
        """Add the pose matches among matched predictions and truths, given their errors ``(P, G)``."""
        limits = self._pose_thresholds[:, :, None, None]
        # As in the release, an error equal to the threshold is within it.
        within = ~((degrees > limits[:, 0]) | (cm > limits[:, 1]))
        matches = greedy_matches(np.argsort(degrees + cm, axis=-1, kind="stable"), within)
        self._pose_scores.append(scores)
        self._pose_hits.append(matches >= 0)

    def scores(self) -> Scores:
        """Return the scores of the category."""
        scores, pose_scores = np.concatenate(self._scores), np.concatenate(self._pose_scores)
        iou_ap = average_precision(np.concatenate(self._iou_hits, axis=1), scores, self._truths)
        pose_ap = average_precision(np.concatenate(self._pose_hits, axis=1), pose_scores, len(self._pairs))
        defined = 100.0 if self._truths else np.nan
        counts = self._truths, len(scores), len(self._pairs)
        return Scores(*counts, self._thresholds, defined * iou_ap, defined * pose_ap, tuple(self._pairs))


def _with_mean(rows: Sequence[Scores], categories: CategorySet) -> dict[str, Scores]:
    """Return the scores by name of the category, and the mean over categories with truths as ``mean``."""
    table = dict(zip(categories.names, rows, strict=True))
    known = [row for row in rows if row.truths]
    table["mean"] = Scores(
        truths=sum(row.truths for row in rows),
        predictions=sum(row.predictions for row in rows),
        matched=sum(row.matched for row in rows),
        thresholds=rows[0].thresholds,
        iou_ap=_mean([row.iou_ap for row in known], rows[0].iou_ap),
        pose_ap=_mean([row.pose_ap for row in known], rows[0].pose_ap),
    )
    return table


def _mean(values: Sequence[FloatArray], like: FloatArray) -> FloatArray:
    """Return the mean of arrays; NaN in the shape of ``like`` for no arrays."""
    return np.mean(values, axis=0) if values else np.full_like(like, np.nan)
