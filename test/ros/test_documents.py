"""The shipped parameter file agrees with the configuration."""

from __future__ import annotations

from pathlib import Path

import yaml

from clipose_ros.config import PoseNodeConfig, config_fields

ROOT = Path(__file__).resolve().parents[2]


def shipped() -> dict:
    return yaml.safe_load((ROOT / "config" / "pose.yaml").read_text())["/**"]["ros__parameters"]


def without_blanks(values):
    """Lists as the node reads them: empty strings left out."""
    if isinstance(values, dict):
        return {key: without_blanks(value) for key, value in values.items()}
    return tuple(v for v in values if v != "") if isinstance(values, list) else values


def test_shipped_parameters_are_all_there_are_at_their_defaults():
    values = without_blanks(shipped())
    assert PoseNodeConfig.from_mapping(values) == PoseNodeConfig()
    assert values == PoseNodeConfig().to_mapping()


def test_shipped_parameters_are_explained():
    words = " ".join((ROOT / "config" / "pose.yaml").read_text().replace("#", " ").split())
    for leaf in config_fields(PoseNodeConfig()):
        assert leaf.doc in words, leaf.path
