"""Benchmark record: file format, and present names for the values of earlier records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipose_ros.config_aliases import RENAMED_VALUES
from clipose_ros.errors import ConfigError

FORMAT = "clipose_ros benchmark/2"
"""Name of the layout of the record. It changes when a figure changes its meaning or its key."""

RENAMED_KINDS: Mapping[str, str] = {"plain": "pytorch", "fused": "cpu", "fused_bf16": "cpu_bf16"}
"""Earlier names of the kinds of training steps, and their present names."""


def read_record(path: Path) -> dict[str, Any]:
    """Read a record written by an earlier run; earlier names of engines and kinds are translated.

    Raises:
        ConfigError: The file is not a benchmark record.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"--record must be a file written by --json, got '{path}': {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ConfigError(f"--record must be of format '{FORMAT}', got '{path}'")
    return translate_names(record)


def translate_names(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with present names of engines (``network``, ``start``) and kinds (``training``)."""
    engines = RENAMED_VALUES["network.engine"]
    renamed = {"network": ("engine", engines), "start": ("engine", engines), "training": ("kind", RENAMED_KINDS)}
    translated = dict(record)
    for part, (key, names) in renamed.items():
        if part in translated:
            translated[part] = [{**row, key: names.get(row[key], row[key])} for row in translated[part]]
    return translated


def write_record(record: Mapping[str, Any], path: Path) -> None:
    """Write a record as JSON."""
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
