"""Rows of a benchmark record, one class per part of the benchmark.

``to_json`` returns the plain values of a row in the order of the JSON file, ``from_json`` reads them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from clipose_ros.benchmark.process_usage import ProcessUsage
from clipose_ros.benchmark.timing import Timing
from clipose_ros.evaluation.runs.live_statistics import LiveSummary

POINTS = 1024
"""Points of a cloud in measurements by batch size."""


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """Inference time of one engine at one size.

    Attributes:
        model: Name of the network.
        engine: Name of the engine.
        device: Device of the engine.
        batch: Clouds in the batch.
        points: Points of a cloud.
        timing: Duration of one call.
        pose_ms: Median duration per cloud, milliseconds.
        ratio: Median duration of the engine ``pytorch`` divided by the median duration of this engine.
        deviation: Largest absolute difference from the output of ``pytorch`` in any axis, translation or size, metres.
    """

    model: str
    engine: str
    device: str
    batch: int
    points: int
    timing: Timing
    pose_ms: float
    ratio: float
    deviation: float

    def to_json(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return _flatten(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NetworkRow:
        """Build from the values of ``to_json``."""
        return cls(**_nest_timing(cls, values))


@dataclass(frozen=True, slots=True)
class StageRow:
    """Duration of one stage of a frame.

    Attributes:
        stage: Name of the stage.
        timing: Duration of one call.
    """

    stage: str
    timing: Timing

    def to_json(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return _flatten(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> StageRow:
        """Build from the values of ``to_json``."""
        return cls(**_nest_timing(cls, values))


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """Duration of the whole pipeline from an image to poses, without ROS and tracking.

    Attributes:
        objects: Number of objects in the image.
        engine: Name of the engine.
        device: Device of the engine.
        timing: Duration of one frame.
    """

    objects: int
    engine: str
    device: str
    timing: Timing

    def to_json(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return _flatten(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PipelineRow:
        """Build from the values of ``to_json``."""
        return cls(**_nest_timing(cls, values))


@dataclass(frozen=True, slots=True)
class StartRow:
    """Start-up time of a process up to its first pose.

    Attributes:
        model: Name of the network.
        engine: Name of the engine.
        cache: Compiled kernels at the start: ``on disk`` or ``none``.
        timing: Duration from the start of the interpreter to the first pose.
    """

    model: str
    engine: str
    cache: str
    timing: Timing

    def to_json(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return _flatten(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> StartRow:
        """Build from the values of ``to_json``."""
        return cls(**_nest_timing(cls, values))


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """Duration and memory of a training step.

    Attributes:
        preset: Name of the architecture.
        batch: Clouds per step.
        kind: Implementation of the step, a name in ``training.KINDS``.
        timing: Duration of a step.
        ratio: Median duration of the kind ``pytorch`` at the same batch divided by the median duration of this kind;
            None if ``pytorch`` was not timed before.
        peak_gib: Peak memory, GiB: resident memory of the process, or memory of the GPU.
    """

    preset: str
    batch: int
    kind: str
    timing: Timing
    ratio: float | None
    peak_gib: float

    def to_json(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return _flatten(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainingRow:
        """Build from the values of ``to_json``."""
        return cls(**_nest_timing(cls, values))


@dataclass(frozen=True, slots=True)
class LiveRow:
    """End-to-end measurement of a camera process, a pose node process and a subscriber.

    Attributes:
        objects: Number of objects on the table.
        segmenter: Name of the segmenter.
        asked_hz: Rate at which the camera publishes, Hz.
        seconds: Duration of the measurement, seconds.
        start_s: Time from the start of the node process to its first answer, seconds.
        objects_posed: Mean number of published objects per answered frame.
        summary: Frame counts, rate, latency and pose errors. Its fields are keys of the row in the JSON file.
        processes: CPU and memory usage by name: ``camera``, ``node``, ``subscriber``.
    """

    objects: int
    segmenter: str
    asked_hz: float
    seconds: float
    start_s: float
    objects_posed: float
    summary: LiveSummary
    processes: Mapping[str, ProcessUsage]

    def to_json(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return _flatten(self) | {"processes": {name: asdict(usage) for name, usage in self.processes.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LiveRow:
        """Build from the values of ``to_json``."""
        return cls(
            values["objects"],
            values["segmenter"],
            values["asked_hz"],
            values["seconds"],
            values["start_s"],
            values["objects_posed"],
            LiveSummary.from_record(values),
            {name: ProcessUsage.from_json(usage) for name, usage in values["processes"].items()},
        )


_Row = NetworkRow | StageRow | PipelineRow | StartRow | TrainingRow | LiveRow


def _flatten(row: _Row) -> dict[str, object]:
    """Return the values of a row by name; the fields of a timing or a summary are on the same level."""
    flat: dict[str, object] = {}
    for field in fields(row):
        value = getattr(row, field.name)
        flat |= asdict(value) if isinstance(value, Timing | LiveSummary) else {field.name: value}
    return flat


def _nest_timing(row_type: type[_Row], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a row with a timing from the values of ``_flatten``."""
    timing = Timing(**{field.name: values[field.name] for field in fields(Timing)})
    return {field.name: timing if field.name == "timing" else values[field.name] for field in fields(row_type)}
