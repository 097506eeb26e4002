"""State of the node as HTML. All text comes from outside and is escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipose_ros.errors import one_line
from clipose_ros.ros_tools.view.scene import plain_text

LEVELS = ("ok", "warning", "error", "stale")
"""Names of the levels of diagnostics, by number."""
_COLOURS = {"ok": "#2b8a3e", "warning": "#b35c00", "error": "#c92a2a", "stale": "#666666"}
_STAGES = ("conversion", "segmentation", "point_cloud", "network", "tracking", "publishing", "latency")
_PROBLEM = "problem."
_MAX_PROBLEMS = 5
_MAX_REJECTIONS = 20


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """Diagnostics of the node.

    Attributes:
        level: One of ``LEVELS``.
        message: Newest problem, or the state.
        values: Text by key, as ``docs/reference/diagnostics.md`` lists them.
    """

    level: str
    message: str
    values: Mapping[str, str]


def status_html(status: NodeStatus | None, node: str, age_s: float) -> str:
    """Return state, rates, latencies by stage and problems of the node.

    Args:
        status: Newest diagnostics; None before any.
        node: Name of the node.
        age_s: Time since the newest diagnostics, seconds.
    """
    if status is None:
        return _paragraph("error", f"no diagnostics of '{node}' so far: start pose_node, or compare name and domain")
    if age_s > 3.0:
        return _paragraph("error", f"'{node}' is lost: its last diagnostics are {age_s:.0f} s old")
    values = status.values
    rows = [
        ("frames", f"{_value(values, 'frames_processed_hz')} Hz of {_value(values, 'frames_received_hz')} Hz"),
        ("dropped, failed", f"{_value(values, 'frames_dropped')}, {_value(values, 'frames_failed')}"),
        ("model, device", f"{_value(values, 'model')}, {_value(values, 'device')}"),
    ]
    stages = [
        (stage, f"{values[f'{stage}_ms_p50']} / {values.get(f'{stage}_ms_p95', '–')} ms")
        for stage in _STAGES
        if f"{stage}_ms_p50" in values
    ]
    rejected = [(f"rejected: {key[11:]}", text) for key, text in values.items() if key.startswith("rejections.")]
    problems = [(key[len(_PROBLEM) :], text) for key, text in values.items() if key.startswith(_PROBLEM)]
    return (
        _paragraph(status.level, f"{node}: {status.message}")
        + _table(rows)
        + _table([*stages, *rejected[:_MAX_REJECTIONS]], "stage, median / 95 %")
        + _table(problems[:_MAX_PROBLEMS], "problems")
    )


def rejections_html(texts: Sequence[str]) -> str:
    """Return the list of rejected instances with their reasons."""
    if not texts:
        return _paragraph("ok", "no rejected objects")
    items = "".join(f"<li>{_escape(text)}</li>" for text in texts[:_MAX_REJECTIONS])
    return f'<ul style="margin:0.3em 1em;padding-left:0.8em;font-size:0.85em">{items}</ul>'


def note_html(text: str) -> str:
    """Return a line of text."""
    return _paragraph("ok", text)


def silent_html(topics: Sequence[str]) -> str:
    """Return that the topics of the camera bring no matched images."""
    names = " and ".join(f"'{name}'" for name in topics)
    return _paragraph("warning", f"no matching images on {names}: start the camera, or remap the topics of the view")


def _paragraph(level: str, text: str) -> str:
    colour = _COLOURS.get(level, _COLOURS["stale"])
    return f'<p style="margin:0.4em 1em;color:{colour};overflow-wrap:anywhere">{html.escape(one_line(text)[:300])}</p>'


def _table(rows: Sequence[tuple[str, str]], head: str = "") -> str:
    if not rows:
        return ""
    title = f'<tr><th colspan="2" style="text-align:left">{_escape(head)}</th></tr>' if head else ""
    body = "".join(f"<tr><td>{_escape(key)}</td><td>{_escape(text)}</td></tr>" for key, text in rows)
    return f'<table style="margin:0.3em 1em;font-size:0.85em;border-spacing:0.6em 0">{title}{body}</table>'


def _value(values: Mapping[str, str], key: str) -> str:
    return values.get(key, "–")


def _escape(text: str) -> str:
    return html.escape(plain_text(text))
