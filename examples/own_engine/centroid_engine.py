"""Engine without a network: the centroid of each cloud, the mean size of its category and fixed axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.inference.engines.base import Engine, RawPoses
from clipose_ros.types import FloatArray, IndexArray

if TYPE_CHECKING:
    from clipose_ros.model.network import CLIPoseNet


class CentroidEngine:
    """Baseline that ignores the network's weights; implements the ``Engine`` protocol.

    Args:
        categories: Categories of the network.
        device: Device that was asked for; the engine itself computes with NumPy.
    """

    name = "centroid"

    def __init__(self, categories: CategorySet, device: str) -> None:
        self.categories, self.device = categories, device

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """Return one raw pose per cloud: upright, at the cloud's mean, of the category's mean size."""
        count = len(points_camera)
        return RawPoses(
            axis_y=np.tile(np.float32([0.0, -1.0, 0.0]), (count, 1)),  # y of the camera points down
            axis_x=np.tile(np.float32([0.0, 0.0, 1.0]), (count, 1)),  # the same in a mirrored view
            confidence_y=np.full(count, 0.5, np.float32),
            confidence_x=np.full(count, 0.5, np.float32),
            translation=points_camera.mean(axis=1),
            size=self.categories.mean_sizes[category],
        )

    def warm_up(self, points: int) -> None:
        """Do nothing: there is nothing to compile or to allocate."""


def create_engine(network: CLIPoseNet, device: str, threads: int) -> Engine:
    """Create the engine; the entry point names this function."""
    return CentroidEngine(network.categories, device)
