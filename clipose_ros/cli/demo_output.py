"""Output of the demo: live table, progress line, summary text, video and images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from rich.table import Table

from clipose_ros.errors import DataError
from clipose_ros.evaluation.runs.live_statistics import CategorySummary, LiveSummary
from clipose_ros.ros_tools.observer import AnnotatedImage, ObservedObject
from clipose_ros.types import ByteArray
from clipose_ros.visualization.video import VideoWriter, write_animation

_NO_VALUE = "-"


def object_table(objects: Sequence[ObservedObject], summary: LiveSummary, elapsed_s: float, duration_s: float) -> Table:
    """Return a table of the objects in the newest frame, with the run's counts in its title."""
    view = Table(title=f"{elapsed_s:.0f} of {duration_s:.0f} s: {_format_counts(summary)}", title_justify="left")
    for heading in ("category", "track"):
        view.add_column(heading)
    for heading in ("position m", "size cm", "score", "age s", "error cm", "error deg"):
        view.add_column(heading, justify="right")
    for item in sorted(objects, key=lambda item: item.published.name):
        published, error = item.published, item.error
        view.add_row(
            published.category,
            published.name,
            " ".join(f"{v:+.3f}" for v in published.T_camera_object[:3, 3]),
            " x ".join(f"{100 * v:.1f}" for v in published.size),
            f"{published.score:.2f}",
            f"{item.age_s:.1f}",
            _NO_VALUE if error is None else f"{error.translation_cm:.1f}",
            _NO_VALUE if error is None else f"{error.rotation_deg:.0f}",
        )
    return view


def progress_line(objects: Sequence[ObservedObject], summary: LiveSummary, elapsed_s: float) -> str:
    """Return the content of ``object_table`` as one line, for logs."""
    truth_is_known = summary.has_matches or any(item.error for item in objects)
    unmatched = " (no true object)" if truth_is_known else ""
    parts = []
    for item in sorted(objects, key=lambda item: item.published.name):
        error = item.error and f" ({item.error.translation_cm:.1f} cm, {item.error.rotation_deg:.0f} deg off)"
        parts.append(f"{item.published.name} {item.published.score:.2f}{error or unmatched}")
    return f"{elapsed_s:5.1f} s: {_format_counts(summary)}: {', '.join(parts) or 'no objects'}"


def summary_text(summary: LiveSummary, output: Path) -> str:
    """Return the statistics of the whole run, one line per category, and the list of files in ``output``."""
    lines = [
        f"frames in {summary.frames_in}, posed {summary.frames_posed}, dropped {summary.dropped}",
        f"latency from image stamp to a subscriber: median {_format_value(summary.latency_ms_p50)} ms, "
        f"95th percentile {_format_value(summary.latency_ms_p95)} ms",
    ]
    for name, category in summary.categories.items():
        lines.append(f"{name:8s} {category.count:5d} poses, {_format_errors(category, summary.has_matches)}")
    return "\n".join(
        [*lines, f"output in {output}: summary.json, demo.mp4, demo.png, pictures/, camera.log, pose_node.log"]
    )


def _format_errors(category: CategorySummary, truth_is_known: bool) -> str:
    """Return the median errors of a category and the number of its poses without a true object."""
    if not truth_is_known:
        return "truth unknown"
    false_count = category.count - category.matched
    false_text = f", {false_count} without a true object" if false_count else ""
    if not category.matched:
        return false_text.removeprefix(", ")
    translation = _format_value(category.translation_error_cm_median)
    rotation = _format_value(category.rotation_error_deg_median)
    return f"median error {translation} cm, {rotation} deg{false_text}"


def _format_counts(summary: LiveSummary) -> str:
    return (
        f"{summary.frames_in} frames in, {summary.frames_posed} posed, {summary.dropped} dropped, "
        f"latency {_format_value(summary.latency_ms_p50)} ms"
    )


def _format_value(value: float | None) -> str:
    return _NO_VALUE if value is None else f"{value:.1f}"


class MediaRecorder:
    """Records annotated images: all as ``demo.mp4``, some in ``pictures/``, the one with most objects as ``demo.png``.

    Args:
        folder: Output folder. Files of an earlier run are removed on entry.
        every_s: Interval between two images in ``pictures/``, seconds.
        animation_s: Duration of ``demo.webp``, an animated picture from the first image with an object on, seconds; 0
            writes none.
    """

    def __init__(self, folder: Path, every_s: float, animation_s: float = 0.0) -> None:
        self._folder, self._every_ns = folder, int(every_s * 1e9)
        self._animation_ns = int(animation_s * 1e9)
        self._animation: list[AnnotatedImage] = []
        self._images_folder = folder / "pictures"
        self._video = VideoWriter(folder / "demo.mp4")
        self._best: AnnotatedImage | None = None
        self._next_stamp_ns = 0
        self._count = 0

    def __enter__(self) -> MediaRecorder:
        self._images_folder.mkdir(parents=True, exist_ok=True)
        for old in (
            *self._images_folder.glob("*.png"),
            *(self._folder / name for name in ("demo.png", "demo.mp4", "demo.webp", "summary.json")),
        ):
            old.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._video.close()
        if self._best is not None:
            _write_image(self._folder / "demo.png", self._best.rgb)
        if len(self._animation) > 1:
            stamps_ns = [image.stamp_ns for image in self._animation]
            write_animation(self._folder / "demo.webp", [image.rgb for image in self._animation], stamps_ns)

    def add(self, image: AnnotatedImage) -> None:
        """Record an annotated image.

        Raises:
            DataError: A file cannot be written.
        """
        self._video.add(image.rgb, image.stamp_ns)
        if self._belongs_to_animation(image):
            self._animation.append(image)
        if self._best is None or image.object_count >= self._best.object_count:
            self._best = image
        if image.stamp_ns >= self._next_stamp_ns:
            _write_image(self._images_folder / f"{self._count:03d}.png", image.rgb)
            self._next_stamp_ns, self._count = image.stamp_ns + self._every_ns, self._count + 1

    def _belongs_to_animation(self, image: AnnotatedImage) -> bool:
        """Return True for images from the first with an object on, for the duration of the animation."""
        first = self._animation[0] if self._animation else image
        return first.object_count > 0 and image.stamp_ns - first.stamp_ns < self._animation_ns


def _write_image(path: Path, rgb: ByteArray) -> None:
    if not cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1])):
        raise DataError(f"image '{path}' cannot be written: check free disk space and write permission of the folder")
