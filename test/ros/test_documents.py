"""Shipped parameters and the reference page say what the configuration says."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest
import yaml

from clipose_ros.config import ConfigField, PoseNodeConfig, config_fields

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "node.md"


def shipped() -> dict:
    return yaml.safe_load((ROOT / "config" / "pose.yaml").read_text())["/**"]["ros__parameters"]


def without_blanks(values):
    """Lists as the node reads them: empty strings left out."""
    if isinstance(values, dict):
        return {key: without_blanks(value) for key, value in values.items()}
    return tuple(v for v in values if v != "") if isinstance(values, list) else values


def row(leaf: ConfigField) -> str:
    """A setting's row in the reference page."""
    kind = (
        "string list"
        if typing.get_origin(leaf.type) is tuple
        else {"str": "string", "float": "double"}.get(leaf.type.__name__, leaf.type.__name__)
    )
    value = (
        ", ".join(leaf.value)
        if isinstance(leaf.value, tuple)
        else str(leaf.value).lower()
        if leaf.type is bool
        else str(leaf.value)
    )
    bounds = (
        ", ".join(leaf.choices) if leaf.choices else f"{leaf.low:g} … {leaf.high:g}" if leaf.low is not None else ""
    )
    cells = (f"`{leaf.path}`", kind, f"`{value}`" if value else "empty", bounds, "yes" if leaf.live else "", leaf.doc)
    return f"| {' | '.join(cells)} |"


def test_shipped_parameters_are_all_there_are_at_their_defaults():
    values = without_blanks(shipped())
    assert PoseNodeConfig.from_mapping(values) == PoseNodeConfig()
    assert values == PoseNodeConfig().to_mapping()


def test_shipped_parameters_are_explained():
    words = " ".join((ROOT / "config" / "pose.yaml").read_text().replace("#", " ").split())
    for leaf in config_fields(PoseNodeConfig()):
        assert leaf.doc in words, leaf.path


@pytest.mark.parametrize("leaf", config_fields(PoseNodeConfig()), ids=lambda leaf: leaf.path)
def test_reference_page_has_every_parameter(leaf):
    assert row(leaf) in PAGE.read_text().splitlines()


def test_reference_page_has_no_other_parameter():
    known = {leaf.path for leaf in config_fields(PoseNodeConfig())}
    table = PAGE.read_text().split("## Parameters")[1].split("\n## ")[0]
    rows = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set(rows) == known
