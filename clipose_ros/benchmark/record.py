"""Benchmark record: machine and rows of all parts, and its JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clipose_ros.benchmark.machine import MachineDescription
from clipose_ros.benchmark.rows import LiveRow, NetworkRow, PipelineRow, StageRow, StartRow, TrainingRow
from clipose_ros.config_aliases import RENAMED_VALUES
from clipose_ros.errors import ConfigError

FORMAT = "clipose_ros benchmark/2"
"""Name of the layout of the file. It changes when a figure changes its meaning or its key."""

RENAMED_KINDS: Mapping[str, str] = {"plain": "pytorch", "fused": "cpu", "fused_bf16": "cpu_bf16"}
"""Present names of the kinds of training steps by their earlier names."""
RENAMED_STAGES: Mapping[str, str] = {
    "clouds": "point clouds",
    "plausibility": "pose checks",
    "messages in": "read messages",
    "messages out": "write messages",
    "picture out": "write image message",
}
"""Present names of the stages of a frame by their earlier names."""


@dataclass(frozen=True)
class BenchmarkRecord:
    """Results of a benchmark run. Parts that were not measured are empty.

    Attributes:
        machine: Machine and versions.
        max_passes: Setting ``network.tta.max_passes`` in all parts but ``network``. Its key in the file is ``looks``.
        network: Inference time of the network by engine, batch and points.
        stages: Time of the stages of a frame.
        pipeline: Time of a whole frame by number of objects.
        start: Start-up time of a process.
        training: Time and memory of a training step.
        live: End-to-end measurements of camera, pose node and subscriber.
    """

    machine: MachineDescription
    max_passes: int
    network: tuple[NetworkRow, ...] = ()
    stages: tuple[StageRow, ...] = ()
    pipeline: tuple[PipelineRow, ...] = ()
    start: tuple[StartRow, ...] = ()
    training: tuple[TrainingRow, ...] = ()
    live: tuple[LiveRow, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return plain values for JSON; parts that were not measured are left out."""
        parts = {
            "network": [row.to_json() for row in self.network],
            "stages": [row.to_json() for row in self.stages],
            "pipeline": [row.to_json() for row in self.pipeline],
            "start": [row.to_json() for row in self.start],
            "training": [row.to_json() for row in self.training],
            "live": [row.to_json() for row in self.live],
        }
        head: dict[str, object] = {"format": FORMAT, "machine": asdict(self.machine), "looks": self.max_passes}
        return head | {name: rows for name, rows in parts.items() if rows}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BenchmarkRecord:
        """Build from the values of ``to_json``; earlier names of engines, kinds and stages are translated.

        Raises:
            KeyError: A key is missing.
        """
        engines = RENAMED_VALUES["network.engine"]
        return cls(
            MachineDescription.from_json(values["machine"]),
            values["looks"],
            tuple(NetworkRow.from_json(_rename(row, "engine", engines)) for row in values.get("network", ())),
            tuple(StageRow.from_json(_rename(row, "stage", RENAMED_STAGES)) for row in values.get("stages", ())),
            tuple(PipelineRow.from_json(row) for row in values.get("pipeline", ())),
            tuple(StartRow.from_json(_rename(row, "engine", engines)) for row in values.get("start", ())),
            tuple(TrainingRow.from_json(_rename(row, "kind", RENAMED_KINDS)) for row in values.get("training", ())),
            tuple(LiveRow.from_json(row) for row in values.get("live", ())),
        )


def read_record(path: Path) -> BenchmarkRecord:
    """Read a record written by an earlier run.

    Raises:
        ConfigError: The file is not a benchmark record, or a key is missing.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"--record must be a file written by --json, got '{path}': {error}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ConfigError(f"--record must be of format '{FORMAT}', got '{path}'")
    try:
        return BenchmarkRecord.from_json(values)
    except KeyError as error:
        raise ConfigError(f"--record must hold all keys of format '{FORMAT}', but '{path}' lacks {error}") from error


def write_record(record: BenchmarkRecord, path: Path) -> None:
    """Write a record as JSON."""
    path.write_text(json.dumps(record.to_json(), indent=1) + "\n", encoding="utf-8")


def _rename(row: Mapping[str, Any], key: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Return a row with the present name of the value under ``key``."""
    return {**row, key: names.get(row[key], row[key])}
