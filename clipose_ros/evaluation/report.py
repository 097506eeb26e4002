"""A page of HTML, complete in itself, that shows how predictions fare by the NOCS protocol."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from clipose_ros.evaluation.accuracy import THRESHOLDS
from clipose_ros.evaluation.iou import IouKind
from clipose_ros.evaluation.nocs_protocol import TABLE, MatchedPair, Scores, Thresholds, as_record
from clipose_ros.geometry.boxes import BOX_EDGES
from clipose_ros.types import FloatArray

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
"""The tables' thresholds and those of the curves."""

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
"""Means on REAL275 as the CLIPose paper prints them, at ``THRESHOLDS``; None where it has a dash."""

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #1b1f24; }
table { border-collapse: collapse; margin: .8em 0 1.6em; }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #d8dee4; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
tr.strong td { font-weight: 600; border-top: 2px solid #57606a; }
img { max-width: 100%; }
p.note { color: #57606a; }
"""


def report_html(title: str, source: str, by_kind: Mapping[IouKind, Mapping[str, Scores]], worst: int = 12) -> str:
    """Make the page.

    Args:
        title: Of the page.
        source: What was scored, for the reader.
        by_kind: Scores at ``REPORT_THRESHOLDS``, by kind of IoU.
        worst: How many of the worst poses to show.

    Returns:
        HTML that needs no other file.
    """
    parts = [f"<h1>{escape(title)}</h1><p>{escape(source)}</p>"]
    for kind, table in by_kind.items():
        records = {name: as_record(scores, REPORT_THRESHOLDS) for name, scores in table.items()}
        parts += [
            f"<h2>IoU {kind.value}</h2><p class='note'>{escape(kind.meaning)}. Average precision, per cent. Poses "
            "count where predictions and truths were matched at IoU &gt; 0.1, and recall is over the matched ones.</p>",
            _scores_table(records),
            _image(_curves(records), f"average precision over thresholds, IoU {kind.value}"),
        ]
    if IouKind.RELEASED in by_kind:  # what the paper's figures are matched with
        parts += ["<h2>Beside published figures</h2>", _paper_table(by_kind[IouKind.RELEASED]["mean"])]
    kind, table = list(by_kind.items())[-1]
    if pairs := worst_pairs((p for scores in table.values() for p in scores.pairs), worst):
        parts += [
            f"<h2>Worst poses</h2><p class='note'>Of those matched at IoU {kind.value}, by the larger of degrees / 10 "
            "and centimetres / 5. True boxes blue, predicted ones orange, as the camera sees them; thick edges are the "
            "bottom.</p>",
            _image(_worst(pairs), "worst poses"),
        ]
    body = "\n".join(parts)
    return (
        f"<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def worst_pairs(pairs: Iterable[MatchedPair], count: int) -> list[MatchedPair]:
    """Those farthest off, worst first: by the larger of degrees / 10 and centimetres / 5."""
    return sorted(pairs, key=lambda p: max(p.rotation_deg / 10.0, p.translation_cm / 5.0), reverse=True)[:count]


def _scores_table(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Figures by category."""
    names = ("truths", "predictions", "matched", *TABLE.names)
    rows = [[name, *(_shown(record[key]) for key in names)] for name, record in records.items()]
    return _table(["category", *names], rows, strong="mean")


def _paper_table(mean: Scores) -> str:
    """The mean over categories beside the paper's Table I."""
    names = Thresholds(iou=()).names
    record = as_record(mean)
    rows = [[method, *map(_shown, figures)] for method, figures in PAPER_TABLE_I.items()]
    rows.append(["these results", *(_shown(record[key]) for key in names)])
    note = (
        "<p class='note'>Methods' means on REAL275 from Table I of the CLIPose paper, and these results with IoU "
        "released. They compare only where these are of REAL275 too, with the same detections.</p>"
    )
    return note + _table(["method", *names], rows, strong="these results")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], strong: str) -> str:
    """An HTML table; the row of that name stands out."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = [
        f"<tr{' class=strong' if row[0] == strong else ''}>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>"
        for row in rows
    ]
    return f"<table><tr>{cells}</tr>\n" + "\n".join(lines) + "</table>"


def _shown(value: float | None) -> str:
    """A figure for the reader."""
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.1f}"


def _curves(records: Mapping[str, Mapping[str, Any]]) -> Any:
    """Average precision over each threshold, the other one open."""
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
                look = {"color": "black", "linewidth": 2.2} if name == "mean" else {"linewidth": 1.3}
                panel.plot(grid, [record[key] for key in names], label=name, **look)
        panel.set(xlabel=label, xlim=(grid[0], grid[-1]), ylim=(0, 102))
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("average precision, %")
    if panels[0].lines:
        panels[0].legend(fontsize=8, loc="lower left")
    return figure


def _worst(pairs: Sequence[MatchedPair]) -> Any:
    """Boxes of the worst pairs, projected as the camera sees them."""
    from matplotlib.figure import Figure

    columns = 4
    rows = -(-len(pairs) // columns)
    figure = Figure(figsize=(11.0, 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, pair in zip(panels, pairs, strict=False):
        _draw_box(panel, pair.corners_true, "#0969da")
        _draw_box(panel, pair.corners_estimate, "#d4580a")
        panel.set_aspect("equal")
        panel.invert_yaxis()
        panel.set_title(
            f"{pair.category}: {pair.rotation_deg:.0f}°, {pair.translation_cm:.1f} cm, IoU {pair.iou:.2f}\n"
            f"{pair.frame[-38:]}",
            fontsize=8,
        )
    return figure


def _draw_box(panel: Any, corners: FloatArray, colour: str) -> None:
    """A box's edges in normalised image coordinates."""
    pixels = corners[:, :2] / corners[:, 2:].clip(min=1e-3)  # a wrong box may reach behind the camera
    for number, edge in enumerate(BOX_EDGES):
        panel.plot(*pixels[edge].T, color=colour, linewidth=2.2 if number < 4 else 1.0, solid_capstyle="round")


def _image(figure: Any, alternative: str) -> str:
    """A figure inside the page."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return f"<img alt='{escape(alternative)}' src='data:image/png;base64,{data}'>"
