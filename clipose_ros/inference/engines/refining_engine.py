"""Engine that poses clouds by a coarse network and corrects the poses by its refiner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from clipose_ros.categories import CategorySet
from clipose_ros.inference.engines.base import Engine, RawPoses
from clipose_ros.model.refinement import EstimateFrames
from clipose_ros.types import BoolArray, FloatArray, IndexArray


class RefiningEngine:
    """Engine that runs two networks one after the other.

    Args:
        coarse: Engine that poses clouds in the camera frame.
        refiner: Engine of the refiner, which gets the same clouds in the frames of the coarse poses.
    """

    def __init__(self, coarse: Engine, refiner: Engine) -> None:
        self._coarse, self._refiner = coarse, refiner
        self._axial = np.array([category.symmetry.axial_y for category in coarse.categories])

    @property
    def name(self) -> str:
        """Return the name of the engine that runs the coarse network."""
        return self._coarse.name

    @property
    def device(self) -> str:
        """Return the device that computes."""
        return self._coarse.device

    @property
    def categories(self) -> CategorySet:
        """Return the categories that the networks were trained on."""
        return self._coarse.categories

    def warm_up(self, points: int) -> None:
        """Compile and allocate both engines for clouds of ``points`` points."""
        self._coarse.warm_up(points)
        self._refiner.warm_up(points)

    def __call__(self, points_camera: FloatArray, category: IndexArray, refined: BoolArray | None = None) -> RawPoses:
        """Predict as ``Engine`` describes. A cloud whose coarse pose is not finite gets NaN.

        The refiner sees the second half of the points first, so that a network that uses few points does not see those
        again whose noise misled the estimate.

        Args:
            points_camera: ``(B, N, 3)`` as ``Engine`` describes.
            category: ``(B,)`` indices of the categories.
            refined: ``(B,)`` the clouds whose poses the refiner corrects; None for all.
        """
        coarse = self._coarse(points_camera, category)
        rows = np.ones(len(category), dtype=np.bool_) if refined is None else refined
        if not rows.any():
            return coarse
        other = np.roll(points_camera[rows], -(points_camera.shape[1] // 2), axis=1)
        return coarse.replace_rows(rows, self.refine(other, category[rows], coarse.select(rows)))

    def refine(self, points_camera: FloatArray, category: IndexArray, poses: RawPoses) -> RawPoses:
        """Correct poses by one run of the refiner. A pose that is not finite stays so.

        Args:
            points_camera: ``(B, N, 3)`` as ``Engine`` describes.
            category: ``(B,)`` indices of the categories.
            poses: B estimates. Their confidences and sizes have no effect.
        """
        frames = EstimateFrames.from_axes(
            torch.from_numpy(poses.axis_y), torch.from_numpy(poses.axis_x), torch.from_numpy(poses.translation),
            torch.from_numpy(self._axial[category]),
        )  # fmt: skip
        points = frames.from_camera(torch.from_numpy(points_camera)).numpy()
        refined = self._refiner(np.ascontiguousarray(points), category)
        axis_y, axis_x, translation = frames.pose_to_camera(
            *map(torch.from_numpy, (refined.axis_y, refined.axis_x, refined.translation))
        )
        return replace(refined, axis_y=axis_y.numpy(), axis_x=axis_x.numpy(), translation=translation.numpy())
