"""Plot of a benchmark record: network, stages of a frame, end-to-end latency."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clipose_ros.benchmark.record import BenchmarkRecord
from clipose_ros.benchmark.rows import POINTS, LiveRow, NetworkRow, StageRow


def plot_record(record: BenchmarkRecord, path: Path) -> None:
    """Draw all parts of a record into one image; the panel of a missing part stays empty.

    Args:
        record: Benchmark record.
        path: Image file with a suffix that matplotlib supports.
    """
    figure = Figure(figsize=(12.0, 8.0), layout="constrained")
    (batches, points), (stages, live) = figure.subplots(2, 2)
    by_batch = [row for row in record.network if row.points == POINTS]
    by_points = [row for row in record.network if row.batch == 1]
    _draw_engines(batches, by_batch, "batch size", lambda row: row.batch)
    _draw_engines(points, by_points, "number of points", lambda row: row.points)
    _draw_stages(stages, record.stages)
    _draw_latencies(live, record.live)
    lines, names = batches.get_legend_handles_labels()
    if lines:
        figure.legend(lines, names, loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=110)


def _draw_engines(axes: Axes, rows: Sequence[NetworkRow], label: str, get_size: Callable[[NetworkRow], int]) -> None:
    """Draw milliseconds per pose by size, one line per model and engine, with a band between the quartiles."""
    models = list(dict.fromkeys(row.model for row in rows))
    engines = list(dict.fromkeys(row.engine for row in rows))
    for model, style in zip(models, ("-", "--", ":", "-."), strict=False):
        for number, engine in enumerate(engines):
            line_rows = sorted((row for row in rows if (row.model, row.engine) == (model, engine)), key=get_size)
            x, color = [get_size(row) for row in line_rows], f"C{number}"
            y = [row.pose_ms for row in line_rows]
            axes.plot(x, y, style, marker="o", color=color, label=f"{engine}, {model}")
            low = [row.timing.low_ms / row.batch for row in line_rows]
            high = [row.timing.high_ms / row.batch for row in line_rows]
            axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    axes.set(xlabel=label, ylabel="ms per pose", title=f"Network by {label}")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = sorted({get_size(row) for row in rows})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.grid(alpha=0.3, which="both")


def _draw_stages(axes: Axes, rows: Sequence[StageRow]) -> None:
    """Draw one bar per stage, the first at the top."""
    timings = [row.timing for row in rows]
    medians = [timing.median_ms for timing in timings]
    errors = [
        [timing.median_ms - timing.low_ms for timing in timings],
        [timing.high_ms - timing.median_ms for timing in timings],
    ]
    axes.barh(range(len(rows)), medians, xerr=errors, color="C0", ecolor="0.3")
    axes.set_yticks(range(len(rows)), [row.stage for row in rows], fontsize="small")
    for place, timing in enumerate(timings):
        axes.annotate(f" {timing.median_ms:.3g}", (timing.high_ms, place), va="center", fontsize="small")
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set(xscale="log" if rows else "linear", xlabel="ms", title="Stages of a frame with 5 objects")


def _draw_latencies(axes: Axes, rows: Sequence[LiveRow]) -> None:
    """Draw the latency percentiles of each case with its rate and its percentage of answered frames."""
    summaries = [row.summary for row in rows]
    percentiles = {
        "p50": [summary.latency_ms_p50 or 0.0 for summary in summaries],
        "p95": [summary.latency_ms_p95 or 0.0 for summary in summaries],
        "p99": [summary.latency_ms_p99 or 0.0 for summary in summaries],
    }
    for number, (name, heights) in enumerate(percentiles.items()):
        axes.bar([place + 0.27 * (number - 1) for place in range(len(rows))], heights, 0.25, label=name)
    for place, (row, summary) in enumerate(zip(rows, summaries, strict=True)):
        answered = 100.0 * summary.frames_answered / summary.frames_in if summary.frames_in else 0.0
        text = f"{summary.rate_hz or 0.0:.1f} Hz\n{answered:.1f} % answered"
        axes.annotate(text, (place, percentiles["p99"][place]), ha="center", va="bottom", fontsize="small")
        axes.axhline(1000.0 / row.asked_hz, color="0.5", linewidth=1, linestyle=":")
    labels = [f"{row.objects}\n" + textwrap.fill(row.segmenter, 16) for row in rows]
    axes.set_xticks(range(len(rows)), labels, fontsize="small")
    axes.margins(y=0.2)
    axes.set(
        xlabel="objects and segmenter",
        ylabel="ms from image stamp to subscriber",
        title="End-to-end latency; dotted: interval between images",
    )
    if rows:
        axes.legend(fontsize="small", loc="upper left")
