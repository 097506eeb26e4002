"""Tables of a benchmark record, for a terminal and for a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

POINTS = 1024
"""Points of a cloud in measurements over the batch."""
NO_VALUE = "-"
NODE_STAGES = ("segmentation, labels", "clouds", "plausibility", "tracking", "messages in", "messages out")
"""Stages of every frame besides the network. With a detector its time replaces that of the label images."""
IMAGE_STAGES = ("drawing", "picture out")
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


def build_tables(record: Mapping[str, Any]) -> list[ResultTable]:
    """Return the tables of all parts of a record."""
    builders = {
        "network": _network_tables,
        "start": _start_tables,
        "stages": _stage_tables,
        "training": _training_tables,
        "live": _live_tables,
    }
    return [table for name, build in builders.items() if record.get(name) for table in build(record[name])]


def machine_line(record: Mapping[str, Any]) -> str:
    """Return machine, versions, settings and date as one line."""
    machine = record["machine"]
    parts = [
        f"{machine['processor']}, {machine['cores']} cores ({', '.join(machine['flags']) or 'no AVX'})",
        f"{machine['memory_gib']:g} GiB",
        machine["gpu"] or "no GPU",
        f"Python {machine['python']}",
        *(f"{name} {version}" for name, version in machine["versions"].items()),
        *(f"{name}={value}" for name, value in machine["settings"].items()),
        f"network.tta.max_passes={record['looks']}",
    ]
    return f"{machine['date']}: {'; '.join(parts)}; load average {machine['load']:g} at the beginning"


def _network_tables(rows: Sequence[Mapping[str, Any]]) -> Iterable[ResultTable]:
    """Yield two tables per model, over batches and over points: one row per engine, milliseconds per pose."""
    for model in dict.fromkeys(row["model"] for row in rows):
        model_rows = [row for row in rows if row["model"] == model]
        yield _engine_table(
            f"Network, {model}, by batch", "batch", [row for row in model_rows if row["points"] == POINTS]
        )
        yield _engine_table(f"Network, {model}, by points", "points", [row for row in model_rows if row["batch"] == 1])


def _engine_table(title: str, key: str, rows: Sequence[Mapping[str, Any]]) -> ResultTable:
    values = sorted({row[key] for row in rows})
    lines = []
    for engine in dict.fromkeys(row["engine"] for row in rows):
        cell_rows = {row[key]: row for row in rows if row["engine"] == engine}
        cells = (
            f"{format_timing(cell_rows[v], 1.0 / cell_rows[v]['batch'])} ×{cell_rows[v]['ratio']:.3g}"
            if v in cell_rows
            else NO_VALUE
            for v in values
        )
        deviation = max(row["deviation"] for row in cell_rows.values())
        lines.append((engine, *cells, f"{deviation:.0e}"))
    head = ("engine", *(f"{key} {value}" for value in values), "deviation")
    return ResultTable(f"{title}: ms per pose (quartiles) ×speed-up over the reference", head, tuple(lines))


def _start_tables(rows: Sequence[Mapping[str, Any]]) -> Iterable[ResultTable]:
    cells = (
        (row["model"], row["engine"], row["cache"], f"{1e-3 * row['median_ms']:.1f}", str(row["count"])) for row in rows
    )
    yield ResultTable(
        "Start of a process to its first pose", ("model", "engine", "compiled kernels", "s", "times"), tuple(cells)
    )


def _stage_tables(rows: Sequence[Mapping[str, Any]]) -> Iterable[ResultTable]:
    cells = [(row["stage"], format_timing(row)) for row in rows]
    medians = {row["stage"]: row["median_ms"] for row in rows}
    for title, names in (
        ("sum without segmentation and network", NODE_STAGES[1:]),
        ("the same with the annotated image", (*NODE_STAGES[1:], *IMAGE_STAGES)),
    ):
        if medians.keys() >= set(names):
            cells.append((title, _format_ms(sum(medians[name] for name in names))))
    yield ResultTable("Stages of a frame, 640x480, 5 objects", ("stage", "ms (quartiles)"), tuple(cells))


def _training_tables(rows: Sequence[Mapping[str, Any]]) -> Iterable[ResultTable]:
    head = ("preset", "batch", "step", "s (quartiles)", "speed-up over pytorch", "peak memory GiB")
    cells = (
        (
            row["preset"],
            str(row["batch"]),
            row["kind"],
            format_timing(row, 1e-3),
            NO_VALUE if row["ratio"] is None else f"{row['ratio']:.1f}",
            f"{row['peak_gib']:.2f}",
        )
        for row in rows
    )
    yield ResultTable("Training step, forward, backward and update", head, tuple(cells))


def _live_tables(rows: Sequence[Mapping[str, Any]]) -> Iterable[ResultTable]:
    head = ("objects", "segmenter", "rate Hz", "dropped", "latency ms p50", "p95", "p99", "objects posed", "start s")
    cells = (
        (
            str(row["objects"]),
            row["segmenter"],
            format_value(row["rate_hz"]),
            f"{row['dropped']} of {row['frames_in']}",
            *(format_value(row[f"latency_ms_{name}"]) for name in ("p50", "p95", "p99")),
            f"{row['objects_posed']:.2f}",
            f"{row['start_s']:.1f}",
        )
        for row in rows
    )
    yield ResultTable(f"Camera, node and subscriber over DDS at {rows[0]['asked_hz']:g} Hz", head, tuple(cells))
    head = ("process", "objects", "segmenter", "CPU %", "RSS MiB first", "last", "most", "growth MiB/min", "minutes")
    costs = (
        (
            name,
            str(row["objects"]),
            row["segmenter"],
            f"{usage['cpu_percent']:.0f}",
            *(f"{usage[f'rss_{when}_mib']:.1f}" for when in ("first", "last", "most")),
            f"{usage['growth_mib_per_min']:+.2f}",
            f"{row['seconds'] / 60.0:.1f}",
        )
        for row in rows
        for name, usage in row["processes"].items()
    )
    yield ResultTable(
        "CPU and memory usage of the processes; 100 % is one core, growth is that of the second half",
        head,
        tuple(costs),
    )


def format_timing(row: Mapping[str, Any], scale: float = 1.0) -> str:
    """Return the median and the quartiles of a timing, scaled."""
    median, low, high = (_format_ms(scale * row[name]) for name in ("median_ms", "low_ms", "high_ms"))
    return f"{median} ({low}–{high})"


def format_value(value: float | None) -> str:
    """Return a value with one decimal; a dash for None."""
    return NO_VALUE if value is None else f"{value:.1f}"


def _format_ms(value: float) -> str:
    """Return milliseconds with about three significant digits."""
    decimals = sum(value < bound for bound in (100.0, 10.0, 0.1))
    return f"{value:.{decimals}f}"
