"""Tables of a benchmark record, for a terminal and for a Markdown page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clipose_ros.benchmark.record import BenchmarkRecord
from clipose_ros.benchmark.rows import POINTS, LiveRow, NetworkRow, PipelineRow, StageRow, StartRow, TrainingRow
from clipose_ros.benchmark.timing import Timing

NO_VALUE = "-"
NODE_STAGES = ("segmentation, labels", "point clouds", "pose checks", "tracking", "read messages", "write messages")
"""Stages of every frame besides the network. A detector takes the place of the label images."""
IMAGE_STAGES = ("drawing", "write image message")
"""Further stages of a frame if the annotated image has a subscriber."""


@dataclass(frozen=True, slots=True)
class ResultTable:
    """Formatted table.

    Attributes:
        title: Title.
        head: Names of the columns; the first column holds names, the others numbers.
        rows: Rows of as many cells as ``head``.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def build_tables(record: BenchmarkRecord) -> list[ResultTable]:
    """Return the tables of all parts of a record that were measured."""
    return [
        *_network_tables(record.network),
        *_start_tables(record.start),
        *_stage_tables(record.stages),
        *_pipeline_tables(record.pipeline),
        *_training_tables(record.training),
        *_live_tables(record.live),
    ]


def machine_line(record: BenchmarkRecord) -> str:
    """Return machine, versions, settings and date as one line."""
    machine = record.machine
    parts = [
        f"{machine.processor}, {machine.cores} cores ({', '.join(machine.flags) or 'no AVX'})",
        f"{machine.memory_gib:g} GiB",
        machine.gpu or "no GPU",
        f"Python {machine.python}",
        *(f"{name} {version}" for name, version in machine.versions.items()),
        *(f"{name}={value}" for name, value in machine.settings.items()),
        f"network.tta.max_passes={record.max_passes}",
    ]
    return f"{machine.date}: {'; '.join(parts)}; load average {machine.load:g} at the start"


def _network_tables(rows: Sequence[NetworkRow]) -> list[ResultTable]:
    """Return two tables per model, by batch size and by number of points: one row per engine, milliseconds per pose."""
    tables = []
    for model in dict.fromkeys(row.model for row in rows):
        by_batch = [row for row in rows if row.model == model and row.points == POINTS]
        by_points = [row for row in rows if row.model == model and row.batch == 1]
        tables.append(_engine_table(f"{model}, by batch size", "batch", by_batch, lambda row: row.batch))
        tables.append(_engine_table(f"{model}, by number of points", "points", by_points, lambda row: row.points))
    return tables


def _engine_table(
    title: str, name: str, rows: Sequence[NetworkRow], get_size: Callable[[NetworkRow], int]
) -> ResultTable:
    """Return a table with one row per engine and one column per size."""
    sizes = sorted({get_size(row) for row in rows})
    lines = []
    for engine in dict.fromkeys(row.engine for row in rows):
        by_size = {get_size(row): row for row in rows if row.engine == engine}
        cells = (_engine_cell(by_size[size]) if size in by_size else NO_VALUE for size in sizes)
        lines.append((engine, *cells, f"{max(row.deviation for row in by_size.values()):.0e}"))
    head = ("engine", *(f"{name} {size}" for size in sizes), "deviation")
    return ResultTable(f"Network, {title}: ms per pose (quartiles) × speed-up over pytorch", head, tuple(lines))


def _engine_cell(row: NetworkRow) -> str:
    return f"{format_timing(row.timing, 1.0 / row.batch)} ×{row.ratio:.3g}"


def _start_tables(rows: Sequence[StartRow]) -> list[ResultTable]:
    head = ("model", "engine", "compiled kernels", "median s", "runs")
    cells = tuple(
        (row.model, row.engine, row.cache, f"{1e-3 * row.timing.median_ms:.1f}", str(row.timing.count)) for row in rows
    )
    return [ResultTable("Start-up of a process to its first pose", head, cells)] if rows else []


def _stage_tables(rows: Sequence[StageRow]) -> list[ResultTable]:
    """Return the table of the stages and their sum without segmentation and network."""
    if not rows:
        return []
    cells = [(row.stage, format_timing(row.timing)) for row in rows]
    medians = {row.stage: row.timing.median_ms for row in rows}
    for title, names in (
        ("sum without segmentation and network", NODE_STAGES[1:]),
        ("the same sum with the annotated image", (*NODE_STAGES[1:], *IMAGE_STAGES)),
    ):
        if medians.keys() >= set(names):
            cells.append((title, _format_ms(sum(medians[name] for name in names))))
    return [ResultTable("Stages of a frame, 640x480, 5 objects", ("stage", "ms (quartiles)"), tuple(cells))]


def _pipeline_tables(rows: Sequence[PipelineRow]) -> list[ResultTable]:
    head = ("engine", "device", "objects", "ms a frame (quartiles)")
    cells = tuple((row.engine, row.device, str(row.objects), format_timing(row.timing)) for row in rows)
    title = "Whole pipeline: segmentation by labels, point clouds, network, pose checks, 640x480"
    return [ResultTable(title, head, cells)] if rows else []


def _training_tables(rows: Sequence[TrainingRow]) -> list[ResultTable]:
    head = ("preset", "batch", "step", "s (quartiles)", "speed-up over pytorch", "peak memory GiB")
    cells = tuple(
        (
            row.preset,
            str(row.batch),
            row.kind,
            format_timing(row.timing, 1e-3),
            NO_VALUE if row.ratio is None else f"{row.ratio:.1f}",
            f"{row.peak_gib:.2f}",
        )
        for row in rows
    )
    return [ResultTable("Training step: forward, backward and update", head, cells)] if rows else []


def _live_tables(rows: Sequence[LiveRow]) -> list[ResultTable]:
    return [_latency_table(rows), _usage_table(rows)] if rows else []


def _latency_table(rows: Sequence[LiveRow]) -> ResultTable:
    """Return the table of rate, dropped frames and latency."""
    head = ("objects", "segmenter", "rate Hz", "dropped", "latency ms p50", "p95", "p99", "objects posed", "start s")
    cells = tuple(
        (
            str(row.objects),
            row.segmenter,
            format_value(row.summary.rate_hz),
            f"{row.summary.dropped} of {row.summary.frames_in}",
            format_value(row.summary.latency_ms_p50),
            format_value(row.summary.latency_ms_p95),
            format_value(row.summary.latency_ms_p99),
            f"{row.objects_posed:.2f}",
            f"{row.start_s:.1f}",
        )
        for row in rows
    )
    return ResultTable(f"Camera, node and subscriber over DDS at {rows[0].asked_hz:g} Hz", head, cells)


def _usage_table(rows: Sequence[LiveRow]) -> ResultTable:
    """Return the table of CPU and memory usage by process."""
    head = ("process", "objects", "segmenter", "CPU %", "RSS MiB first", "last", "most", "growth MiB/min", "minutes")
    cells = tuple(
        (
            name,
            str(row.objects),
            row.segmenter,
            f"{usage.cpu_percent:.0f}",
            f"{usage.rss_first_mib:.1f}",
            f"{usage.rss_last_mib:.1f}",
            f"{usage.rss_most_mib:.1f}",
            f"{usage.growth_mib_per_min:+.2f}",
            f"{row.seconds / 60.0:.1f}",
        )
        for row in rows
        for name, usage in row.processes.items()
    )
    title = "CPU and memory usage by process (100 % is one core; growth of memory in the second half)"
    return ResultTable(title, head, cells)


def format_timing(timing: Timing, scale: float = 1.0) -> str:
    """Return the median and the quartiles of a timing, scaled."""
    median, low, high = (_format_ms(scale * value) for value in (timing.median_ms, timing.low_ms, timing.high_ms))
    return f"{median} ({low}–{high})"


def format_value(value: float | None) -> str:
    """Return a value with one decimal; a dash for None."""
    return NO_VALUE if value is None else f"{value:.1f}"


def _format_ms(value: float) -> str:
    """Return milliseconds with about three significant digits."""
    decimals = sum(value < bound for bound in (100.0, 10.0, 0.1))
    return f"{value:.{decimals}f}"
