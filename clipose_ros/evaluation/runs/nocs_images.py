"""A predictor on NOCS images: the detections that come with the data, posed, beside the truths."""

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
from clipose_ros.types import FloatArray, InstanceMask, ObjectCloud, RgbdFrame


@dataclass(frozen=True, slots=True, eq=False)
class PosedImage:
    """What became of an image.

    Attributes:
        frame: Truths and predictions; scores are the detections'.
        latency_ms: Wall time from masks to poses, all of the image's objects.
    """

    frame: NocsFrame
    latency_ms: float


def pose_images(
    dataset: NocsDataset,
    predictor: PosePredictor,
    images: Iterable[int],
    config: CloudConfig,
    official_truths: bool = True,
) -> Iterator[PosedImage]:
    """Pose the detections of some images.

    A detection that gets no pose stays in as a prediction that overlaps nothing: it was claimed to be there.

    Args:
        dataset: Part of the NOCS data with detections: ``camera_val`` or ``real_test``.
        predictor: What poses the clouds.
        images: Their places in the dataset.
        config: How clouds are made.
        official_truths: Whether truths are those of the released files, as in published figures; else those fitted to
            the coordinate maps, with mugs centred as the dataset was told to.

    Raises:
        DataError: The part has no detections or official truths, or a file is missing or malformed.
    """
    for index in images:
        frame = dataset.read_frame(index)
        found = dataset.read_detections(index)
        start = time.perf_counter()
        poses, sizes = _posed(frame, found, predictor, config)
        latency_ms = 1e3 * (time.perf_counter() - start)
        if official_truths:
            official = dataset.read_official(index)
            truths = [(t.category, t.T_camera_object, t.size, t.box, t.handle_visible) for t in official]
        else:
            truths = [
                (t.mask.category, t.T_camera_object, t.size, t.mask.box, t.handle_visible)
                for t in dataset.read(index).truths
            ]
        categories, T_true, true_sizes, boxes, visible = zip(*truths, strict=True) if truths else ([], [], [], [], [])
        yield PosedImage(
            NocsFrame(
                dataset.frames[index],
                NocsObjects.from_poses(_ids(dataset, categories), T_true, true_sizes, _rows_first(boxes)),
                np.array(visible, dtype=bool),
                NocsObjects.from_poses(
                    _ids(dataset, [i.category for i in found]), poses, sizes, _rows_first([i.box for i in found])
                ),
                np.array([i.score for i in found], dtype=np.float64),
                {"image_path": dataset.frames[index]},
            ),
            latency_ms,
        )


def _posed(
    frame: RgbdFrame, found: Sequence[InstanceMask], predictor: PosePredictor, config: CloudConfig
) -> tuple[FloatArray, FloatArray]:
    """Poses ``(N, 4, 4)`` and sizes ``(N, 3)``, NaN where there is none."""
    poses, sizes = np.full((len(found), 4, 4), np.nan), np.full((len(found), 3), np.nan)
    clouds = [extract_cloud(frame, instance, config) for instance in found]
    posed = {
        i: c for i, c in enumerate(clouds) if isinstance(c, ObjectCloud) and c.instance.category in predictor.categories
    }
    if posed:
        points = np.stack([cloud.points_camera for cloud in posed.values()])
        estimates = predictor.predict(points, [cloud.instance.category for cloud in posed.values()])
        for i, estimate in zip(posed, estimates, strict=True):
            poses[i], sizes[i] = estimate.T_camera_object, estimate.size
    return poses, sizes


def _ids(dataset: NocsDataset, names: Sequence[str]) -> list[int]:
    """NOCS class ids."""
    return [dataset.categories[name].id for name in names]


def _rows_first(boxes: Sequence[tuple[int, int, int, int]]) -> FloatArray:
    """Boxes (x0, y0, x1, y1) as ``(N, 4)`` top, left, bottom, right."""
    return np.array([(y0, x0, y1, x1) for x0, y0, x1, y1 in boxes], dtype=np.float64).reshape(-1, 4)
