"""The layout for Foxglove: JSON whose panels and topics exist. Foxglove itself is not run."""

from __future__ import annotations

import json
import re
from pathlib import Path

from clipose_ros.bounded_files import read_json

ROOT = Path(__file__).resolve().parents[1]
LAYOUT = ROOT / "config" / "foxglove.json"
PANELS = {"3D", "Image", "Plot", "RawMessages"}


def leaves(node: object) -> list[str]:
    """Return the panels of a layout in their order."""
    if isinstance(node, str):
        return [node]
    assert isinstance(node, dict) and node["direction"] in ("row", "column") and 0 < node["splitPercentage"] < 100
    return [*leaves(node["first"]), *leaves(node["second"])]


def test_every_panel_is_configured_and_shown_once() -> None:
    layout = read_json(LAYOUT)
    shown = leaves(layout["layout"])
    assert sorted(shown) == sorted(layout["configById"]) and len(set(shown)) == len(shown)
    assert {panel.partition("!")[0] for panel in shown} <= PANELS
    assert set(layout) == {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}


def test_every_topic_is_one_of_the_node_or_the_camera() -> None:
    text = json.dumps(read_json(LAYOUT))
    named = set(re.findall(r'"(/[a-z_/]+)', text))
    page = (ROOT / "docs" / "reference" / "topics.md").read_text(encoding="utf-8")
    known = set(re.findall(r"`(~?/?[a-z_/]+)`", page))
    for topic in named:
        names = {topic.removeprefix("/"), topic.removesuffix("/compressed").replace("/pose_node/", "~/")}
        assert names & known, topic
