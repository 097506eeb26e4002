"""``evaluate --photos``: detections on annotated photographs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from rich.table import Table

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.node_settings import SHIPPED_SEGMENTER, node_config
from clipose_ros.config import SegmentationConfig
from clipose_ros.data.photo_annotations import AnnotatedPhoto, find_photos, read_photo_annotations
from clipose_ros.evaluation.metrics.box_detection import BOX_IOU, BoxDetection, wilson_interval
from clipose_ros.evaluation.runs.photographs import DetectedPhoto, detect_photos, sum_by_group
from clipose_ros.resources import config_path
from clipose_ros.segmentation.factory import create_segmenter

Progress = Callable[[Sequence[tuple[AnnotatedPhoto, Path]], str], Iterable[tuple[AnnotatedPhoto, Path]]]
"""Function that yields its items and shows a progress bar with the given text."""
ANNOTATIONS = "photos/annotations.json"
"""Shipped annotations, a file of the configuration folder."""
_TRUE_COLOUR, _IGNORED_COLOUR, _DETECTED_COLOUR = (0, 160, 0), (150, 150, 150), (0, 0, 230)  # BGR


def evaluate_photos(options: argparse.Namespace, show_progress: Progress) -> tuple[list[Table], dict[str, object]]:
    """Run the segmenter of ``--segmenter`` or ``--params`` on the annotated images of ``--photos``.

    Returns:
        One table per group of images, and plain values for ``--json``.

    Raises:
        ConfigError: A setting is wrong.
        DataError: The folder holds no annotated image, or one cannot be read.
        SegmentationError: The segmenter cannot be loaded, or reads other inputs than colour.
    """
    if not options.params and not options.segmenter:
        options.segmenter = SHIPPED_SEGMENTER
    config = node_config(options)
    annotations = read_photo_annotations(options.annotations or config_path(ANNOTATIONS))
    found = find_photos(options.photos, annotations)
    segmenter = create_segmenter(config.segmentation, NOCS_CATEGORIES, config.network.device)
    results = []
    for result in detect_photos(show_progress(list(found.items()), "Detecting"), segmenter, NOCS_CATEGORIES):
        results.append(result)
        if options.drawings:
            _draw(options.drawings, result)
    groups = sum_by_group(results)
    latency_ms = float(np.median([result.latency_ms for result in results]))
    record: dict[str, object] = {
        "source": f"{_describe(config.segmentation)} on {len(results)} of {len(annotations)} annotated images",
        "box_iou": BOX_IOU,
        "latency_ms_median": latency_ms,
        "groups": {group: {name: c.as_record() for name, c in table.items()} for group, table in groups.items()},
    }
    title = f"{record['source']}, median {latency_ms:.0f} ms an image"
    return [detection_table(f"{group}: {title}", table) for group, table in groups.items()], record


def detection_table(title: str, table: Mapping[str, BoxDetection]) -> Table:
    """Return the table of recall, precision, false objects and mask IoU by category; 95 % intervals in brackets."""
    result = Table(title=title)
    for name in ("category", "objects", "detections", "recall %", "precision %", "false an image", "mask IoU"):
        result.add_column(name, justify="left" if name == "category" else "right")
    for name, counts in table.items():
        result.add_row(
            name,
            str(counts.objects),
            str(counts.detections),
            _share(counts.found, counts.objects),
            _share(counts.found, counts.detections),
            "-" if counts.false_per_image is None else f"{counts.false_per_image:.2f}",
            "-" if counts.mask_iou is None else f"{counts.mask_iou:.2f}",
            end_section=name == list(table)[-2],
        )
    return result


def _share(hits: int, trials: int) -> str:
    """Format a share with its interval, per cent."""
    interval = wilson_interval(hits, trials)
    if interval is None:
        return "-"
    return f"{100.0 * hits / trials:.0f} ({100.0 * interval[0]:.0f}-{100.0 * interval[1]:.0f})"


def _draw(folder: Path, result: DetectedPhoto) -> None:
    """Write an image with the outlines of objects (green), ignored objects (grey) and detections (red)."""
    image = np.ascontiguousarray(result.rgb[..., ::-1])
    for item in result.photo.objects:
        colour = _IGNORED_COLOUR if item.is_ignored else _TRUE_COLOUR
        cv2.polylines(image, [np.array(item.outline, np.int32)], True, colour, 1, cv2.LINE_AA)
    for instance in result.detections:
        x0, y0, x1, y1 = instance.box
        contours, _ = cv2.findContours(instance.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, contours, -1, _DETECTED_COLOUR, 1, offset=(x0, y0))
        cv2.rectangle(image, (x0, y0), (x1 - 1, y1 - 1), _DETECTED_COLOUR, 1)
        text = f"{instance.category} {instance.score:.2f}"
        cv2.putText(image, text, (x0 + 2, y0 + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, _DETECTED_COLOUR, 1, cv2.LINE_AA)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{Path(result.photo.name).with_suffix('').as_posix().replace('/', '_')}.png"
    if not cv2.imwrite(str(path), image):
        raise OSError(f"'{path}' cannot be written")


def _describe(config: SegmentationConfig) -> str:
    """Return backend, weights, image size and threshold."""
    return f"{config.backend} {config.model} at {config.image_size} pixels, threshold {config.score_threshold:g}"
