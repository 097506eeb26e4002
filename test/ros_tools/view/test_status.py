"""State of the node as HTML: rates, latencies, problems; text from outside does nothing in the browser."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.ros_tools.view.status import NodeStatus, rejections_html, silent_html, status_html

VALUES = {
    "frames_processed_hz": "29.90",
    "frames_received_hz": "30.00",
    "frames_dropped": "3",
    "latency_ms_p50": "24.10",
    "latency_ms_p95": "27.50",
    "rejections.too_few_points": "12",
    "problem.sync": "2 times: '/depth' is silent",
}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_status_names_rates_latencies_rejections_and_problems() -> None:
    text = status_html(NodeStatus("warning", "depth is silent", VALUES), "/pose_node", 0.5)
    for part in ("/pose_node: depth is silent", "29.90 Hz of 30.00 Hz", "24.10 / 27.50 ms", "too_few_points", "sync"):
        assert part in text


def test_missing_and_lost_nodes_are_said() -> None:
    assert "no diagnostics of &#x27;/pose_node&#x27;" in status_html(None, "/pose_node", 1e9)
    assert "is lost" in status_html(NodeStatus("ok", "active", VALUES), "/pose_node", 7.0)


HOSTILE = st.one_of(st.text(), st.sampled_from(["<img src=x onerror=alert(1)>", "</td><script>", "\"'><b>", "{1+1}"]))


@given(HOSTILE, HOSTILE, HOSTILE, st.sampled_from(["ok", "warning", "error", "stale", "other"]))
def test_text_from_outside_makes_no_element(key: str, value: str, message: str, level: str) -> None:
    values = VALUES | {f"problem.{key}": value, f"rejections.{key}": value, "model": value}
    pages = [
        status_html(NodeStatus(level, message, values), message, 0.0),
        status_html(None, message, 0.0),
        rejections_html([message, value]),
        silent_html([message]),
    ]
    for page in pages:
        tags = _Tags()
        tags.feed(page)
        assert tags.tags <= {"p", "table", "tr", "th", "td", "ul", "li"} and tags.attributes <= {"style", "colspan"}
