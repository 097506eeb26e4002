"""Duration and peak memory of a training step at the paper's widths, by implementation.

Each setting is measured in a separate process, which runs this module as a program and prints its measurements.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from clipose_ros.benchmark.result_tables import POINTS
from clipose_ros.benchmark.timing import Timing
from clipose_ros.errors import CliposeError
from clipose_ros.training.step_timing import time_steps

_LIMIT_S = 600.0


class StepError(CliposeError):
    """The training process failed; the message ends with its last output."""


@dataclass(frozen=True, slots=True)
class TrainingCase:
    """Settings of one measurement.

    Attributes:
        batch: Clouds per step.
        kind: Name in ``KINDS``.
        steps: Number of timed steps, after one untimed step.
        preset: Name of an architecture.
    """

    batch: int
    kind: str
    steps: int
    preset: str = "clipose"


REFERENCE = "pytorch"
"""The kind that all others are compared with: plain PyTorch operations."""

KINDS = {REFERENCE: (False, "fp32"), "cpu": (True, "fp32"), "cpu_bf16": (True, "bf16")}
"""By name: whether the step uses the operations of ``model.cpu_training``, and its precision."""

CASES = (
    TrainingCase(8, REFERENCE, 2),
    TrainingCase(8, "cpu", 3),
    TrainingCase(8, "cpu_bf16", 3),
    TrainingCase(24, "cpu", 2),
    TrainingCase(24, "cpu_bf16", 2),
)
"""All kinds at a batch of 8, and the batch of the paper, for which the memory does not suffice with ``REFERENCE``."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Result of one measurement.

    Attributes:
        case: Settings of the measurement.
        timing: Duration of a step.
        ratio: Median of the reference at the same batch over this median; None if the reference was not timed before.
        peak_bytes: Peak resident memory of the process.
    """

    case: TrainingCase
    timing: Timing
    ratio: float | None
    peak_bytes: int

    def as_record(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "preset": self.case.preset,
            "batch": self.case.batch,
            "kind": self.case.kind,
            **asdict(self.timing),
            "ratio": self.ratio,
            "peak_gib": round(self.peak_bytes / 2**30, 3),
        }


def time_training(cases: Sequence[TrainingCase] = CASES) -> Iterator[TrainingResult]:
    """Measure each case and yield its result.

    Raises:
        StepError: A training process failed or took too long.
    """
    reference_ms: dict[tuple[str, int], float] = {}
    for case in cases:
        seconds, peak_bytes = _run_process(case)
        timing, key = Timing.of(seconds), (case.preset, case.batch)
        if case.kind == REFERENCE:
            reference_ms[key] = timing.median_ms
        ratio = round(reference_ms[key] / timing.median_ms, 2) if key in reference_ms else None
        yield TrainingResult(case, timing, ratio, peak_bytes)


def _run_process(case: TrainingCase) -> tuple[list[float], int]:
    """Return the seconds of every step and the peak memory of the process, bytes."""
    words = (case.preset, case.batch, case.kind, case.steps)
    command = [sys.executable, "-m", "clipose_ros.benchmark.training", *(str(word) for word in words)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise StepError(f"expected {case.steps} training steps within {_LIMIT_S:g} s, got none: {case}") from error
    if done.returncode:
        raise StepError(f"the training process of {case} failed:\n{done.stderr[-600:]}")
    output = json.loads(done.stdout.splitlines()[-1])
    return output["seconds"], output["peak_rss_bytes"]


def _main(preset: str, batch: str, kind: str, steps: str) -> None:
    cpu_operations, precision = KINDS[kind]
    print(json.dumps(asdict(time_steps(preset, int(batch), POINTS, cpu_operations, int(steps), precision))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
