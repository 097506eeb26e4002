"""Test-time augmentation: several forward passes per cloud, each over other points, every second one mirrored.

The errors of the passes differ, so their mean is more accurate than a single pass. Passes beyond the second are run
only for clouds whose first two passes disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.inference.engines.base import Engine, RawPoses
from clipose_ros.types import AXIS_CONFIDENCE_DECAY, BoolArray, FloatArray, IndexArray


def camera_reflections(categories: CategorySet) -> FloatArray:
    """Return the factors ``(C, 3)`` by which a mirrored pass multiplies clouds in the camera frame: left to right.

    A mirrored object appears as its reflection in its own plane z = 0. If that reflection leaves the category
    unchanged, the x and y axes of the mirrored view, mirrored back, are those of the object. Other categories are never
    mirrored: their factors are 1.
    """
    return _reflections([(-1.0, 1.0, 1.0) if category.symmetry.mirror_xy else _NONE for category in categories])


def object_reflections(categories: CategorySet) -> FloatArray:
    """Return the factors ``(C, 3)`` by which a mirrored pass multiplies clouds in the frames of ``EstimateFrames``.

    An object is mirrored in its own plane z = 0; an axially symmetric one left to right, so that the camera stays where
    it is.
    """
    return _reflections(
        [
            _NONE
            if not category.symmetry.mirror_xy
            else (-1.0, 1.0, 1.0)
            if category.symmetry.axial_y
            else (1.0, 1.0, -1.0)
            for category in categories
        ]
    )


_NONE = (1.0, 1.0, 1.0)


def _reflections(rows: list[tuple[float, float, float]]) -> FloatArray:
    return np.array(rows, np.float32)


@dataclass(frozen=True)
class _PassPoses:
    """Raw predictions of P passes over each of B clouds, in the camera's frame, mirroring undone.

    Attributes:
        axis_y: ``(B, P, 3)`` unit vectors.
        axis_x: ``(B, P, 3)`` unit vectors.
        confidence_y: ``(B, P)``.
        confidence_x: ``(B, P)``.
        translation: ``(B, P, 3)`` metres.
        size: ``(B, P, 3)`` metres.
    """

    axis_y: FloatArray
    axis_x: FloatArray
    confidence_y: FloatArray
    confidence_x: FloatArray
    translation: FloatArray
    size: FloatArray

    @classmethod
    def from_raw(cls, raw: RawPoses, reflection: FloatArray) -> _PassPoses:
        """Group the predictions for ``B * P`` views by cloud and mirror them back.

        Args:
            raw: Predictions, the passes of a cloud in sequence.
            reflection: ``(B, P, 3)`` factors by which the points of each view were multiplied.
        """
        shape = reflection.shape
        return cls(
            axis_y=raw.axis_y.reshape(shape) * reflection,
            axis_x=raw.axis_x.reshape(shape) * reflection,
            confidence_y=raw.confidence_y.reshape(shape[:2]),
            confidence_x=raw.confidence_x.reshape(shape[:2]),
            translation=raw.translation.reshape(shape) * reflection,
            size=raw.size.reshape(shape),
        )

    def select(self, rows: BoolArray) -> _PassPoses:
        """Return the passes of the clouds in ``rows`` ``(B,)``."""
        return _PassPoses(
            axis_y=self.axis_y[rows],
            axis_x=self.axis_x[rows],
            confidence_y=self.confidence_y[rows],
            confidence_x=self.confidence_x[rows],
            translation=self.translation[rows],
            size=self.size[rows],
        )

    def append(self, more: _PassPoses) -> _PassPoses:
        """Return these passes followed by further passes over the same clouds."""
        return _PassPoses(
            axis_y=np.concatenate([self.axis_y, more.axis_y], axis=1),
            axis_x=np.concatenate([self.axis_x, more.axis_x], axis=1),
            confidence_y=np.concatenate([self.confidence_y, more.confidence_y], axis=1),
            confidence_x=np.concatenate([self.confidence_x, more.confidence_x], axis=1),
            translation=np.concatenate([self.translation, more.translation], axis=1),
            size=np.concatenate([self.size, more.size], axis=1),
        )

    def mean(self) -> RawPoses:
        """Return the means over passes. Disagreement of the passes lowers the axis confidences."""
        axis_y, agreement_y = _mean_direction(self.axis_y)
        axis_x, agreement_x = _mean_direction(self.axis_x)
        return RawPoses(
            axis_y=axis_y,
            axis_x=axis_x,
            confidence_y=self.confidence_y.mean(axis=1) * agreement_y,
            confidence_x=self.confidence_x.mean(axis=1) * agreement_x,
            translation=self.translation.mean(axis=1),
            size=self.size.mean(axis=1),
        )


class TtaEngine:
    """Engine that averages several passes of another engine.

    Pass k rotates the points by k of ``max_passes`` equal shares of the cloud's random order, so that a network which
    uses the first points only is given others in each pass. Every second pass mirrors the cloud.

    Args:
        engine: Engine that runs the passes.
        max_passes: Maximum number of passes per object.
        disagreement_deg: Run passes beyond the second only if the axes of the first two differ by more, degrees: the y
            axis of axially symmetric categories, else x and y. 0 always runs all passes.
        reflections: ``(C, 3)`` factors of the mirrored passes by category; those of ``camera_reflections`` if left out.
    """

    def __init__(
        self, engine: Engine, max_passes: int, disagreement_deg: float = 0.0, reflections: FloatArray | None = None
    ) -> None:
        self._engine, self._max_passes = engine, max_passes
        self._reflections = camera_reflections(engine.categories) if reflections is None else reflections
        self._axial = np.array([category.symmetry.axial_y for category in engine.categories])
        self._first = min(max_passes, 2) if disagreement_deg > 0.0 else max_passes
        self._agreement_cos = np.cos(np.radians(disagreement_deg))

    @property
    def name(self) -> str:
        """Return the name of the engine that runs the passes."""
        return self._engine.name

    @property
    def device(self) -> str:
        """Return the device that computes."""
        return self._engine.device

    @property
    def categories(self) -> CategorySet:
        """Return the categories that the network was trained on."""
        return self._engine.categories

    def warm_up(self, points: int) -> None:
        """Compile and allocate for clouds of ``points`` points."""
        self._engine.warm_up(points)

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """Predict as ``Engine`` describes; each value is the mean over the passes of its cloud."""
        first = self._run_passes(points_camera, category, range(self._first))
        poses = first.mean()
        if self._first == self._max_passes or not (disagree := self._find_disagreement(first, category)).any():
            return poses
        later = range(self._first, self._max_passes)
        more = self._run_passes(points_camera[disagree], category[disagree], later)
        return _replace_rows(poses, disagree, first.select(disagree).append(more).mean())

    def predict_passes(self, points_camera: FloatArray, category: IndexArray, only_pass: IndexArray) -> RawPoses:
        """Predict with one pass for some clouds and all passes for the others.

        Args:
            points_camera: ``(B, N, 3)`` as ``Engine`` describes.
            category: ``(B,)`` indices of the categories.
            only_pass: ``(B,)`` number of the only pass of a cloud, counted on from 0 again beyond the last; negative
                runs all passes.
        """
        only_pass = np.where(only_pass < 0, only_pass, only_pass % self._max_passes)
        single = only_pass >= 0
        if not single.any():
            return self(points_camera, category)
        parts = []  # rows and poses
        for number in np.unique(only_pass[single]).tolist():
            rows = only_pass == number
            parts.append(
                (rows, self._run_passes(points_camera[rows], category[rows], range(number, number + 1)).mean())
            )
        if not single.all():
            parts.append((~single, self(points_camera[~single], category[~single])))
        return _merge_rows(parts)

    def _run_passes(self, points_camera: FloatArray, category: IndexArray, passes: range) -> _PassPoses:
        """Run the passes of the given numbers over each cloud ``(B, N, 3)``."""
        # The first points define the upper levels and, in some networks, are the only ones used.
        share = points_camera.shape[1] // self._max_passes
        points = np.stack([np.roll(points_camera, -share * number, axis=1) for number in passes], axis=1)
        mirrored = np.array(passes)[:, np.newaxis] % 2 == 1
        reflection = np.where(mirrored, self._reflections[category, np.newaxis], np.float32(1.0))
        points *= reflection[:, :, np.newaxis]
        # The passes of all clouds are one batch, the passes of a cloud in sequence.
        raw = self._engine(points.reshape(-1, *points_camera.shape[1:]), np.repeat(category, len(passes)))
        return _PassPoses.from_raw(raw, reflection)

    def _find_disagreement(self, poses: _PassPoses, category: IndexArray) -> BoolArray:
        """Return ``(B,)``: the clouds whose first two passes differ by more than the threshold in an axis."""
        # Unit vectors differ by more than an angle if their inner product is less than its cosine.
        y, x = (
            np.einsum("bi,bi->b", axis[:, 0], axis[:, 1]) < self._agreement_cos for axis in (poses.axis_y, poses.axis_x)
        )
        return np.asarray(y | (x & ~self._axial[category]))


def _replace_rows(poses: RawPoses, rows: BoolArray, replacements: RawPoses) -> RawPoses:
    """Return the poses with those of ``rows`` ``(B,)`` replaced."""

    def replace(values: FloatArray, others: FloatArray) -> FloatArray:
        result = values.copy()
        result[rows] = others
        return result

    return RawPoses(
        axis_y=replace(poses.axis_y, replacements.axis_y),
        axis_x=replace(poses.axis_x, replacements.axis_x),
        confidence_y=replace(poses.confidence_y, replacements.confidence_y),
        confidence_x=replace(poses.confidence_x, replacements.confidence_x),
        translation=replace(poses.translation, replacements.translation),
        size=replace(poses.size, replacements.size),
    )


def _merge_rows(parts: list[tuple[BoolArray, RawPoses]]) -> RawPoses:
    """Return the poses of a batch from those of disjoint sets of its rows ``(B,)``."""
    order = np.argsort(np.concatenate([np.flatnonzero(rows) for rows, _ in parts]))

    def merge(values: list[FloatArray]) -> FloatArray:
        return np.asarray(np.concatenate(values)[order])

    return RawPoses(
        axis_y=merge([poses.axis_y for _, poses in parts]),
        axis_x=merge([poses.axis_x for _, poses in parts]),
        confidence_y=merge([poses.confidence_y for _, poses in parts]),
        confidence_x=merge([poses.confidence_x for _, poses in parts]),
        translation=merge([poses.translation for _, poses in parts]),
        size=merge([poses.size for _, poses in parts]),
    )


def _mean_direction(axes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean directions ``(B, 3)`` of unit vectors ``(B, P, 3)`` and their agreement ``(B,)`` in (0, 1].

    The squared length of the mean of unit vectors is 1 less their mean squared distance d^2 from it. The agreement is
    ``exp(-AXIS_CONFIDENCE_DECAY * d^2)``, the confidence of an axis with that error. Multiplied by the mean confidence
    of the passes it gives a confidence that is rather too low than too high, and ranks poses better than the mean
    confidence alone. Axes that cancel each other give NaN.
    """
    mean = axes.mean(axis=1)
    length = np.linalg.norm(mean, axis=1)
    with np.errstate(invalid="ignore"):
        return mean / length[:, np.newaxis], np.exp(-AXIS_CONFIDENCE_DECAY * (1.0 - np.minimum(length, 1.0) ** 2))
