"""Several looks at every cloud: each at other points of it, every second one at its mirror image.

The network's errors differ from look to look, so their average is nearer to the truth than any of them. Where the first
two differ much, more of them are worth their time.
"""

from __future__ import annotations

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.inference.engines.base import Engine, RawPoses
from clipose_ros.model.heads import CONFIDENCE_DECAY
from clipose_ros.types import BoolArray, FloatArray, IndexArray

_MIRROR = np.array([-1.0, 1.0, 1.0], np.float32)
"""Left to right in the camera's frame."""


class TtaEngine:
    """An engine that looks at every cloud several times and averages what another engine says.

    Look k begins k-th of ``looks`` equal shares into the cloud's random order, so that a network which looks at the
    first points alone sees others each time. A mirrored view of an object shows the object mirrored by its own plane
    z = 0; where that leaves the category what it is, the axes x and y of the mirrored view, mirrored back, are those of
    the object.

    Args:
        engine: What looks.
        max_passes: Maximum number of passes per object.
        disagreement_deg: Run passes beyond the second only if the axes of the first two differ by more, degrees: the y
            axis of axially symmetric categories, else x and y. 0 always runs all passes.
    """

    def __init__(self, engine: Engine, max_passes: int, disagreement_deg: float = 0.0) -> None:
        self._engine, self._max_passes = engine, max_passes
        self._mirrors = np.array([category.symmetry.mirror_xy for category in engine.categories])
        self._axial = np.array([category.symmetry.axial_y for category in engine.categories])
        self._first = min(max_passes, 2) if disagreement_deg > 0.0 else max_passes
        self._agree_cos = np.cos(np.radians(disagreement_deg))

    @property
    def name(self) -> str:
        """Which engine looks."""
        return self._engine.name

    @property
    def device(self) -> str:
        """Where it computes."""
        return self._engine.device

    @property
    def categories(self) -> CategorySet:
        """What the network was trained on."""
        return self._engine.categories

    def warm_up(self, points: int) -> None:
        """As ``Engine.warm_up``."""
        self._engine.warm_up(points)

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """As ``Engine``: means over the looks. An axis of which they differ is less sure than they say."""
        first = self._seen(points_camera, category, range(self._first))
        poses = _mean(first)
        if self._first < self._max_passes and (doubtful := self._differ(first, category)).any():
            more = self._seen(points_camera[doubtful], category[doubtful], range(self._first, self._max_passes))
            better = _mean(_joined(first, doubtful, more))
            for values, replaced in zip(vars(poses).values(), vars(better).values(), strict=True):
                values[doubtful] = replaced
        return poses

    def _seen(self, points_camera: FloatArray, category: IndexArray, looks: range) -> RawPoses:
        """Some of the looks at each of ``(B, N, 3)`` clouds, in the camera's frame: values are ``(B, looks, ...)``."""
        step = points_camera.shape[1] // self._max_passes
        points = np.stack([np.roll(points_camera, -step * look, axis=1) for look in looks], axis=1)
        mirrored = self._mirrors[category, np.newaxis] & (np.array(looks) % 2 == 1)
        view = np.where(mirrored[..., np.newaxis], _MIRROR, np.float32(1.0))
        points *= view[:, :, np.newaxis]
        raw = self._engine(points.reshape(-1, *points_camera.shape[1:]), np.repeat(category, len(looks)))
        by_look = (values.reshape(-1, len(looks), *values.shape[1:]) for values in vars(raw).values())
        axis_y, axis_x, confidence_y, confidence_x, translation, size = by_look
        return RawPoses(axis_y * view, axis_x * view, confidence_y, confidence_x, translation * view, size)

    def _differ(self, seen: RawPoses, category: IndexArray) -> BoolArray:
        """``(B,)``, where the first two looks are not of one mind."""
        y, x = (np.einsum("bi,bi->b", axis[:, 0], axis[:, 1]) < self._agree_cos for axis in (seen.axis_y, seen.axis_x))
        return np.asarray(y | (x & ~self._axial[category]))


def _joined(seen: RawPoses, rows: BoolArray, more: RawPoses) -> RawPoses:
    """More looks at some of the clouds, behind those there are."""
    pairs = zip(vars(seen).values(), vars(more).values(), strict=True)
    return RawPoses(*(np.concatenate([values[rows], others], axis=1) for values, others in pairs))


def _mean(seen: RawPoses) -> RawPoses:
    """Means over looks, values ``(B, looks, ...)`` to ``(B, ...)``."""
    axis_y, agreed_y = _direction(seen.axis_y.mean(axis=1))
    axis_x, agreed_x = _direction(seen.axis_x.mean(axis=1))
    return RawPoses(
        axis_y=axis_y,
        axis_x=axis_x,
        confidence_y=seen.confidence_y.mean(axis=1) * agreed_y,
        confidence_x=seen.confidence_x.mean(axis=1) * agreed_x,
        translation=seen.translation.mean(axis=1),
        size=seen.size.mean(axis=1),
    )


def _direction(mean_axes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means ``(B, 3)`` of unit vectors as unit vectors, and ``(B,)`` how sure an axis is that is so far off as they.

    The mean of unit vectors falls short of length 1 by how far they are apart: the square of its length is 1 less
    their mean squared distance from it. Taken as an error like any other, on top of what the looks say themselves, it
    makes confidences too low rather than too high, and ranks poses better than their mean alone. A null vector, where
    looks cancel altogether, becomes NaN.
    """
    length = np.linalg.norm(mean_axes, axis=1)
    with np.errstate(invalid="ignore"):
        return mean_axes / length[:, np.newaxis], np.exp(-CONFIDENCE_DECAY * (1.0 - np.minimum(length, 1.0) ** 2))
