"""Self-contained HTML report of a processed recording."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from clipose_ros.evaluation.report.html import embed_figure, embed_jpeg, figure, format_number, note, page, table
from clipose_ros.evaluation.runs.recording_statistics import (
    MIN_VISIBLE,
    RecordingStatistics,
    TrackHistory,
    WorstFrame,
    stage_table,
)
from clipose_ros.types import FloatArray
from clipose_ros.visualization.draw import category_colour

_JPEG_QUALITY = 80
_MAX_PLOTTED = 24
"""Largest number of tracks in the plots; further ones, with fewer poses, are left out."""

TRACKS = (
    "One line per track, with a gap where the object was not observed. A new number of the same object means that its "
    "track was lost."
)
JITTER = (
    "Root mean square of each track: distance from its mean position, angle to its mean orientation, and change from "
    "one pose to the next, in the frame of the poses. A moving camera moves the poses in its own frame: set "
    "tracking.frame and publish.target_frame to a fixed frame of the recording."
)
REJECTIONS = "Instances without a pose, with one of the measured values."
TIMES = "Wall times per frame. Reading and segmentation run in parallel with the other stages."
WORST = (
    "Frames with the most rejected instances, with tracks that jump from one frame to the next, or with the largest "
    "errors if the truth is known."
)
ERRORS = (
    f"Poses of the tracks against the true poses of the recording. Missed are true objects, visible by at least "
    f"{100 * MIN_VISIBLE:.0f} %, without a pose."
)


@dataclass(frozen=True, slots=True)
class RecordingSource:
    """Description of a processed recording.

    Attributes:
        name: Recording.
        model: Model and detector.
        frame_id: Frame of the poses.
        seconds: Time of the processing, seconds.
        notes: Lines about what could not be read, and about doubtful input.
    """

    name: str
    model: str
    frame_id: str
    seconds: float
    notes: Sequence[str] = ()


def recording_html(source: RecordingSource, statistics: RecordingStatistics) -> str:
    """Return the report as a self-contained HTML page."""
    rate = statistics.frames / source.seconds if source.seconds > 0.0 else 0.0
    parts = [
        f"<p>{escape(source.model)}. Poses in frame <code>{escape(source.frame_id)}</code>.</p>",
        f"<p>{statistics.frames} frames in {source.seconds:.1f} s ({rate:.1f} frames a second): {statistics.posed} "
        f"posed, {statistics.with_objects} with objects, {statistics.frames - statistics.posed} unusable. "
        f"{len(statistics.tracks)} tracks.</p>",
        *_faults(source, statistics),
    ]
    if statistics.has_truths:
        parts += ["<h2>Errors</h2>", note(ERRORS), _errors_table(statistics), *_plot_errors(statistics)]
    parts += ["<h2>Tracks over time</h2>", note(TRACKS), *_plot_tracks(statistics)]
    parts += ["<h2>Jitter</h2>", note(JITTER), _jitter_table(statistics)]
    parts += ["<h2>Rejections</h2>", note(REJECTIONS), _rejections_table(statistics)]
    parts += ["<h2>Time by stage</h2>", note(TIMES), _times_table(statistics)]
    if statistics.worst_frames:
        pictures = "\n".join(_picture(frame) for frame in statistics.worst_frames)
        parts += ["<h2>Worst frames</h2>", note(WORST), f"<div class='pictures'>{pictures}</div>"]
    return page(f"Poses in {source.name}", parts)


def _faults(source: RecordingSource, statistics: RecordingStatistics) -> list[str]:
    """Return what could not be read and which frames could not be used."""
    parts = []
    if statistics.faults:
        rows = [[reason, str(count)] for reason, count in statistics.faults.most_common(20)]
        parts += ["<h2>Unusable frames</h2>", table(["reason", "frames"], rows, wraps=True)]
    if source.notes:
        items = "".join(f"<li>{escape(line)}</li>" for line in source.notes)
        parts += ["<h2>Remarks</h2>", f"<ul>{items}</ul>"]
    return parts


def _errors_table(statistics: RecordingStatistics) -> str:
    head = ["category", "poses", "matched", "missed", "cm, median", "cm, 90 %", "degrees, median", "degrees, 90 %"]
    rows = [[name, *map(format_number, astuple(row))] for name, row in statistics.errors().items()]
    return table(head, rows)


def _jitter_table(statistics: RecordingStatistics) -> str:
    head = ["track", "poses", "position, mm", "angle, degrees", "step, mm", "step, degrees"]
    rows = [
        [name, str(len(statistics.tracks[name].poses)), *map(format_number, astuple(row))]
        for name, row in statistics.jitter().items()
    ]
    return table(head, rows) if rows else note("No track has two poses.")


def _rejections_table(statistics: RecordingStatistics) -> str:
    rows = [
        [category, reason.value, str(count), statistics.details[category, reason]]
        for (category, reason), count in statistics.rejections.most_common()
    ]
    return table(["category", "reason", "count", "example"], rows, wraps=True) if rows else note("None.")


def _times_table(statistics: RecordingStatistics) -> str:
    rows = [[name, f"{median:.1f}", f"{high:.1f}"] for name, median, high in stage_table(statistics.times_ms)]
    return table(["stage", "median, ms", "95th percentile, ms"], rows)


def _picture(frame: WorstFrame) -> str:
    stream = io.BytesIO()
    Image.fromarray(frame.image).save(stream, "JPEG", quality=_JPEG_QUALITY)
    caption = f"{frame.stamp_s:.2f} s: {frame.reason}"
    return figure(embed_jpeg(stream.getvalue(), caption), caption)


def _plotted(statistics: RecordingStatistics) -> list[tuple[str, TrackHistory]]:
    """Return the longest tracks by name."""
    longest = sorted(statistics.tracks.items(), key=lambda item: -len(item[1].poses))[:_MAX_PLOTTED]
    return sorted(longest)


def _plot_tracks(statistics: RecordingStatistics) -> list[str]:
    """Draw presence, distance and score of the tracks over time."""
    tracks = _plotted(statistics)
    if not tracks:
        return [note("No object was tracked.")]
    drawing = _figure(2.2 + 0.22 * len(tracks) + 2.4, (0.6 + 0.22 * len(tracks), 1.6, 1.6))
    lanes, distances, scores = drawing.axes
    for lane, (name, track) in enumerate(tracks):
        stamps, style = np.array(track.stamps_s), _style(name, track)
        lanes.plot(stamps, np.full(len(stamps), lane), linestyle="none", marker="|", **style)
        distance = np.linalg.norm(np.array(track.poses)[:, :3, 3], axis=1)
        for panel, values in ((distances, distance), (scores, np.array(track.scores))):
            panel.plot(*_with_gaps(stamps, values), linewidth=1.2, **style)
    lanes.set_yticks(range(len(tracks)), [name for name, _ in tracks], fontsize=8)
    lanes.set_ylim(len(tracks) - 0.5, -0.5)
    distances.set_ylabel("distance, m")
    scores.set(ylabel="score", ylim=(0.0, 1.02), xlabel="time, s")
    return [embed_figure(drawing, "tracks, their distance and score over time")]


def _plot_errors(statistics: RecordingStatistics) -> list[str]:
    """Draw the errors of the tracks over time."""
    drawing = _figure(4.2, (1.0, 1.0))
    for name, track in _plotted(statistics):
        known = [(stamp, error) for stamp, error in zip(track.stamps_s, track.errors, strict=True) if error]
        stamps = np.array([stamp for stamp, _ in known])
        for panel, attribute in zip(drawing.axes, ("translation_cm", "rotation_deg"), strict=True):
            values = np.array([getattr(error, attribute) for _, error in known])
            panel.plot(*_with_gaps(stamps, values), linewidth=1.2, label=name, **_style(name, track))
    drawing.axes[0].set_ylabel("position, cm")
    drawing.axes[1].set(ylabel="rotation, degrees", xlabel="time, s")
    drawing.axes[0].legend(fontsize=7, ncols=6, loc="upper right")
    return [embed_figure(drawing, "errors over time")]


def _figure(height: float, ratios: Sequence[float]) -> Any:
    """Return a figure of panels with a common time axis."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(11.0, height), layout="constrained")
    for panel in drawing.subplots(len(ratios), 1, sharex=True, height_ratios=ratios):
        panel.grid(alpha=0.3)
    return drawing


def _style(name: str, track: TrackHistory) -> dict[str, Any]:
    """Return the colour of a category, lighter for later tracks."""
    number = int(name.rpartition("_")[2])
    red, green, blue = (value / 255.0 for value in category_colour(track.category))
    return {"color": (red, green, blue), "alpha": max(1.0 - 0.18 * (number - 1), 0.3)}


def _with_gaps(stamps: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return a curve that is interrupted where the track was not observed for some time."""
    if len(stamps) < 2:
        return stamps, values
    steps = np.diff(stamps)
    gaps = np.flatnonzero(steps > 3.0 * np.median(steps)) + 1
    return np.insert(stamps, gaps, np.nan), np.insert(values.astype(float), gaps, np.nan)
