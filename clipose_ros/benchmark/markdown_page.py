"""Puts the figures of a record into a page: tables between two marks, the plot and the record beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipose_ros.benchmark.plot import plot
from clipose_ros.benchmark.result_tables import ResultTable, machine_line, sheets
from clipose_ros.errors import DataError

BEGIN, END = "<!-- figures: written by the benchmark -->", "<!-- end of figures -->"


def update_page(page: Path, record: Mapping[str, Any]) -> None:
    """Replace a page's figures; what people wrote around them stays.

    Args:
        page: Markdown with both marks. The plot goes to ``images/<page>.png`` beside it, the record to ``<page>.json``.
        record: As the benchmark writes it.

    Raises:
        DataError: There is no such page, or it lacks the marks.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise DataError(f"page '{page}' must hold the lines '{BEGIN}' and '{END}', between which the figures go")
    picture = page.parent / "images" / f"{page.stem}.png"
    picture.parent.mkdir(exist_ok=True)
    plot(record, picture)
    page.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    parts = [
        machine_line(record),
        f"![Network, stages and latency](images/{picture.name})",
        *(_markdown(sheet) for sheet in sheets(record)),
    ]
    page.write_text("\n\n".join([before + BEGIN, *parts, END + after]), encoding="utf-8")


def _markdown(sheet: ResultTable) -> str:
    rule = ("---", *("---:",) * (len(sheet.head) - 1))
    lines = (f"| {' | '.join(cells)} |" for cells in (sheet.head, rule, *sheet.rows))
    return f"### {sheet.title}\n\n" + "\n".join(lines)
