"""Markdown page with the tables of a benchmark record between two marks."""

from __future__ import annotations

from pathlib import Path

from clipose_ros.benchmark.plot import plot_record
from clipose_ros.benchmark.record import BenchmarkRecord, write_record
from clipose_ros.benchmark.result_tables import ResultTable, build_tables, machine_line
from clipose_ros.errors import DataError

BEGIN, END = "<!-- figures: written by the benchmark -->", "<!-- end of figures -->"


def update_page(page: Path, record: BenchmarkRecord) -> None:
    """Replace the tables of a page and keep the text around the marks.

    Args:
        page: Markdown file with both marks. The plot is written to ``images/<page>.png`` and the record to
            ``<page>.json``, relative to the folder of the page.
        record: Benchmark record.

    Raises:
        DataError: The page is missing or lacks a mark.
    """
    before, _, after = split_page(page, BEGIN, END)
    image = page.parent / "images" / f"{page.stem}.png"
    image.parent.mkdir(exist_ok=True)
    plot_record(record, image)
    write_record(record, page.with_suffix(".json"))
    parts = [
        machine_line(record),
        f"![Network, stages and latency](images/{image.name})",
        *(_to_markdown(result) for result in build_tables(record)),
    ]
    page.write_text("\n\n".join([before + BEGIN, *parts, END + after]), encoding="utf-8")


def split_page(page: Path, begin: str, end: str) -> tuple[str, str, str]:
    """Return the text of a page before, between and after two marks.

    Raises:
        DataError: The page is missing or lacks a mark.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, found_begin, rest = text.partition(begin)
    inside, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise DataError(f"page '{page}' must hold the lines '{begin}' and '{end}', which enclose the tables")
    return before, inside, after


def _to_markdown(result: ResultTable) -> str:
    rule = ("---", *("---:",) * (len(result.head) - 1))
    lines = (f"| {' | '.join(cells)} |" for cells in (result.head, rule, *result.rows))
    return f"### {result.title}\n\n" + "\n".join(lines)
