"""A record as tables, for a terminal and for a page alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

POINTS = 1024
"""Points of a cloud where the batch is varied."""
NONE = "-"
REST = ("segmentation, labels", "clouds", "plausibility", "tracking", "messages in", "messages out")
"""What the node does for every frame beside the network; with a real segmenter, its own time instead of the labels'."""
PICTURE = ("drawing", "picture out")
"""What it does besides where somebody listens to the annotated image."""


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A table of words.

    Attributes:
        title: What it shows.
        head: Names of the columns; the first is a name, the others are figures.
        rows: As many cells each.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sheets(record: Mapping[str, Any]) -> list[ResultTable]:
    """Tables of the parts that a record has."""
    makers = {
        "network": _network,
        "start": _start,
        "stages": _stages,
        "training": _training,
        "live": _live,
    }
    return [sheet for name, make in makers.items() if record.get(name) for sheet in make(record[name])]


def machine_line(record: Mapping[str, Any]) -> str:
    """Machine, versions, settings and date in a sentence."""
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


def _network(rows: Sequence[Mapping[str, Any]]) -> Iterable[ResultTable]:
    """Per model one table over batches and one over points: engines down, milliseconds per pose across."""
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        yield _across(f"Network, {model}, by batch", "batch", [row for row in mine if row["points"] == POINTS])
        yield _across(f"Network, {model}, by points", "points", [row for row in mine if row["batch"] == 1])


def _across(title: str, key: str, rows: Sequence[Mapping[str, Any]]) -> ResultTable:
    values = sorted({row[key] for row in rows})
    lines = []
    for engine in dict.fromkeys(row["engine"] for row in rows):
        mine = {row[key]: row for row in rows if row["engine"] == engine}
        cells = (
            f"{spread(mine[v], 1.0 / mine[v]['batch'])} ×{mine[v]['ratio']:.3g}" if v in mine else NONE for v in values
        )
        deviation = max(row["deviation"] for row in mine.values())
        lines.append((engine, *cells, f"{deviation:.0e}"))
    head = ("engine", *(f"{key} {value}" for value in values), "deviation")
    return ResultTable(f"{title}: ms per pose (quartiles) ×times as fast as the reference", head, tuple(lines))


def _start(rows: Sequence[Mapping[str, Any]]) -> Iterable[ResultTable]:
    cells = (
        (row["model"], row["engine"], row["cache"], f"{1e-3 * row['median_ms']:.1f}", str(row["count"])) for row in rows
    )
    yield ResultTable(
        "Start of a process to its first pose", ("model", "engine", "compiled kernels", "s", "times"), tuple(cells)
    )


def _stages(rows: Sequence[Mapping[str, Any]]) -> Iterable[ResultTable]:
    cells = [(row["stage"], spread(row)) for row in rows]
    medians = {row["stage"]: row["median_ms"] for row in rows}
    for title, names in (
        ("all but segmentation and network", REST[1:]),
        ("the same with the picture", (*REST[1:], *PICTURE)),
    ):
        if medians.keys() >= set(names):
            cells.append((title, _ms(sum(medians[name] for name in names))))
    yield ResultTable("Stages of a frame, 640x480, 5 objects", ("stage", "ms (quartiles)"), tuple(cells))


def _training(rows: Sequence[Mapping[str, Any]]) -> Iterable[ResultTable]:
    head = ("preset", "batch", "step", "s (quartiles)", "times plain", "peak memory GiB")
    cells = (
        (
            row["preset"],
            str(row["batch"]),
            row["kind"],
            spread(row, 1e-3),
            NONE if row["ratio"] is None else f"{row['ratio']:.1f}",
            f"{row['peak_gib']:.2f}",
        )
        for row in rows
    )
    yield ResultTable("Training step, forward, backward and update", head, tuple(cells))


def _live(rows: Sequence[Mapping[str, Any]]) -> Iterable[ResultTable]:
    head = ("objects", "segmenter", "rate Hz", "dropped", "latency ms p50", "p95", "p99", "objects posed", "start s")
    cells = (
        (
            str(row["objects"]),
            row["segmenter"],
            figure(row["rate_hz"]),
            f"{row['dropped']} of {row['frames_in']}",
            *(figure(row[f"latency_ms_{name}"]) for name in ("p50", "p95", "p99")),
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
    yield ResultTable("What the processes cost; 100 % is one core, growth that of the second half", head, tuple(costs))


def spread(row: Mapping[str, Any], scale: float = 1.0) -> str:
    """Median with its quartiles."""
    return f"{_ms(scale * row['median_ms'])} ({_ms(scale * row['low_ms'])}–{_ms(scale * row['high_ms'])})"


def figure(value: float | None) -> str:
    """One decimal, or a dash."""
    return NONE if value is None else f"{value:.1f}"


def _ms(value: float) -> str:
    """Three digits or so."""
    decimals = sum(value < bound for bound in (100.0, 10.0, 0.1))
    return f"{value:.{decimals}f}"
