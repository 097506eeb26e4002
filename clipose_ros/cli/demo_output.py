"""What the demo shows and keeps: a table, a line, a summary; a film and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from rich.table import Table

from clipose_ros.errors import DataError
from clipose_ros.ros_tools.observer import Picture, Row
from clipose_ros.types import ByteArray
from clipose_ros.visualization.video import VideoWriter

_NONE = "-"


def table(rows: Sequence[Row], summary: Mapping[str, Any], elapsed_s: float, duration_s: float) -> Table:
    """The objects of the newest frame."""
    view = Table(title=f"{elapsed_s:.0f} of {duration_s:.0f} s: {_counts(summary)}", title_justify="left")
    for heading in ("category", "track"):
        view.add_column(heading)
    for heading in ("position m", "size cm", "score", "age s", "error cm", "error deg"):
        view.add_column(heading, justify="right")
    for row in sorted(rows, key=lambda row: row.seen.name):
        seen, error = row.seen, row.error
        view.add_row(
            seen.category,
            seen.name,
            " ".join(f"{v:+.3f}" for v in seen.T_camera_object[:3, 3]),
            " x ".join(f"{100 * v:.1f}" for v in seen.size),
            f"{seen.score:.2f}",
            f"{row.age_s:.1f}",
            _NONE if error is None else f"{error.translation_cm:.1f}",
            _NONE if error is None else f"{error.rotation_deg:.0f}",
        )
    return view


def progress_line(rows: Sequence[Row], summary: Mapping[str, Any], elapsed_s: float) -> str:
    """The same in a line, for logs."""
    truth_is_known = _truth_is_known(summary) or any(row.error for row in rows)
    unmatched = " (no such object)" if truth_is_known else ""
    objects = []
    for row in sorted(rows, key=lambda row: row.seen.name):
        off = row.error and f" ({row.error.translation_cm:.1f} cm, {row.error.rotation_deg:.0f} deg off)"
        objects.append(f"{row.seen.name} {row.seen.score:.2f}{off or unmatched}")
    return f"{elapsed_s:5.1f} s: {_counts(summary)}: {', '.join(objects) or 'no objects'}"


def summary_text(summary: Mapping[str, Any], output: Path) -> str:
    """The figures of the whole run."""
    lines = [
        f"frames in {summary['frames_in']}, posed {summary['frames_posed']}, dropped {summary['dropped']}",
        f"latency from image stamp to a subscriber: median {_figure(summary['latency_ms_p50'])} ms, "
        f"95th percentile {_figure(summary['latency_ms_p95'])} ms",
    ]
    for name, figures in summary["categories"].items():
        lines.append(f"{name:8s} {figures['count']:5d} poses, {_off(name, figures, _truth_is_known(summary))}")
    return "\n".join(
        [*lines, f"kept in {output}: summary.json, demo.mp4, demo.png, pictures/, camera.log, pose_node.log"]
    )


def _truth_is_known(summary: Mapping[str, Any]) -> bool:
    """Whether anything was near a true object: cameras that tell no truth have none."""
    return any(figures["matched"] for figures in summary["categories"].values())


def _off(category: str, figures: Mapping[str, Any], truth_is_known: bool) -> str:
    """How many poses of a category are of true objects, and how far off those are."""
    if not truth_is_known:
        return "truth unknown"
    matched, false = figures["matched"], figures["count"] - figures["matched"]
    strays = f", {false} of no such object" if false else ""
    if not matched:
        return strays.removeprefix(", ")
    centre, turn = figures["translation_error_cm_median"], figures["rotation_error_deg_median"]
    return f"median error {_figure(centre)} cm, {_figure(turn)} deg{strays}"


class MediaRecorder:
    """Keeps annotated images: ``demo.mp4`` all, ``pictures/`` one now and then, ``demo.png`` one with most objects."""

    def __init__(self, folder: Path, every_s: float) -> None:
        self._folder, self._every_ns = folder, int(every_s * 1e9)
        self._pictures = folder / "pictures"
        self._video = VideoWriter(folder / "demo.mp4")
        self._best: Picture | None = None
        self._due_ns = 0
        self._count = 0

    def __enter__(self) -> MediaRecorder:
        self._pictures.mkdir(parents=True, exist_ok=True)
        for old in (
            *self._pictures.glob("*.png"),
            *(self._folder / name for name in ("demo.png", "demo.mp4", "summary.json")),
        ):
            old.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._video.close()
        if self._best is not None:
            _write(self._folder / "demo.png", self._best.rgb)

    def add(self, picture: Picture) -> None:
        """Keep a picture."""
        self._video.add(picture.rgb, picture.stamp_ns)
        if self._best is None or picture.objects >= self._best.objects:
            self._best = picture
        if picture.stamp_ns >= self._due_ns:
            _write(self._pictures / f"{self._count:03d}.png", picture.rgb)
            self._due_ns, self._count = picture.stamp_ns + self._every_ns, self._count + 1


def _write(path: Path, rgb: ByteArray) -> None:
    if not cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1])):
        raise DataError(f"'{path}' cannot be written: is the disk full, or the folder read-only?")


def _counts(summary: Mapping[str, Any]) -> str:
    return (
        f"{summary['frames_in']} frames in, {summary['frames_posed']} posed, {summary['dropped']} dropped, "
        f"latency {_figure(summary['latency_ms_p50'])} ms"
    )


def _figure(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1f}"
