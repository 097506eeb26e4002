"""Test-time augmentation: several forward passes per cloud, each over other points, every second one mirrored.

The errors of the passes differ, so their mean is more accurate than a single pass. Passes beyond the second are run
only for clouds whose first two passes disagree. With a refiner, one more run of it replaces these passes.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import TtaConfig
from clipose_ros.inference.engines.base import Engine, PoseArrays, RawPoses
from clipose_ros.inference.engines.refining_engine import RefiningEngine
from clipose_ros.inference.pass_plan import PassPlan
from clipose_ros.types import AXIS_CONFIDENCE_DECAY, BoolArray, FloatArray, IndexArray

_MIN_VOTE = np.float32(1e-6)
"""Weight of a pass of confidence 0, so that passes without any confidence have a mean."""

_MIRROR = np.array([-1.0, 1.0, 1.0], np.float32)
"""Factors of a reflection left to right, in the camera's frame."""


class _PassPoses(PoseArrays):
    """Raw predictions of P passes over each of B clouds, in the camera's frame, mirroring undone.

    Attributes:
        axis_y: ``(B, P, 3)`` unit vectors.
        axis_x: ``(B, P, 3)`` unit vectors.
        confidence_y: ``(B, P)``.
        confidence_x: ``(B, P)``.
        translation: ``(B, P, 3)`` metres.
        size: ``(B, P, 3)`` metres.
    """

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

    def append(self, more: _PassPoses) -> _PassPoses:
        """Return these passes followed by further passes over the same clouds."""
        return self.map(lambda *passes: np.concatenate(passes, axis=1), more)

    def mean(self, weights: FloatArray | None = None) -> RawPoses:
        """Return the means over passes. Disagreement of the passes lowers the axis confidences.

        Args:
            weights: ``(B, P)``, each row sums to 1; equal weights if left out.
        """
        axis_y, agreement_y = _mean_direction(self.axis_y, weights)
        axis_x, agreement_x = _mean_direction(self.axis_x, weights)
        return RawPoses(
            axis_y=axis_y,
            axis_x=axis_x,
            confidence_y=_average(self.confidence_y, weights) * agreement_y,
            confidence_x=_average(self.confidence_x, weights) * agreement_x,
            translation=_average(self.translation, weights),
            size=_average(self.size, weights),
        )

    def mode(self, axial: BoolArray, cone_cos: float) -> tuple[RawPoses, FloatArray]:
        """Return the means over the passes whose axes are near those of the most confident pass, by confidence.

        Passes that see an object in two ways have no meaningful mean.

        Args:
            axial: ``(B,)`` bool, True for axially symmetric objects, whose x axes do not count.
            cone_cos: Cosine of the largest angle between near axes.

        Returns:
            The means, and ``(B,)`` the share of the near passes in the confidence of all.
        """
        confidence = np.where(axial[:, np.newaxis], self.confidence_y, (self.confidence_y + self.confidence_x) / 2.0)
        best = np.arange(len(axial)), np.nan_to_num(confidence).argmax(axis=1)
        cos_y, cos_x = (np.einsum("bpi,bi->bp", axes, axes[best]) for axes in (self.axis_y, self.axis_x))
        # Written so that axes that are not finite count as near: their mean is then not finite, either.
        near = ~(cos_y < cone_cos) & (~(cos_x < cone_cos) | axial[:, np.newaxis])
        votes = np.where(near, confidence, np.float32(0.0)) + _MIN_VOTE * near
        support = votes.sum(axis=1)
        share = (support / (confidence + _MIN_VOTE).sum(axis=1)).astype(np.float32)
        return self.mean((votes / support[:, np.newaxis]).astype(np.float32)), share


class TtaEngine:
    """Engine that averages several passes of another engine.

    Pass k rotates the points by k equal shares of the cloud's random order, ``max_passes`` of them or four if a
    correction replaces further passes, so that a network which uses the first points only is given others in each pass.
    Every second pass mirrors the cloud. A mirrored object appears as its reflection in its own plane z = 0. If that
    reflection leaves the category unchanged, the x and y axes of the mirrored view, mirrored back, are those of the
    object; other categories are never mirrored.

    If two passes of a ``RefiningEngine`` disagree, its refiner corrects their mean in place of further passes. It gets
    the points in their own order, as the coarse network in the first pass.

    Args:
        engine: Engine that runs the passes.
        max_passes: Maximum number of passes per object.
        disagreement_deg: Run passes beyond the second, or the correction, only if the axes of the first two differ by
            more, degrees: the y axis of axially symmetric categories, else x and y. 0 always runs all passes, and no
            correction.
        mode_deg: Average the passes whose axes differ from those of the most confident one by no more than this angle,
            degrees, and leave out the others. 0 averages all.
        skips_refiner: Skip the refiner of ``engine`` for clouds of ``PassPlan.coarse_only``. False refines them, too.
    """

    def __init__(
        self,
        engine: Engine,
        max_passes: int,
        disagreement_deg: float = 0.0,
        mode_deg: float = 0.0,
        skips_refiner: bool = False,
    ) -> None:
        self._engine, self._max_passes, self._skips_refiner = engine, max_passes, skips_refiner
        self._cone_cos = float(np.cos(np.radians(mode_deg)))
        self._mirrors = np.array([category.symmetry.mirror_xy for category in engine.categories])
        self._axial = np.array([category.symmetry.axial_y for category in engine.categories])
        self._first = TtaConfig(max_passes, disagreement_deg).first_passes
        # Two passes of two networks use four samples at most, and a correction no other.
        self._samples = min(max_passes, 4) if self.has_refiner and disagreement_deg > 0.0 else max_passes
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

    @property
    def has_refiner(self) -> bool:
        """Return True if a pass is two runs: of a coarse network and of its refiner."""
        return isinstance(self._engine, RefiningEngine)

    def warm_up(self, points: int) -> None:
        """Compile and allocate for clouds of ``points`` points."""
        self._engine.warm_up(points)

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """Predict as ``Engine`` describes; each value is the mean over the passes of its cloud, or its correction.

        The share of the passes that are left out lowers the confidences, also those of a correction: the refiner does
        not know that another pass saw the object otherwise.
        """
        return self.predict_passes(points_camera, category, PassPlan.all_passes(len(category)))

    def predict_passes(self, points_camera: FloatArray, category: IndexArray, plan: PassPlan) -> RawPoses:
        """Predict with one pass for some clouds and all passes for the others.

        Args:
            points_camera: ``(B, N, 3)`` as ``Engine`` describes.
            category: ``(B,)`` indices of the categories.
            plan: Passes of each cloud.
        """
        single = plan.only_pass >= 0
        ones, others = np.flatnonzero(single), np.flatnonzero(~single)
        # The first passes of all clouds are one batch, so that no thread of the engine waits for another batch.
        rows = np.concatenate([ones, np.repeat(others, self._first)])
        numbers = np.concatenate([plan.only_pass[ones], np.tile(np.arange(self._first), len(others))])
        refined = ~(single & plan.coarse_only)[rows] if self._skips_refiner else None
        raw, reflection = self._run_views(points_camera[rows], category[rows], numbers, refined)
        only, several = slice(len(ones)), slice(len(ones), None)
        one = _PassPoses.from_raw(raw.select(only), reflection[only].reshape(len(ones), 1, 3)).mean()
        first = _PassPoses.from_raw(raw.select(several), reflection[several].reshape(len(others), self._first, 3))
        combined = self._complete(first, points_camera[others], category[others])
        order = np.argsort(np.concatenate([ones, others]))
        return one.map(lambda *values: np.concatenate(values)[order], combined)

    def _complete(self, first: _PassPoses, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """Combine the first passes over clouds ``(B, N, 3)``; run what follows where two of them disagree."""
        poses, share = self._combine(first, category)
        if self._first < self._max_passes and (disagree := self._find_disagreement(first, category)).any():
            points, kinds = points_camera[disagree], category[disagree]
            if isinstance(self._engine, RefiningEngine):
                further = self._engine.refine(points, kinds, poses.select(disagree))
            else:
                more = self._run_passes(points, kinds, range(self._first, self._max_passes))
                further, share[disagree] = self._combine(first.select(disagree).append(more), kinds)
            poses = poses.replace_rows(disagree, further)
        return dataclasses.replace(
            poses, confidence_y=poses.confidence_y * share, confidence_x=poses.confidence_x * share
        )

    def _combine(self, poses: _PassPoses, category: IndexArray) -> tuple[RawPoses, FloatArray]:
        """Return one pose for each cloud, and ``(B,)`` the share of the near passes in the confidence of all."""
        if self._cone_cos == 1.0:
            return poses.mean(), np.ones(len(category), np.float32)
        return poses.mode(self._axial[category], self._cone_cos)

    def _run_passes(self, points_camera: FloatArray, category: IndexArray, passes: range) -> _PassPoses:
        """Run the passes of the given numbers over each cloud ``(B, N, 3)``, the passes of a cloud in sequence."""
        count = len(passes)
        raw, reflection = self._run_views(
            np.repeat(points_camera, count, axis=0), np.repeat(category, count), np.tile(passes, len(category)), None
        )
        return _PassPoses.from_raw(raw, reflection.reshape(len(category), count, 3))

    def _run_views(
        self, points_camera: FloatArray, category: IndexArray, numbers: IndexArray, refined: BoolArray | None
    ) -> tuple[RawPoses, FloatArray]:
        """Run one pass over each of V clouds, all in one batch.

        Args:
            points_camera: ``(V, N, 3)``.
            category: ``(V,)``.
            numbers: ``(V,)`` numbers of the passes.
            refined: ``(V,)`` the clouds that a ``RefiningEngine`` refines; None for all.

        Returns:
            Predictions for the views, and ``(V, 3)`` factors by which their points were multiplied.
        """
        # The first points define the upper levels and, in some networks, are the only ones used.
        count = points_camera.shape[1]
        order = (np.arange(count) + count // self._samples * numbers[:, np.newaxis]) % count
        mirrored = self._mirrors[category] & (numbers % 2 == 1)
        reflection = np.where(mirrored[:, np.newaxis], _MIRROR, np.float32(1.0))
        views = np.take_along_axis(points_camera, order[..., np.newaxis], axis=1) * reflection[:, np.newaxis]
        if isinstance(self._engine, RefiningEngine):
            return self._engine(views, category, refined), reflection
        return self._engine(views, category), reflection

    def _find_disagreement(self, poses: _PassPoses, category: IndexArray) -> BoolArray:
        """Return ``(B,)``: the clouds whose first two passes differ by more than the threshold in an axis."""
        # Unit vectors differ by more than an angle if their inner product is less than its cosine.
        y, x = (
            np.einsum("bi,bi->b", axis[:, 0], axis[:, 1]) < self._agreement_cos for axis in (poses.axis_y, poses.axis_x)
        )
        return np.asarray(y | (x & ~self._axial[category]))


def _average(values: FloatArray, weights: FloatArray | None) -> FloatArray:
    """Return the means of ``(B, P)`` or ``(B, P, 3)`` over the passes, by ``weights`` ``(B, P)`` or equal ones."""
    if weights is None:
        return np.asarray(values.mean(axis=1))
    return np.asarray((values * weights.reshape(weights.shape + (1,) * (values.ndim - 2))).sum(axis=1))


def _mean_direction(axes: FloatArray, weights: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Return the mean directions ``(B, 3)`` of unit vectors ``(B, P, 3)`` and their agreement ``(B,)`` in (0, 1].

    The squared length of the mean of unit vectors is 1 less their mean squared distance d^2 from it. The agreement is
    ``exp(-AXIS_CONFIDENCE_DECAY * d^2)``, the confidence of an axis with that error. Multiplied by the mean confidence
    of the passes it gives a confidence that is rather too low than too high, and ranks poses better than the mean
    confidence alone. Axes that cancel each other give NaN.
    """
    mean = _average(axes, weights)
    length = np.linalg.norm(mean, axis=1)
    with np.errstate(invalid="ignore"):
        return mean / length[:, np.newaxis], np.exp(-AXIS_CONFIDENCE_DECAY * (1.0 - np.minimum(length, 1.0) ** 2))
