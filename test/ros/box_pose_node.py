"""A pose node without weights: a module for tests in this process, a program for tests of the process itself."""

from __future__ import annotations

if __name__ == "__main__":  # before the other imports, as the node does
    from clipose_ros.ros.signals import receive_termination_signals

    receive_termination_signals()

import os
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Empty

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import PoseNodeConfig
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.ros import pose_node, signals
from clipose_ros.ros.pose_node import PoseNode
from clipose_ros.segmentation.factory import create_segmenter
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
    """The real pipeline with its segmenter, which needs no weights, and boxes for poses."""
    return PosePipeline(create_segmenter(config.segmentation, NOCS_CATEGORIES), predictor, config)


class HumbleExecutor(SingleThreadedExecutor):
    """Shuts down as on Humble, where that waits for every callback that has begun, also for one that awaits."""

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Shut down, but fail at once where Humble would wait for ever."""
        ended = self._work_tracker.wait(0.0)
        assert ended or (timeout_sec is not None and timeout_sec >= 0.0), "a callback that awaits is waited for"
        return ended and super().shutdown(timeout_sec)


def tell_who_waits(node: PoseNode) -> None:
    """Publish on ``somebody_waits`` while a request waits for a frame.

    The timer runs in the executor's only thread: while it runs, the callbacks of the counted requests await.
    """
    publisher = node.create_publisher(Empty, "somebody_waits", 10)
    node.create_timer(0.02, lambda: publisher.publish(Empty()) if node.detect_once.waiting_requests else None)


def crash() -> None:
    """A bug."""
    raise ZeroDivisionError("a bug in the worker")


def die() -> None:
    """End the process at once, as a bug in compiled code does."""
    print("a bug in compiled code", file=sys.stderr, flush=True)
    os._exit(70)


if __name__ == "__main__":
    received = signals.receive_termination_signals()
    box_predictor, nodes = BoxPredictor(), list[PoseNode]()

    def crash_at_the_end() -> None:
        """A frame that is processed when the signal arrives, and then fails."""
        print("processing", flush=True)
        while not received.received or nodes[0]._active is not None:
            time.sleep(0.01)
        crash()

    def make(config: PoseNodeConfig) -> PosePipeline:
        """A model that takes long to load, or for ever."""
        if "--slow" in sys.argv or "--hang" in sys.argv:
            print("configuring", flush=True)
            while "--hang" in sys.argv or not received.received:
                time.sleep(0.01)
        return box_pipeline(config, box_predictor)

    if "--crash" in sys.argv:
        box_predictor.before_each = crash
    elif "--die" in sys.argv:
        box_predictor.before_each = die
    elif "--crash-at-the-end" in sys.argv:
        box_predictor.before_each = crash_at_the_end
    elif "--hang" in sys.argv:
        signals.LAST_RESORT_S = 0.5
    pose_node.SingleThreadedExecutor = HumbleExecutor

    def make_node() -> PoseNode:
        nodes.append(PoseNode(pipeline_factory=make))
        tell_who_waits(nodes[0])
        return nodes[0]

    sys.exit(pose_node.run_process(make_node, sys.argv))
