"""Poses that the network predicts for the clouds of a recorded sequence, kept for several runs of the tracker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipose_ros.config import CheckConfig
from clipose_ros.evaluation.runs.recorded_sequence import RecordedSequence
from clipose_ros.inference.pass_plan import PassPlan
from clipose_ros.inference.pipeline import PassPredictor, PosePredictor
from clipose_ros.inference.pose_checks import check_poses
from clipose_ros.types import FloatArray, FrameResult, IndexArray, InstanceMask, ObjectCloud, PoseEstimate, StageTimes


class NetworkPoses:
    """Poses that the network predicts for the clouds of a sequence; each is computed once and kept.

    Args:
        sequence: Recorded sequence.
        predictor: Predictor; one without single passes gives all passes to every cloud.
    """

    def __init__(self, sequence: RecordedSequence, predictor: PosePredictor) -> None:
        self.sequence, self.predictor = sequence, predictor
        self._known: dict[tuple[int, int, bool], PoseEstimate] = {}

    def predict(self, rows: IndexArray, plan: PassPlan) -> list[PoseEstimate]:
        """Return the poses of the clouds ``rows`` ``(B,)`` with the passes of a plan."""
        keys = list(zip(map(int, rows), map(int, plan.only_pass), map(bool, plan.coarse_only), strict=True))
        missing = np.array([i for i, key in enumerate(keys) if key not in self._known], dtype=np.int64)
        if len(missing):
            at = rows[missing]
            points, names = self.sequence.points[at], [str(name) for name in self.sequence.category[at]]
            if isinstance(self.predictor, PassPredictor):
                poses = self.predictor.predict_passes(points, names, plan.select(missing))
            else:
                poses = self.predictor.predict(points, names)
            self._known.update(zip((keys[i] for i in missing), poses, strict=True))
        return [self._known[key] for key in keys]

    def predict_all(self, rows: IndexArray) -> list[PoseEstimate]:
        """Return the poses of the clouds ``rows`` ``(B,)`` with all passes."""
        return self.predict(rows, PassPlan.all_passes(len(rows)))


def make_cloud(category: str, points: FloatArray) -> ObjectCloud:
    """Return the cloud of an object with a mask of one pixel; a recorded sequence stores no masks."""
    return ObjectCloud(InstanceMask(category, 1.0, (0, 0, 1, 1), np.ones((1, 1), dtype=bool)), points)


def check_frame(
    poses: Sequence[PoseEstimate], clouds: Sequence[ObjectCloud], predictor: PosePredictor, check: CheckConfig
) -> FrameResult:
    """Return the poses of a frame that the checks accept, with their clouds."""
    verdicts = check_poses(poses, clouds, check, predictor.categories)
    kept = [i for i, verdict in enumerate(verdicts) if verdict is None]
    times = StageTimes(0.0, 0.0, 0.0)
    return FrameResult(tuple(poses[i] for i in kept), tuple(clouds[i] for i in kept), (), times)
