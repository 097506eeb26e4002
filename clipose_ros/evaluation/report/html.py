"""Building blocks of a self-contained HTML page."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterable, Sequence
from html import escape
from typing import Any

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #1b1f24; }
table { border-collapse: collapse; margin: .8em 0 1.6em; }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #d8dee4; font-variant-numeric: tabular-nums; }
td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
table.text th, table.text td { white-space: normal; text-align: left; overflow-wrap: anywhere; }
tr.strong td { font-weight: 600; border-top: 2px solid #57606a; }
img { max-width: 100%; }
.pictures { display: grid; grid-template-columns: 1fr 1fr; gap: 1em; }
figure { margin: 0; }
figcaption { color: #57606a; }
p.note { color: #57606a; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """Return a complete HTML page of the given parts."""
    body = "\n".join(parts)
    return (
        f"<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def note(text: str) -> str:
    """Return an explanatory paragraph."""
    return f"<p class='note'>{escape(text)}</p>"


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], strong: Collection[str] = (), *, wraps: bool = False
) -> str:
    """Return a table; rows whose first cell is in ``strong`` are emphasized. With ``wraps``, its cells hold text."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = [
        f"<tr{' class=strong' if row[0] in strong else ''}>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>"
        for row in rows
    ]
    return f"<table{' class=text' if wraps else ''}><tr>{cells}</tr>\n" + "\n".join(lines) + "</table>"


def format_number(value: float | None) -> str:
    """Return a number as text; a dash for None."""
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.1f}"


def embed_figure(figure: Any, alternative: str) -> str:
    """Return a matplotlib figure as an embedded image."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return _embed(stream.getvalue(), "png", alternative)


def embed_jpeg(data: bytes, alternative: str) -> str:
    """Return a JPEG image as an embedded image."""
    return _embed(data, "jpeg", alternative)


def figure(image: str, caption: str) -> str:
    """Return an embedded image with a caption."""
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _embed(data: bytes, kind: str, alternative: str) -> str:
    text = base64.b64encode(data).decode("ascii")
    return f"<img alt='{escape(alternative)}' src='data:image/{kind};base64,{text}'>"
