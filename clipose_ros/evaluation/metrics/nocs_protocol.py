"""The NOCS evaluation protocol: average precision over 3D IoU and over pose errors, per category and mean.

Predictions are matched per image and category, best score first. At an IoU threshold a prediction takes the truth it
overlaps most. A pose counts only between predictions and truths that were matched at IoU > 0.1, and its recall is over
those truths alone: what was not found at all is not held against it. That is how the release counts and what papers
report; ``matched`` beside ``truths`` says how much it hides. Among these, a prediction takes the truth with the least
sum of degrees and centimetres that lies within both thresholds.

References:
    Wang et al., "Normalized Object Coordinate Space for Category-Level 6D Object Pose and Size Estimation", CVPR 2019,
    and the behaviour of its released evaluation code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clipose_ros.categories import NOCS_CATEGORIES, Category, CategorySet
from clipose_ros.evaluation.metrics.average_precision import average_precision, descending, greedy_matches
from clipose_ros.evaluation.metrics.iou import IouKind, pairwise_iou, split_similarity
from clipose_ros.evaluation.metrics.pose_accuracy import THRESHOLDS
from clipose_ros.evaluation.results_file import NocsFrame
from clipose_ros.geometry.boxes import box_corners
from clipose_ros.types import BoolArray, FloatArray

MATCH_IOU = 0.1
"""A pose is judged only where the boxes overlap by more."""

HANDLED = "mug"
"""The category that is axially symmetric where its handle is hidden."""


@dataclass(frozen=True)
class Thresholds:
    """Where average precision is taken: IoUs, and pairs of degrees and centimetres."""

    iou: tuple[float, ...] = (0.25, 0.50, 0.75)
    pose: tuple[tuple[float, float], ...] = THRESHOLDS

    @property
    def names(self) -> list[str]:
        """Of all figures in order, such as ``IoU50`` and ``5deg2cm``."""
        return [f"IoU{100.0 * t:g}" for t in self.iou] + [f"{degrees:g}deg{cm:g}cm" for degrees, cm in self.pose]


TABLE = Thresholds()
"""Those of the field's tables."""


@dataclass(frozen=True, eq=False)
class MatchedPair:
    """A prediction and the truth it was matched with at IoU > 0.1.

    Attributes:
        frame: Name of the frame.
        category: Name of the category.
        iou: Of the kind that was scored.
        rotation_deg: Of the y axis alone where any turn about y looks the same.
        translation_cm: Between the centres.
        corners_estimate: ``(8, 3)`` corners of the predicted box, camera frame, metres.
        corners_true: ``(8, 3)`` of the true one.
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
    """Figures of one category, or the mean over categories.

    Attributes:
        truths: Objects there are.
        predictions: Objects predicted.
        matched: Truths found at IoU > 0.1.
        thresholds: Where average precision was taken.
        iou_ap: ``(K,)`` per cent, at the IoU thresholds; NaN of a category without truths.
        pose_ap: ``(T,)`` per cent, at the pose thresholds; likewise.
        pairs: What was matched.
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
    """Score predictions against truths.

    Args:
        frames: Read once, in order.
        categories: Their ids are the files' class ids; objects of other ids are left out.
        kinds: The kinds of IoU to score with, each for itself: it also decides which poses are judged.
        thresholds: Where to take average precision.

    Returns:
        By kind: scores by category in the set's order, and under ``mean`` the mean over categories that have truths.
    """
    tallies = {kind: [_Tally(category, kind, thresholds) for category in categories] for kind in kinds}
    for frame in frames:
        for tally in (tally for of_kind in tallies.values() for tally in of_kind):
            tally.add(frame)
    return {kind: _with_mean([tally.scores() for tally in of_kind], categories) for kind, of_kind in tallies.items()}


def as_record(scores: Scores, thresholds: Thresholds = TABLE) -> dict[str, Any]:
    """Plain values for JSON: counts, and per cent at those of the scores' thresholds; None where nothing is defined."""
    values = (None if np.isnan(v) else float(v) for v in (*scores.iou_ap, *scores.pose_ap))
    figures = dict(zip(scores.thresholds.names, values, strict=True))
    counts = {"truths": scores.truths, "predictions": scores.predictions, "matched": scores.matched}
    return counts | {name: figures[name] for name in thresholds.names}


def records_by_kind(by_kind: Mapping[IouKind, Mapping[str, Scores]]) -> dict[str, Any]:
    """Plain values for JSON: by kind what it means, and the record of each category."""
    return {
        kind.value: {
            "meaning": kind.meaning,
            "categories": {name: as_record(scores) for name, scores in table.items()},
        }
        for kind, table in by_kind.items()
    }


def axially_symmetric(category: Category, handle_visible: BoolArray) -> BoolArray:
    """Which objects of a category look the same at any turn about y, given whether each one's handle is seen.

    Of the benchmark's categories mugs alone have a handle to its mind, whatever a file tells of the others.
    """
    told = category.name == HANDLED or category.name not in NOCS_CATEGORIES.names
    return np.asarray((~handle_visible & told) | category.symmetry.axial_y)


def pose_errors(S_estimate: FloatArray, S_true: FloatArray, axial: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Angles and distances between every estimate and every truth.

    Args:
        S_estimate: ``(P, 4, 4)`` similarities; one without scale or not finite is half a turn off.
        S_true: ``(G, 4, 4)``.
        axial: ``(G,)``: where set, the angle between the y axes counts, else that of the whole turn.

    Returns:
        ``(P, G)`` degrees and ``(P, G)`` centimetres.
    """
    R_estimate, R_true = split_similarity(S_estimate)[0], split_similarity(S_true)[0]
    y_estimate, y_true = R_estimate[:, :, 1], R_true[:, :, 1]
    lengths = np.linalg.norm(y_estimate, axis=-1)[:, None] * np.linalg.norm(y_true, axis=-1)
    with np.errstate(invalid="ignore"):
        of_axes = y_estimate @ y_true.T / lengths
        of_turns = 0.5 * (np.einsum("pij,gij->pg", R_estimate, R_true) - 1.0)
    cosine = np.where(axial, of_axes, of_turns)
    degrees = np.degrees(np.arccos(np.clip(np.where(np.isfinite(cosine), cosine, -1.0), -1.0, 1.0)))
    metres = np.linalg.norm(S_estimate[:, None, :3, 3] - S_true[None, :, :3, 3], axis=-1)
    return degrees, np.where(np.isfinite(metres), 100.0 * metres, np.inf)


class _Tally:
    """What a category gathers over the frames."""

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
        """Count a frame."""
        is_true = frame.truths.class_ids == self._category.id
        is_predicted = frame.predictions.class_ids == self._category.id
        if not is_true.any() and not is_predicted.any():
            return
        mine = np.flatnonzero(is_predicted)
        mine = mine[descending(frame.scores[mine])]
        axial = axially_symmetric(self._category, frame.handle_visible[is_true])
        S_estimate, S_true = frame.predictions.S_camera_object[mine], frame.truths.S_camera_object[is_true]
        extents = frame.predictions.extents[mine], frame.truths.extents[is_true]
        # single precision, for the release rounds so before it compares
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
        kept = np.sort(partners)
        self._add_poses(frame.scores[mine[found]], degrees[:, kept], cm[:, kept])

    def _add_poses(self, scores: FloatArray, degrees: FloatArray, cm: FloatArray) -> None:
        """Count the poses of predictions and truths that were matched: ``(P, G)`` errors."""
        limits = self._pose_thresholds[:, :, None, None]
        within = ~((degrees > limits[:, 0]) | (cm > limits[:, 1]))
        matches = greedy_matches(np.argsort(degrees + cm, axis=-1, kind="stable"), within)
        self._pose_scores.append(scores)
        self._pose_hits.append(matches >= 0)

    def scores(self) -> Scores:
        """The figures."""
        scores, pose_scores = np.concatenate(self._scores), np.concatenate(self._pose_scores)
        iou_ap = average_precision(np.concatenate(self._iou_hits, axis=1), scores, self._truths)
        pose_ap = average_precision(np.concatenate(self._pose_hits, axis=1), pose_scores, len(self._pairs))
        defined = 100.0 if self._truths else np.nan
        counts = self._truths, len(scores), len(self._pairs)
        return Scores(*counts, self._thresholds, defined * iou_ap, defined * pose_ap, tuple(self._pairs))


def _with_mean(rows: Sequence[Scores], categories: CategorySet) -> dict[str, Scores]:
    """Rows by name, and their mean over categories that have truths."""
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
    """Mean of figures, NaN of none."""
    return np.mean(values, axis=0) if values else np.full_like(like, np.nan)
