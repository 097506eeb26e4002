"""Plot of accuracy against the time since an object was first seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clipose_ros.evaluation.metrics.timeline import TimelineReport
from clipose_ros.evaluation.runs.recorded_sequence import FPS

_MIN_OBJECTS = 0.5  # share of the objects of the first frame that must be left: the end of a curve would be noise


def plot_timelines(reports: Mapping[str, TimelineReport], path: Path) -> None:
    """Draw the percentage of accurate poses by category, one row of panels for each camera motion.

    Args:
        reports: Figures by camera motion.
        path: Image file with a suffix that matplotlib supports.
    """
    names = list(dict.fromkeys(name for report in reports.values() for name in report.tracker))
    names = ["mean", *(name for name in names if name != "mean")]
    size = (2.0 * len(names) + 0.6, 2.3 * len(reports) + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(reports), len(names), sharex=True, sharey=True, squeeze=False)
    for row, (camera, report) in zip(grid, reports.items(), strict=True):
        for panel, name in zip(row, names, strict=True):
            _draw_panel(panel, report, name)
        row[0].set_ylabel(f"camera {camera}\nwithin 5° and 2 cm, %")
    for panel, name in zip(grid[0], names, strict=True):
        panel.set_title(name, fontweight="bold" if name == "mean" else "normal")
    for panel in grid[-1]:
        panel.set_xlabel("seconds since first seen")
    lines, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(path, dpi=110)


def _draw_panel(panel: Axes, report: TimelineReport, name: str) -> None:
    """Draw the curves of one category."""
    panel.grid(alpha=0.3)
    panel.set_ylim(0, 103)
    if name not in report.tracker:
        return
    tracked, single = report.tracker[name], report.single_frame[name]
    enough = np.array(tracked.objects) >= _MIN_OBJECTS * max(tracked.objects)
    seconds = np.flatnonzero(enough) / FPS
    better, worse = _values(tracked.within_5deg_2cm)[enough], _values(single.within_5deg_2cm)[enough]
    panel.plot(seconds, worse, color="0.5", linewidth=1.2, label="single frames, all passes")
    panel.plot(seconds, better, color="C0", linewidth=2.0, label="tracker")
    panel.fill_between(seconds, better, worse, where=better < worse, color="C3", alpha=0.35, linewidth=0)
    panel.annotate(
        f"{max(tracked.objects)} objects", (0.97, 0.04), xycoords="axes fraction", ha="right", fontsize="small"
    )


def _values(curve: Sequence[float | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return a curve with NaN where there is no value."""
    return np.array([np.nan if value is None else value for value in curve], dtype=np.float64)
