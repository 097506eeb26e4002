"""Several looks at every cloud: each at other points of it, every second one at its mirror image.

The network's errors differ from look to look, so their average is nearer to the truth than any of them.
"""

from __future__ import annotations

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.inference.engine import Engine, IndexArray, RawPoses
from clipose_ros.model.heads import CONFIDENCE_DECAY
from clipose_ros.types import FloatArray

_MIRROR = np.array([-1.0, 1.0, 1.0], np.float32)
"""Left to right in the camera's frame."""


class SeveralLooks:
    """An engine that looks at every cloud several times and averages what another engine says.

    Look k begins k-th of ``looks`` equal shares into the cloud's random order, so that a network which looks at the
    first points alone sees others each time. A mirrored view of an object shows the object mirrored by its own plane
    z = 0; where that leaves the category what it is, the axes x and y of the mirrored view, mirrored back, are those of
    the object.

    Args:
        engine: What looks.
        looks: How often.
    """

    def __init__(self, engine: Engine, looks: int) -> None:
        self._engine, self._looks = engine, looks
        self._mirrors = np.array([category.symmetry.mirror_xy for category in engine.categories])

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
        looks, step = self._looks, points_camera.shape[1] // self._looks
        seen = np.stack([np.roll(points_camera, -step * look, axis=1) for look in range(looks)], axis=1)
        mirrored = self._mirrors[category, np.newaxis] & (np.arange(looks) % 2 == 1)
        view = np.where(mirrored[..., np.newaxis], _MIRROR, np.float32(1.0))
        seen *= view[:, :, np.newaxis]
        raw = self._engine(seen.reshape(-1, *points_camera.shape[1:]), np.repeat(category, looks))

        def mean(values: FloatArray) -> FloatArray:
            return np.asarray(values.reshape(-1, looks, *values.shape[1:]).mean(axis=1))

        back = view.reshape(-1, 3)
        axis_y, agreed_y = _direction(mean(raw.axis_y * back))
        axis_x, agreed_x = _direction(mean(raw.axis_x * back))
        return RawPoses(
            axis_y=axis_y,
            axis_x=axis_x,
            confidence_y=mean(raw.confidence_y) * agreed_y,
            confidence_x=mean(raw.confidence_x) * agreed_x,
            translation=mean(raw.translation * back),
            size=mean(raw.size),
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
