"""Terminal tables of ``evaluate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from clipose_ros.evaluation.metrics.detection_recall import DESCRIPTION, TABLE_HEAD, DetectionRecall
from clipose_ros.evaluation.metrics.iou import IouKind
from clipose_ros.evaluation.metrics.nocs_protocol import TABLE, Scores, as_record
from clipose_ros.evaluation.metrics.pose_accuracy import Accuracy
from clipose_ros.evaluation.report.breakdown import CENTIMETRES, DEGREES, Breakdown

if TYPE_CHECKING:  # the import loads the tracker, which tables of scores do not need
    from clipose_ros.evaluation.metrics.jitter import JitterReport


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
    within = f"{DEGREES:g} deg and {CENTIMETRES:g} cm"
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
