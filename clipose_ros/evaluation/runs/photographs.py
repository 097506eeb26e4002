"""Detections of a segmenter on annotated photographs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.data.photo_annotations import AnnotatedPhoto, read_photo
from clipose_ros.evaluation.metrics.box_detection import BoxDetection, count_boxes
from clipose_ros.segmentation.base import Segmenter
from clipose_ros.types import ByteArray, CameraIntrinsics, InstanceMask, RgbdFrame


@dataclass(frozen=True, slots=True, eq=False)
class DetectedPhoto:
    """Detections on one photograph.

    Attributes:
        photo: Annotation.
        rgb: Image ``(H, W, 3)`` uint8.
        detections: Detected instances.
        counts: Counts by category.
        latency_ms: Wall time of the segmenter, milliseconds.
    """

    photo: AnnotatedPhoto
    rgb: ByteArray
    detections: tuple[InstanceMask, ...]
    counts: Mapping[str, BoxDetection]
    latency_ms: float


def detect_photos(
    photos: Iterable[tuple[AnnotatedPhoto, Path]], segmenter: Segmenter, categories: CategorySet
) -> Iterator[DetectedPhoto]:
    """Run a segmenter on photographs, which have no depth.

    Args:
        photos: Annotations with the paths of the images.
        segmenter: Backend that reads the colour image.
        categories: Counted categories.

    Raises:
        DataError: An image cannot be read or has another size than its annotation.
        SegmentationError: The backend needs another input, such as labels.
    """
    for photo, path in photos:
        rgb = read_photo(photo, path)
        frame = colour_frame(rgb)
        start = time.perf_counter()
        found = segmenter.segment(frame)
        latency_ms = 1e3 * (time.perf_counter() - start)
        detections = tuple(instance for instance in found if isinstance(instance, InstanceMask))
        masks = [(item, item.mask(photo.width, photo.height)) for item in photo.objects]
        truths = [mask for item, mask in masks if mask and not item.is_ignored]
        ignored = [mask for item, mask in masks if mask and item.is_ignored]
        yield DetectedPhoto(photo, rgb, detections, count_boxes(detections, truths, ignored, categories), latency_ms)


def sum_by_group(results: Iterable[DetectedPhoto]) -> dict[str, dict[str, BoxDetection]]:
    """Sum the counts over the photographs of each group: by category, and over all categories under ``all``."""
    groups: dict[str, dict[str, BoxDetection]] = {}
    for result in results:
        table = groups.setdefault(result.photo.group, {})
        for name, counts in result.counts.items():
            table[name] = table.get(name, BoxDetection()) + counts
    return {group: table | {"all": _sum_categories(table)} for group, table in groups.items()}


def _sum_categories(table: Mapping[str, BoxDetection]) -> BoxDetection:
    """Return the sum over categories, whose images are the same ones."""
    total = sum(table.values(), BoxDetection())
    images = next(iter(table.values())).images
    return BoxDetection(images, total.objects, total.detections, total.found, total.iou_sum)


def colour_frame(rgb: ByteArray) -> RgbdFrame:
    """Return a frame without depth; its intrinsics are a placeholder, which segmenters of colour images do not read."""
    height, width = rgb.shape[:2]
    focal = float(max(width, height))
    intrinsics = CameraIntrinsics(focal, focal, width / 2.0, height / 2.0, width, height)
    return RgbdFrame(rgb, np.full((height, width), np.nan, np.float32), intrinsics)
