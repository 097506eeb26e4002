"""Self-contained HTML report of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from clipose_ros.evaluation.metrics.detection_recall import DESCRIPTION, TABLE_HEAD, DetectionRecall
from clipose_ros.evaluation.metrics.iou import IouKind
from clipose_ros.evaluation.metrics.latency import Latency
from clipose_ros.evaluation.metrics.nocs_protocol import TABLE, Scores, Thresholds, as_record
from clipose_ros.evaluation.metrics.pose_accuracy import THRESHOLDS, Accuracy
from clipose_ros.evaluation.metrics.reliability import Reliability
from clipose_ros.evaluation.report.breakdown import Breakdown
from clipose_ros.evaluation.report.html import embed_figure, format_number, note, page, table
from clipose_ros.evaluation.report.worst_cases import FailureCase, draw_cases
from clipose_ros.model.score_calibration import CORRECT_CM, CORRECT_DEG

IOU_GRID = tuple(k / 100 for k in range(101))
ROTATION_GRID_DEG = tuple(float(d) for d in range(61))
TRANSLATION_GRID_CM = tuple(k / 2 for k in range(31))
_ANY_DEG, _ANY_CM = 360.0, 100.0

REPORT_THRESHOLDS = Thresholds(
    IOU_GRID,
    tuple(
        dict.fromkeys(
            (*THRESHOLDS, *((d, _ANY_CM) for d in ROTATION_GRID_DEG), *((_ANY_DEG, c) for c in TRANSLATION_GRID_CM))
        )
    ),
)
"""Thresholds of the tables and of the curves."""

PAPER_TABLE_I: Mapping[str, tuple[float | None, ...]] = {
    "NOCS": (None, 9.5, 13.8, 26.7, 26.7),
    "CASS": (19.5, 23.5, 50.8, 58.0, 58.3),
    "DualPoseNet": (29.3, 35.9, 50.0, 66.8, None),
    "SPD": (19.3, 21.4, 43.2, 54.1, None),
    "SGPA": (35.9, 39.6, 61.3, 70.7, None),
    "DPDN": (46.0, 50.7, 70.4, 78.4, 80.4),
    "IST-Net": (47.8, 55.1, 69.5, 79.6, 81.6),
    "FS-Net": (19.9, 33.9, None, 69.1, 71.0),
    "GPV-Pose": (32.0, 42.9, 55.0, 73.3, 74.6),
    "SSP-Pose": (34.7, 44.6, None, 77.8, 79.7),
    "GPT-COPE": (45.9, 53.8, 63.1, 77.7, 79.8),
    "DR-Pose": (41.7, 46.0, 67.7, 76.3, None),
    "HS-Pose": (45.3, 54.9, 68.6, 83.6, 84.6),
    "CLIPose": (48.7, 58.3, 70.4, 85.2, 86.2),
}
"""Means on REAL275 from Table I of the CLIPose paper at ``THRESHOLDS``; None for a dash in the table."""

MATCHED = (
    "Average precision, per cent. Poses are evaluated for predictions and truths matched at IoU > 0.1, and recall is "
    "relative to the matched truths."
)
SHARES = (
    "Every cloud is evaluated independently and without a detector, so no object is missed or detected twice. Scores "
    "are not used: this is not average precision. The rotation error of bottles, bowls, cans and mugs with hidden "
    "handle is the angle between the y axes."
)
BREAKDOWN = (
    f"Percentage of objects posed within {CORRECT_DEG:g}° and {CORRECT_CM:g} cm, with the number of objects in "
    "brackets. Percentages of few objects are unreliable."
)
RELIABILITY = (
    f"A pose within {CORRECT_DEG:g}° and {CORRECT_CM:g} cm is right. If scores are probabilities, poses of about equal "
    "score are correct at that rate: the points lie on the line. Their areas show the number of poses."
)
SINGLE = (
    "Average precision, per cent, of clouds under true masks. Each cloud is treated as an image with one truth and one "
    "detection, whose score is that of the pose. Errors of a detector are not included."
)
WORST = (
    "Ranked by max(degrees / 10, centimetres / 5). True boxes are blue, predicted boxes orange. Thick edges are the "
    "bottom; the line from the centre points to the front (+x)."
)


@dataclass(frozen=True, eq=False)
class Report:
    """Content of a report.

    Attributes:
        title: Title of the page.
        source: Description of the evaluated model and data.
        latency: Latency of the predictions.
        by_kind: Scores at ``REPORT_THRESHOLDS`` by kind of IoU.
        protocol: Explanation of the scores.
        shares: Accuracy by category, for evaluations without a detector.
        breakdown: Accuracy by visibility, distance and viewpoint.
        cases: Worst poses.
        recall: Detection recall by category, if a segmenter was evaluated.
        reliability: Reliability of the scores, for evaluations without a detector.
    """

    title: str
    source: str
    latency: Latency
    by_kind: Mapping[IouKind, Mapping[str, Scores]]
    protocol: str = MATCHED
    shares: Mapping[str, Accuracy] = field(default_factory=dict)
    breakdown: Breakdown = field(default_factory=dict)
    cases: Sequence[FailureCase] = ()
    recall: Mapping[str, DetectionRecall] = field(default_factory=dict)
    reliability: Reliability | None = None


def report_html(report: Report) -> str:
    """Return the report as a self-contained HTML page."""
    parts = [f"<p>{escape(report.source)}</p>", f"<p>{escape(report.latency.sentence)}</p>"]
    if report.shares:
        parts += ["<h2>Objects posed within a threshold</h2>", note(SHARES), _shares_table(report.shares)]
    if report.recall:
        parts += ["<h2>Objects detected and posed</h2>", note(DESCRIPTION), _recall_table(report.recall)]
    for kind, scores in report.by_kind.items():
        records = {name: as_record(each, REPORT_THRESHOLDS) for name, each in scores.items()}
        parts += [
            f"<h2>Average precision, IoU {kind.value}</h2>",
            note(f"{kind.meaning[0].upper()}{kind.meaning[1:]}. {report.protocol}"),
            _scores_table(records),
            embed_figure(_curves(records), f"average precision over thresholds, IoU {kind.value}"),
        ]
    if IouKind.RELEASED in report.by_kind:  # the kind of IoU of the published values
        parts += ["<h2>Comparison with published results</h2>", *_paper_table(report.by_kind[IouKind.RELEASED]["mean"])]
    if report.breakdown:
        parts += [
            "<h2>Accuracy by visibility, distance and viewpoint</h2>",
            note(BREAKDOWN),
            *_breakdown_tables(report.breakdown),
        ]
    if report.reliability is not None:
        parts += [
            "<h2>Reliability of the scores</h2>",
            note(RELIABILITY),
            embed_figure(draw_reliability(report.reliability), "share of correct poses over the score"),
        ]
    if report.cases:
        parts += ["<h2>Worst poses</h2>", note(WORST), embed_figure(draw_cases(report.cases), "worst poses")]
    return page(report.title, parts)


def draw_reliability(reliability: Reliability) -> Any:
    """Draw the share of correct poses over the mean score of each bin; areas show the number of poses."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    panel = figure.subplots()
    panel.plot((0, 1), (0, 1), color="0.6", linewidth=1.0)
    largest = max((each.count for each in reliability.bins), default=1)
    panel.scatter(
        [each.score for each in reliability.bins],
        [each.correct for each in reliability.bins],
        s=[12.0 + 300.0 * each.count / largest for each in reliability.bins],
        alpha=0.8,
    )
    panel.set(xlabel="score", ylabel="share of correct poses", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    panel.set_title(f"expected calibration error {100 * reliability.expected_calibration_error:.1f} %", fontsize=10)
    panel.grid(alpha=0.3)
    return figure


def _recall_table(recall: Mapping[str, DetectionRecall]) -> str:
    """Return the table of detection recall by category."""
    rows = [[name, *map(format_number, counts.row)] for name, counts in recall.items()]
    return table(["category", *TABLE_HEAD], rows, strong=["all"])


def _scores_table(records: Mapping[str, Mapping[str, float | None]]) -> str:
    """Return the table of scores by category."""
    names = ("truths", "predictions", "matched", *TABLE.names)
    rows = [[name, *(format_number(record[key]) for key in names)] for name, record in records.items()]
    return table(["category", *names], rows, strong=["mean"])


def _paper_table(mean: Scores) -> list[str]:
    """Return the mean over categories together with Table I of the paper."""
    names = Thresholds(iou=()).names
    record = as_record(mean)
    rows = [[method, *map(format_number, figures)] for method, figures in PAPER_TABLE_I.items()]
    rows.append(["these results", *(format_number(record[key]) for key in names)])
    explained = (
        "Means on REAL275 from Table I of the CLIPose paper, and these results with IoU released. They are comparable "
        "only if these results are of REAL275 with the same detections."
    )
    return [note(explained), table(["method", *names], rows, strong=["these results"])]


def _shares_table(shares: Mapping[str, Accuracy]) -> str:
    """Return the table of median errors and percentages within thresholds."""
    rows = []
    for name, row in shares.items():
        medians = row.rotation_deg_median, row.translation_cm_median, row.size_percent_median
        rows.append([name, str(row.count), *map(format_number, medians), *map(format_number, row.within.values())])
    head = ["category", "objects", "rotation, deg", "translation, cm", "size, %", *shares["mean"].within]
    return table(head, rows, strong=["mean"])


def _breakdown_tables(factors: Breakdown) -> list[str]:
    """Return one table per factor."""
    tables = []
    for factor, bins in factors.items():
        names = list(next(iter(bins.values())))
        rows = [
            [label, *(f"{format_number(c.percent)} ({c.count})" for c in cells.values())]
            for label, cells in bins.items()
        ]
        tables.append(table([factor, *names], rows))
    return tables


def _curves(records: Mapping[str, Mapping[str, float | None]]) -> Any:
    """Draw average precision over each threshold; the other threshold of a pose is so large that it has no effect."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 3.4), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    axes = (
        ("3D IoU", IOU_GRID, [f"IoU{100.0 * t:g}" for t in IOU_GRID]),
        ("rotation, degrees", ROTATION_GRID_DEG, [f"{d:g}deg{_ANY_CM:g}cm" for d in ROTATION_GRID_DEG]),
        ("translation, cm", TRANSLATION_GRID_CM, [f"{_ANY_DEG:g}deg{c:g}cm" for c in TRANSLATION_GRID_CM]),
    )
    for panel, (label, grid, names) in zip(panels, axes, strict=True):
        for name, record in records.items():
            if record["truths"]:
                style = {"color": "black", "linewidth": 2.2} if name == "mean" else {"linewidth": 1.3}
                panel.plot(grid, [record[key] for key in names], label=name, **style)
        panel.set(xlabel=label, xlim=(grid[0], grid[-1]), ylim=(0, 102))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("average precision, %")
    if panels[0].lines:
        panels[0].legend(fontsize=8, loc="lower left")
    return figure
