"""Poses of stored clouds, each evaluated independently without detector and tracker."""

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
_LATENCY_OBJECTS = 6
_LATENCY_REPEATS = 20


@dataclass(frozen=True, slots=True, eq=False)
class PosedClouds:
    """Stored clouds with their estimated poses.

    Attributes:
        samples: Clouds with their truths.
        estimates: Estimated pose of each cloud.
        errors: Pose error of each cloud.
    """

    samples: CloudSamples
    estimates: tuple[PoseEstimate, ...]
    errors: tuple[PoseError, ...]


def pose_clouds(
    predictor: PosePredictor, samples: CloudSamples, show_progress: Callable[[Sequence[int]], Iterable[int]] = iter
) -> PosedClouds:
    """Estimate the poses of all clouds. Mugs with hidden handle are evaluated as axially symmetric.

    Args:
        predictor: Predictor of the poses.
        samples: Clouds with their truths.
        show_progress: Iterates over a sequence and may show the progress.
    """
    estimates: list[PoseEstimate] = []
    names = _names(samples)
    for start in show_progress(range(0, len(samples), _BATCH)):
        rows = slice(start, start + _BATCH)
        estimates += predictor.predict(samples.points[rows].astype(np.float32), names[rows])
    return PosedClouds(samples, tuple(estimates), tuple(_errors(estimates, samples, predictor.categories, 0)))


def evaluate_poses(
    pose: Callable[[slice], Sequence[PoseEstimate]], samples: CloudSamples, categories: CategorySet, batch: int = _BATCH
) -> dict[str, Accuracy]:
    """Compute the accuracy of a function that returns the poses of the samples in a slice, see ``pose_clouds``."""
    errors: list[PoseError] = []
    for start in range(0, len(samples), batch):
        errors += _errors(pose(slice(start, start + batch)), samples, categories, start)
    return summarize(errors, categories)


def as_frames(posed: PosedClouds, categories: CategorySet, ranked: bool = True) -> Iterator[NocsFrame]:
    """Yield every cloud as an image with one truth and one detection, for the NOCS protocol.

    Args:
        posed: Clouds with their estimated poses.
        categories: Categories; their ids are the class ids of the frames.
        ranked: Whether the scores are those of the poses; otherwise all scores are 1.
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
    """Return the name of a cloud in tables and figures."""
    return f"cloud {row}"


def latencies_ms(predictor: PosePredictor, samples: CloudSamples) -> list[float]:
    """Return the wall times of repeated predictions of six clouds at once, milliseconds, without the first call."""
    rows = np.arange(_LATENCY_OBJECTS) % len(samples)
    points, names = samples.points[rows].astype(np.float32), [_names(samples)[row] for row in rows]
    durations_ms = []
    for _ in range(_LATENCY_REPEATS + 1):
        start = time.perf_counter()
        predictor.predict(points, names)
        durations_ms.append(1e3 * (time.perf_counter() - start))
    return durations_ms[1:]


def _names(samples: CloudSamples) -> list[str]:
    """Return the name of the category of each cloud."""
    return [samples.categories.names[i] for i in samples.category_index]


def _errors(
    estimates: Sequence[PoseEstimate], samples: CloudSamples, categories: CategorySet, first: int
) -> Iterator[PoseError]:
    """Yield the errors of estimates of the samples from row ``first`` on."""
    for row, estimate in enumerate(estimates, start=first):
        known = bool(samples.handle_visible[row])
        symmetry = categories[estimate.category].symmetry if known else Symmetry(axial_y=True)
        T: FloatArray = samples.T_camera_object[row]
        yield pose_error(estimate.category, symmetry, estimate.T_camera_object, T, estimate.size, samples.size[row])
