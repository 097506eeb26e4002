"""A predictor judged on stored clouds: no detector, no tracker, one view each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clipose_ros.categories import CategorySet, Symmetry
from clipose_ros.data.samples import CloudSamples
from clipose_ros.evaluation.metrics.pose_accuracy import Accuracy, PoseError, pose_error, summarize
from clipose_ros.evaluation.results_file import NocsFrame, NocsObjects
from clipose_ros.inference.pipeline import PosePredictor
from clipose_ros.types import FloatArray, PoseEstimate

_BATCH = 32
_OBJECTS = 6
_REPEATS = 20


@dataclass(frozen=True, slots=True, eq=False)
class PosedClouds:
    """Stored clouds, and what a predictor makes of each.

    Attributes:
        samples: The clouds with their truths.
        estimates: One per cloud.
        errors: Likewise.
    """

    samples: CloudSamples
    estimates: tuple[PoseEstimate, ...]
    errors: tuple[PoseError, ...]


def pose_clouds(
    predictor: PosePredictor, samples: CloudSamples, watched: Callable[[Sequence[int]], Iterable[int]] = iter
) -> PosedClouds:
    """Pose all clouds; each is judged by itself. A mug whose handle is hidden is judged as axially symmetric.

    Args:
        predictor: What poses them.
        samples: The clouds.
        watched: Gives back what it is given, one by one, and may show how far it is.
    """
    estimates: list[PoseEstimate] = []
    names = _names(samples)
    for start in watched(range(0, len(samples), _BATCH)):
        rows = slice(start, start + _BATCH)
        estimates += predictor.predict(samples.points[rows].astype(np.float32), names[rows])
    return PosedClouds(samples, tuple(estimates), tuple(_errors(estimates, samples, predictor.categories, 0)))


def evaluate_poses(
    pose: Callable[[slice], Sequence[PoseEstimate]], samples: CloudSamples, categories: CategorySet, batch: int = _BATCH
) -> dict[str, Accuracy]:
    """Accuracy of anything that gives poses of the samples at the rows of a slice, judged as by ``pose_clouds``."""
    errors: list[PoseError] = []
    for start in range(0, len(samples), batch):
        errors += _errors(pose(slice(start, start + batch)), samples, categories, start)
    return summarize(errors, categories)


def as_frames(posed: PosedClouds, categories: CategorySet, ranked: bool = True) -> Iterator[NocsFrame]:
    """Every cloud as an image of its own with one truth and one detection, for the NOCS protocol.

    Args:
        posed: The clouds.
        categories: Their ids are the frames' class ids.
        ranked: Whether scores are the poses' confidences; else all are 1, as those of a detector that is always sure.
    """
    samples = posed.samples
    for row, (name, estimate) in enumerate(zip(_names(samples), posed.estimates, strict=True)):
        ids = [categories[name].id]
        confidence = estimate.score if np.isfinite(estimate.score) else 0.0
        yield NocsFrame(
            cloud_name(row),
            NocsObjects.from_poses(ids, samples.T_camera_object[row], samples.size[row]),
            samples.handle_visible[row : row + 1],
            NocsObjects.from_poses(ids, estimate.T_camera_object, estimate.size),
            np.array([confidence if ranked else 1.0]),
        )


def cloud_name(row: int) -> str:
    """What the cloud of a row is called in figures and pictures."""
    return f"cloud {row}"


def latencies_ms(predictor: PosePredictor, samples: CloudSamples) -> list[float]:
    """Wall times of the poses of six clouds at once, as of a frame with six objects, after a first time not counted."""
    rows = np.arange(_OBJECTS) % len(samples)
    points, names = samples.points[rows].astype(np.float32), [_names(samples)[row] for row in rows]
    taken = []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter()
        predictor.predict(points, names)
        taken.append(1e3 * (time.perf_counter() - start))
    return taken[1:]


def _names(samples: CloudSamples) -> list[str]:
    """Category of each cloud."""
    return [samples.categories.names[i] for i in samples.category_index]


def _errors(
    estimates: Sequence[PoseEstimate], samples: CloudSamples, categories: CategorySet, first: int
) -> Iterator[PoseError]:
    """Errors of estimates of the samples from a row on."""
    for row, estimate in enumerate(estimates, start=first):
        known = bool(samples.handle_visible[row])
        symmetry = categories[estimate.category].symmetry if known else Symmetry(axial_y=True)
        T: FloatArray = samples.T_camera_object[row]
        yield pose_error(estimate.category, symmetry, estimate.T_camera_object, T, estimate.size, samples.size[row])
