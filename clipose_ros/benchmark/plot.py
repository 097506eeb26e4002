"""Plot of a benchmark record: network, stages of a frame, end-to-end latency."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clipose_ros.benchmark.result_tables import POINTS


def plot_record(record: Mapping[str, Any], path: Path) -> None:
    """Draw all parts of a record into one image; the panel of a missing part stays empty.

    Args:
        record: Benchmark record.
        path: Image file with a suffix that matplotlib supports.
    """
    figure = Figure(figsize=(12.0, 8.0), layout="constrained")
    (batches, points), (stages, live) = figure.subplots(2, 2)
    _draw_engines(
        batches, [row for row in record.get("network", ()) if row["points"] == POINTS], "batch", "clouds at a time"
    )
    _draw_engines(
        points, [row for row in record.get("network", ()) if row["batch"] == 1], "points", "points of a cloud"
    )
    _draw_stages(stages, record.get("stages", ()))
    _draw_latencies(live, record.get("live", ()))
    lines, names = batches.get_legend_handles_labels()
    if lines:
        figure.legend(lines, names, loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=110)


def _draw_engines(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, label: str) -> None:
    """Draw milliseconds per pose over ``key``, one line per model and engine, with a band between the quartiles."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    for model, style in zip(models, ("-", "--", ":", "-."), strict=False):
        for number, engine in enumerate(engines):
            line_rows = sorted(
                (row for row in rows if (row["model"], row["engine"]) == (model, engine)), key=lambda row: row[key]
            )
            x = [row[key] for row in line_rows]
            axes.plot(
                x,
                [row["pose_ms"] for row in line_rows],
                style,
                marker="o",
                color=f"C{number}",
                label=f"{engine}, {model}",
            )
            low, high = ([row[name] / row["batch"] for row in line_rows] for name in ("low_ms", "high_ms"))
            axes.fill_between(x, low, high, color=f"C{number}", alpha=0.2, linewidth=0)
    axes.set(xlabel=label, ylabel="ms per pose", title=f"Network by {label}")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = sorted({row[key] for row in rows})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.grid(alpha=0.3, which="both")


def _draw_stages(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw one bar per stage, the first at the top."""
    names = [row["stage"] for row in rows]
    medians = [row["median_ms"] for row in rows]
    errors = [
        [row["median_ms"] - row["low_ms"] for row in rows],
        [row["high_ms"] - row["median_ms"] for row in rows],
    ]
    axes.barh(range(len(rows)), medians, xerr=errors, color="C0", ecolor="0.3")
    axes.set_yticks(range(len(rows)), names, fontsize="small")
    for place, row in enumerate(rows):
        axes.annotate(f" {row['median_ms']:.3g}", (row["high_ms"], place), va="center", fontsize="small")
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set(xscale="log" if rows else "linear", xlabel="ms", title="Stages of a frame with 5 objects")


def _draw_latencies(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the latency percentiles of each case with its rate and its share of answered frames."""
    labels = [f"{row['objects']}\n" + textwrap.fill(row["segmenter"], 16) for row in rows]
    for number, percent in enumerate(("p50", "p95", "p99")):
        heights = [row[f"latency_ms_{percent}"] or 0.0 for row in rows]
        axes.bar([place + 0.27 * (number - 1) for place in range(len(rows))], heights, 0.25, label=percent)
    for place, row in enumerate(rows):
        share = 1.0 - row["dropped"] / row["frames_in"] if row["frames_in"] else 0.0
        height = row["latency_ms_p99"] or 0.0
        axes.annotate(
            f"{row['rate_hz'] or 0.0:.1f} Hz\n{100 * share:.1f} % answered",
            (place, height),
            ha="center",
            va="bottom",
            fontsize="small",
        )
        axes.axhline(1000.0 / row["asked_hz"], color="0.5", linewidth=1, linestyle=":")
    axes.set_xticks(range(len(rows)), labels, fontsize="small")
    axes.margins(y=0.2)
    axes.set(
        xlabel="objects and segmentation",
        ylabel="ms from stamp to subscriber",
        title="End to end; dotted: interval between images",
    )
    if rows:
        axes.legend(fontsize="small")
