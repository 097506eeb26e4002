"""Poses of the detections of NOCS images, with the truths."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clipose_ros.config import CloudConfig
from clipose_ros.data.nocs.dataset import NocsDataset
from clipose_ros.evaluation.results_file import NocsFrame, NocsObjects
from clipose_ros.inference.pipeline import PosePredictor
from clipose_ros.inference.point_cloud import extract_cloud
from clipose_ros.types import BoolArray, FloatArray, InstanceMask, ObjectCloud, RgbdFrame


@dataclass(frozen=True, slots=True, eq=False)
class PosedImage:
    """Predictions on one image.

    Attributes:
        frame: Truths and predictions; the scores are those of the detections.
        latency_ms: Wall time from masks to poses of all objects of the image, milliseconds.
        skipped: Instances without a fitted truth, each with the reason; they are left out of the evaluation.
    """

    frame: NocsFrame
    latency_ms: float
    skipped: tuple[str, ...] = ()


def pose_images(
    dataset: NocsDataset,
    predictor: PosePredictor,
    images: Iterable[int],
    config: CloudConfig,
    official_truths: bool = True,
) -> Iterator[PosedImage]:
    """Estimate the poses of the detections of images.

    A detection without a pose is kept as a prediction that overlaps nothing, since it counts as a false positive.

    Args:
        dataset: Subset of the NOCS data with detections: ``camera_val`` or ``real_test``.
        predictor: Predictor of the poses.
        images: Indices of the images in the dataset.
        config: Settings of the clouds.
        official_truths: Whether to use the truths of the released files, as in published results. Otherwise truths
            fitted to the coordinate maps are used, with mugs centred according to the dataset.

    Raises:
        DataError: The subset has no detections or official truths, or a file is missing or malformed.
    """
    for index in images:
        frame = dataset.read_frame(index)
        detections = dataset.read_detections(index)
        start = time.perf_counter()
        poses, sizes = _estimate_poses(frame, detections, predictor, config)
        latency_ms = 1e3 * (time.perf_counter() - start)
        truths, handle_visible, skipped = _read_truths(dataset, index, official_truths)
        ids, boxes = _class_ids(dataset, [i.category for i in detections]), _to_nocs_boxes([i.box for i in detections])
        nocs_frame = NocsFrame(
            dataset.frames[index],
            truths,
            handle_visible,
            NocsObjects.from_poses(ids, poses, sizes, boxes),
            np.array([i.score for i in detections], dtype=np.float64),
            {"image_path": dataset.frames[index]},
        )
        yield PosedImage(nocs_frame, latency_ms, skipped)


def _read_truths(dataset: NocsDataset, index: int, official: bool) -> tuple[NocsObjects, BoolArray, tuple[str, ...]]:
    """Return the true objects of an image, the visibility of their handles, and the instances without a truth."""
    skipped: tuple[str, ...] = ()
    if official:
        truths = [
            (t.category, t.T_camera_object, t.size, t.box, t.handle_visible) for t in dataset.read_official(index)
        ]
    else:
        image = dataset.read(index)
        skipped = image.skipped
        truths = [(t.mask.category, t.T_camera_object, t.size, t.mask.box, t.handle_visible) for t in image.truths]
    categories, T_camera_object, sizes, boxes, visible = zip(*truths, strict=True) if truths else ([], [], [], [], [])
    objects = NocsObjects.from_poses(_class_ids(dataset, categories), T_camera_object, sizes, _to_nocs_boxes(boxes))
    return objects, np.array(visible, dtype=bool), skipped


def _estimate_poses(
    frame: RgbdFrame, detections: Sequence[InstanceMask], predictor: PosePredictor, config: CloudConfig
) -> tuple[FloatArray, FloatArray]:
    """Return poses ``(N, 4, 4)`` and sizes ``(N, 3)``; NaN for detections without a pose."""
    poses, sizes = np.full((len(detections), 4, 4), np.nan), np.full((len(detections), 3), np.nan)
    clouds = [extract_cloud(frame, instance, config) for instance in detections]
    posed = {
        i: c for i, c in enumerate(clouds) if isinstance(c, ObjectCloud) and c.instance.category in predictor.categories
    }
    if posed:
        points = np.stack([cloud.points_camera for cloud in posed.values()])
        estimates = predictor.predict(points, [cloud.instance.category for cloud in posed.values()])
        for i, estimate in zip(posed, estimates, strict=True):
            poses[i], sizes[i] = estimate.T_camera_object, estimate.size
    return poses, sizes


def _class_ids(dataset: NocsDataset, names: Sequence[str]) -> list[int]:
    """Return the NOCS class ids of categories."""
    return [dataset.categories[name].id for name in names]


def _to_nocs_boxes(boxes: Sequence[tuple[int, int, int, int]]) -> FloatArray:
    """Convert boxes (x0, y0, x1, y1) to ``(N, 4)`` top, left, bottom, right."""
    return np.array([(y0, x0, y1, x1) for x0, y0, x1, y1 in boxes], dtype=np.float64).reshape(-1, 4)
