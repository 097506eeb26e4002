"""Headline figures by commit: a Markdown table to which each measured commit adds a row."""

from __future__ import annotations

import subprocess
from pathlib import Path

from clipose_ros.benchmark.markdown_page import split_page
from clipose_ros.benchmark.record import BenchmarkRecord
from clipose_ros.benchmark.result_tables import NO_VALUE, format_value
from clipose_ros.benchmark.rows import LiveRow
from clipose_ros.errors import ConfigError

BEGIN, END = "<!-- history: rows added by the benchmark -->", "<!-- end of history -->"
HEAD = (
    "date", "commit", "machine", "labels Hz", "labels p95 ms", "detector", "detector Hz", "detector p95 ms",
    "dropped %", "network ms",
)  # fmt: skip
OBJECTS = 5
"""Number of objects of all figures."""
_LABELS = "labels"
_KEY = slice(1, 3)
"""Columns that identify a row: commit and machine."""


def add_to_history(page: Path, record: BenchmarkRecord, commit: str) -> None:
    """Add the headline figures of a record to the table of a page; a row of the same commit and machine is replaced.

    Args:
        page: Markdown file with both marks.
        record: Benchmark record.
        commit: Name of the measured commit.

    Raises:
        DataError: The page is missing or lacks a mark.
    """
    before, inside, after = split_page(page, BEGIN, END)
    row = headline_row(record, commit)
    rows = [cells for cells in _read_rows(inside) if cells[_KEY] != row[_KEY]]
    rule = ("---", "---", "---", *("---:",) * (len(HEAD) - 3))
    lines = (f"| {' | '.join(cells)} |" for cells in (HEAD, rule, *rows, row))
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}", encoding="utf-8")


def headline_row(record: BenchmarkRecord, commit: str) -> tuple[str, ...]:
    """Return the cells of a record below ``HEAD``; a dash for what was not measured."""
    machine = record.machine
    live = [row for row in record.live if row.objects == OBJECTS]
    labels = next((row for row in live if row.segmenter == _LABELS), None)
    detector = next((row for row in live if row.segmenter != _LABELS), None)
    network = next((row.timing.median_ms for row in record.stages if row.stage == "network"), None)
    return (
        machine.date,
        commit,
        f"{machine.processor}, {machine.cores} cores",
        *_rate_and_latency(labels),
        detector.segmenter if detector else NO_VALUE,
        *_rate_and_latency(detector),
        _dropped_percent(detector or labels),
        format_value(network),
    )


def current_commit() -> str:
    """Return the commit of this checkout, with ``+`` if files were changed.

    Raises:
        ConfigError: This package is in no git repository.
    """
    command = ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--exclude=*", "--dirty=+")
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError("--history needs the measured commit, and this is no git checkout: give --commit") from error


def _rate_and_latency(row: LiveRow | None) -> tuple[str, str]:
    if row is None:
        return NO_VALUE, NO_VALUE
    return format_value(row.summary.rate_hz), format_value(row.summary.latency_ms_p95)


def _dropped_percent(row: LiveRow | None) -> str:
    if row is None or not row.summary.frames_in:
        return NO_VALUE
    return f"{100.0 * row.summary.dropped / row.summary.frames_in:.1f}"


def _read_rows(table: str) -> list[tuple[str, ...]]:
    """Return the cells of the rows of a Markdown table, without its head; lines of other columns are left out."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    rows = [tuple(cell.strip() for cell in line.strip().strip("|").split("|")) for line in lines[2:]]
    return [row for row in rows if len(row) == len(HEAD)]
