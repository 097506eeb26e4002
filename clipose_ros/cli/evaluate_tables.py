"""Terminal tables of ``evaluate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from clipose_ros.evaluation.metrics.detection_recall import DESCRIPTION, TABLE_HEAD, DetectionRecall
from clipose_ros.evaluation.metrics.iou import IouKind
from clipose_ros.evaluation.metrics.nocs_protocol import TABLE, Scores, as_record
from clipose_ros.evaluation.metrics.pose_accuracy import Accuracy
from clipose_ros.evaluation.metrics.reliability import Reliability
from clipose_ros.evaluation.report.breakdown import Breakdown
from clipose_ros.model.score_calibration import CORRECT_CM, CORRECT_DEG

if TYPE_CHECKING:  # the import loads the tracker, which tables of scores do not need
    from clipose_ros.evaluation.metrics.jitter import JitterReport
    from clipose_ros.evaluation.metrics.timeline import ErrorCurve, SteadyState, TimelineReport


SHOWN_FRAMES = (1, 5, 15, 30)
"""Frames since first seen that the table of accuracy against time shows, beside the last."""


def shares_table(table: Mapping[str, Accuracy]) -> Table:
    """Return the table of median errors and percentages by category."""
    result = Table(title="Objects posed within a threshold, per cent, and median errors")
    thresholds = list(next(iter(table.values())).within) if table else []
    for name in ("category", "objects", "rotation deg", "translation cm", "size %", *thresholds):
        result.add_column(name, justify="left" if name == "category" else "right")
    for name, row in table.items():
        medians = (row.rotation_deg_median, row.translation_cm_median, row.size_percent_median)
        figures = [f"{value:.2f}" for value in medians] + [f"{row.within[key]:.1f}" for key in thresholds]
        result.add_row(name, str(row.count), *figures, end_section=name == list(table)[-2:][0])
    return result


def scores_table(title: str, table: Mapping[str, Scores]) -> Table:
    """Return the table of average precision by category, with a dash for categories without truths."""
    result = Table(title=title)
    for name in ("category", "truths", "matched", *TABLE.names):
        result.add_column(name, justify="left" if name == "category" else "right")
    for name, scores in table.items():
        record = as_record(scores)
        figures = ["-" if record[key] is None else f"{record[key]:.1f}" for key in TABLE.names]
        last = name == list(table)[-2]
        result.add_row(name, str(scores.truths), str(scores.matched), *figures, end_section=last)
    return result


def reliability_table(reliability: Reliability) -> Table:
    """Return the table of mean score and share of correct poses by bins of the score."""
    result = Table(
        title=f"Scores against the share of poses within {CORRECT_DEG:g} degrees and {CORRECT_CM:g} cm; expected "
        f"calibration error {100 * reliability.expected_calibration_error:.1f} %"
    )
    for name in ("score", "poses", "mean score", "share of correct poses"):
        result.add_column(name, justify="left" if name == "score" else "right")
    for each in reliability.bins:
        result.add_row(f"{each.low:g} to {each.high:g}", str(each.count), f"{each.score:.2f}", f"{each.correct:.2f}")
    return result


def recall_table(table: Mapping[str, DetectionRecall]) -> Table:
    """Return the table of detection recall by category."""
    result = Table(title=DESCRIPTION)
    for name in ("category", *TABLE_HEAD):
        result.add_column(name, justify="left" if name == "category" else "right")
    for name, counts in table.items():
        figures = ["-" if v is None else str(v) if isinstance(v, int) else f"{v:.1f}" for v in counts.row]
        result.add_row(name, *figures, end_section=name == list(table)[-2])
    return result


def protocol_title(kind: IouKind) -> str:
    """Return the title of the table of one kind of IoU."""
    return f"NOCS protocol, average precision in per cent, IoU {kind.value}: {kind.meaning}"


def breakdown_table(factors: Breakdown) -> Table:
    """Return the table of percentages by category and by each factor of the breakdown."""
    names = list(next(iter(next(iter(factors.values())).values())))
    within = f"{CORRECT_DEG:g} deg and {CORRECT_CM:g} cm"
    result = Table(title=f"Objects posed within {within}, per cent, and number of objects")
    for name in ("", *names):
        result.add_column(name, justify="right" if name else "left")
    for factor, bins in factors.items():
        result.add_row(f"[bold]{factor}[/]")
        for label, cells in bins.items():
            figures = ["-" if cell.percent is None else f"{cell.percent:.0f} ({cell.count})" for cell in cells.values()]
            result.add_row(label, *figures, end_section=label == list(bins)[-1])
    return result


def smoothness_table(rows: Sequence[tuple[str, float, JitterReport]]) -> Table:
    """Return the table of jitter, lag and identity switches.

    Args:
        rows: Tracking frame, smoothing and measurements of each setting.
    """
    result = Table(title="Static objects and a moving camera by settings of the tracker, medians over the objects")
    heads = ("smoothed in", "smoothing", "std mm", "std deg", "step mm", "step deg", "worst std mm", "worst std deg")
    for name in (*heads, "lag ms", "turn lag ms", "id switches", "reported %"):
        result.add_column(name, justify="left" if name == "smoothed in" else "right")
    for frame, smoothing, figures in rows:
        j, worst = figures.jitter, figures.worst
        values = (j.position_mm, j.angle_deg, j.position_step_mm, j.angle_step_deg, worst.position_mm, worst.angle_deg)
        result.add_row(
            frame,
            f"{smoothing:g}",
            *(f"{value:.2f}" for value in values),
            f"{figures.lag_ms:.0f}",
            f"{figures.turn_lag_ms:.0f}",
            str(figures.identity_switches),
            f"{100.0 * figures.reported:.1f}",
        )
    return result


def timeline_tables(reports: Mapping[str, TimelineReport]) -> list[Table]:
    """Return the tables of accuracy against time and of the other figures of the tracker, by camera motion."""
    return [
        *(_accuracy_table(camera, report) for camera, report in reports.items()),
        _consistency_table(reports),
    ]


def _accuracy_table(camera: str, report: TimelineReport) -> Table:
    """Return the percentage of accurate poses by category and frame since first seen, and medians at the last frame."""
    length = len(report.tracker["mean"].objects)
    frames = [frame for frame in SHOWN_FRAMES if frame < length - 1] + [length - 1]
    result = Table(
        title=f"Camera {camera}, {report.tables} tables: objects within 5 deg and 2 cm, per cent, by frame since first "
        "seen, and median errors in the last frame: tracker / single frames"
    )
    heads = ("objects", *(f"frame {frame}" for frame in frames), "position mm", "rotation deg", "size %")
    for name in ("category", *heads):
        result.add_column(name, justify="left" if name == "category" else "right")
    for name, curve in report.tracker.items():
        single = report.single_frame[name]
        shares = [_pair(curve.within_5deg_2cm[frame], single.within_5deg_2cm[frame], 0) for frame in frames]
        medians = [
            _pair(ours[-1], theirs[-1], 1) for ours, theirs in zip(_medians(curve), _medians(single), strict=True)
        ]
        row = [str(max(curve.objects)), *shares, *medians]
        result.add_row(name, *row, end_section=name == list(report.tracker)[-2:][0])
    return result


def _medians(curve: ErrorCurve) -> tuple[list[float | None], ...]:
    """Return the median errors of position, rotation and size by frame."""
    return curve.position_mm, curve.rotation_deg, curve.size_percent


def _pair(tracked: float | None, single: float | None, digits: int) -> str:
    """Return the values of the tracker and of single frames, with dashes where there are none."""
    return " / ".join("-" if value is None else f"{value:.{digits}f}" for value in (tracked, single))


def _consistency_table(reports: Mapping[str, TimelineReport]) -> Table:
    """Return the table of stability, consistency, identities and step response, a column for each camera motion."""
    result = Table(title="Tracker / single frames after the first second, consistency, and response to steps")
    result.add_column("figure")
    for camera in reports:
        result.add_column(f"camera {camera}", justify="right")
    columns = [_figures(report) for report in reports.values()]
    for name in dict.fromkeys(name for column in columns for name in column):
        result.add_row(name, *(column.get(name, "-") for column in columns))
    return result


def _figures(report: TimelineReport) -> dict[str, str]:
    """Return the figures of one camera motion by name."""
    rows = {}
    if report.tracker_after_1s and report.single_frame_after_1s:
        pairs = zip(
            _steady_figures(report.tracker_after_1s), _steady_figures(report.single_frame_after_1s), strict=True
        )
        rows = {name: f"{tracked:.2f} / {single:.2f}" for (name, tracked), (_, single) in pairs}
    for name, nees in report.nees.items():
        low, high = nees.band
        rows[f"NEES of {name}: mean (95 % band), median, % within 95 %"] = (
            f"{nees.mean:.2f} ({low:.2f} to {high:.2f}), {nees.median:.2f}, {nees.within_95:.0f}"
        )
    rows["flips"] = f"{report.flips} / {report.single_frame_flips}"
    rows["identity switches"] = str(report.identity_switches)
    rows["clouds with all passes, %"] = f"{report.all_passes:.0f}"
    rows["clouds that the refiner left out, %"] = f"{report.coarse_only:.0f}"
    for name, step in report.steps.items():
        rows[f"step of {name}: frames (median, max), % within 3, not followed"] = (
            f"{step.frames_median:.0f}, {step.frames_max}, {step.within_3_frames:.0f}, {step.lost} of {step.objects}"
        )
    return rows


def _steady_figures(state: SteadyState) -> list[tuple[str, float]]:
    """Return name and value of the figures after the first second."""
    return [
        ("within 5 deg and 2 cm, %", state.within_5deg_2cm),
        ("median position error, mm", state.position_mm),
        ("median rotation error, deg", state.rotation_deg),
        ("std mm", state.jitter.position_mm),
        ("std deg", state.jitter.angle_deg),
        ("step mm", state.jitter.position_step_mm),
        ("step deg", state.jitter.angle_step_deg),
    ]
