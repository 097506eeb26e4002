"""A pose node without weights: a module for tests in this process, a program for tests of the process itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import rclpy

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import PoseNodeConfig
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.ros.pose_node import PoseNode, run
from clipose_ros.segmentation.labels import LabelSegmenter
from clipose_ros.types import FloatArray, PoseEstimate


class BoxPredictor:
    """Poses a cloud by its bounding box, axes along the camera's: nothing to load, nothing random."""

    categories = NOCS_CATEGORIES
    device = "cpu"

    def __init__(self) -> None:
        self.before_each: Callable[[], None] = lambda: None

    def predict(self, points_camera: FloatArray, categories: Sequence[str]) -> list[PoseEstimate]:
        self.before_each()
        return [self._pose(points, category) for points, category in zip(points_camera, categories, strict=True)]

    def _pose(self, points: FloatArray, category: str) -> PoseEstimate:
        low, high = points.min(axis=0).astype(np.float64), points.max(axis=0).astype(np.float64)
        T = np.eye(4)
        T[:3, 3] = 0.5 * (low + high)
        return PoseEstimate(category, T, np.maximum(high - low, 0.02), 0.9, (0.9, 0.8))


def box_pipeline(config: PoseNodeConfig, predictor: BoxPredictor) -> PosePipeline:
    """The real pipeline with labels for segmentation and boxes for poses."""
    return PosePipeline(LabelSegmenter(config.segmentation, NOCS_CATEGORIES), predictor, config)


def crash() -> None:
    """A bug."""
    raise ZeroDivisionError("a bug in the worker")


if __name__ == "__main__":
    box_predictor = BoxPredictor()
    if "--crash" in sys.argv:
        box_predictor.before_each = crash

    def make(config: PoseNodeConfig) -> PosePipeline:
        return box_pipeline(config, box_predictor)

    def wait_for_the_end(config: PoseNodeConfig) -> PosePipeline:
        """A model that takes long to load."""
        print("configuring", flush=True)
        while rclpy.ok():
            time.sleep(0.01)
        return make(config)

    rclpy.init(args=sys.argv)
    status = run(PoseNode(pipeline_factory=wait_for_the_end if "--slow" in sys.argv else make))
    rclpy.try_shutdown()
    sys.exit(status)
