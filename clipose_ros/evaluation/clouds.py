"""A predictor judged on stored clouds: no detector, no tracker, one view each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from clipose_ros.categories import CategorySet, Symmetry
from clipose_ros.data.samples import CloudSamples
from clipose_ros.evaluation.accuracy import Accuracy, pose_error, summarize
from clipose_ros.inference.predictor import Predictor
from clipose_ros.types import PoseEstimate


def evaluate_clouds(
    predictor: Predictor, samples: CloudSamples, categories: CategorySet, batch: int = 32
) -> dict[str, Accuracy]:
    """Accuracy of a predictor on stored clouds. A mug whose handle is hidden is judged as axially symmetric."""

    def pose(rows: slice) -> list[PoseEstimate]:
        names = [samples.categories.names[i] for i in samples.category_index[rows]]
        return predictor.predict(samples.points[rows].astype(np.float32), names)

    return evaluate_poses(pose, samples, categories, batch)


def evaluate_poses(
    pose: Callable[[slice], Sequence[PoseEstimate]], samples: CloudSamples, categories: CategorySet, batch: int = 32
) -> dict[str, Accuracy]:
    """As ``evaluate_clouds``, of anything that gives poses of the samples at the rows of a slice."""
    errors = []
    for start in range(0, len(samples.points), batch):
        rows = slice(start, start + batch)
        for estimate, T, size, visible in zip(
            pose(rows), samples.T_camera_object[rows], samples.size[rows], samples.handle_visible[rows], strict=True
        ):
            symmetry = categories[estimate.category].symmetry if visible else Symmetry(axial_y=True)
            errors.append(pose_error(estimate.category, symmetry, estimate.T_camera_object, T, estimate.size, size))
    return summarize(errors, categories)
