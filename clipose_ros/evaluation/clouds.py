"""A predictor judged on stored clouds: no detector, no tracker, one view each."""

from __future__ import annotations

import numpy as np

from clipose_ros.categories import CategorySet, Symmetry
from clipose_ros.data.samples import CloudSamples
from clipose_ros.evaluation.accuracy import Accuracy, pose_error, summarize
from clipose_ros.inference.predictor import Predictor


def evaluate_clouds(
    predictor: Predictor, samples: CloudSamples, categories: CategorySet, batch: int = 32
) -> dict[str, Accuracy]:
    """Accuracy of a predictor on stored clouds. A mug whose handle is hidden is judged as axially symmetric."""
    errors = []
    for start in range(0, len(samples.points), batch):
        rows = slice(start, start + batch)
        names = [samples.categories.names[i] for i in samples.category_index[rows]]
        poses = predictor.predict(samples.points[rows].astype(np.float32), names)
        for pose, T, size, visible in zip(
            poses, samples.T_camera_object[rows], samples.size[rows], samples.handle_visible[rows], strict=True
        ):
            symmetry = categories[pose.category].symmetry
            if not visible:
                symmetry = Symmetry(axial_y=True)
            errors.append(pose_error(pose.category, symmetry, pose.T_camera_object, T, pose.size, size))
    return summarize(errors, categories)
