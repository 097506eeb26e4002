"""Duration and peak memory of a training step at the paper's widths, by implementation.

Each setting is measured in a separate process, which runs this module as a program and prints its measurements.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from clipose_ros.benchmark.rows import POINTS, TrainingRow
from clipose_ros.benchmark.timing import Timing
from clipose_ros.errors import CliposeError
from clipose_ros.training.step_timing import StepKind, time_steps

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
        device: ``cpu`` or ``cuda:N``.
    """

    batch: int
    kind: str
    steps: int
    preset: str = "clipose"
    device: str = "cpu"


REFERENCE = "pytorch"
"""Kind of step that all others are compared with: PyTorch operations."""

KINDS = {
    REFERENCE: (False, "fp32"), "cpu": (True, "fp32"), "cpu_bf16": (True, "bf16"),
    "cuda": (False, "fp32"), "cuda_bf16": (False, "bf16"),
}  # fmt: skip
"""Kinds of steps by name: whether the operations of ``model.cpu_training`` are used, and the precision."""

CASES = (
    TrainingCase(8, REFERENCE, 2),
    TrainingCase(8, "cpu", 3),
    TrainingCase(8, "cpu_bf16", 3),
    TrainingCase(24, "cpu", 2),
    TrainingCase(24, "cpu_bf16", 2),
)
"""All kinds at batch size 8, and the CPU kinds at the batch size of the paper, 24, which exceeds the memory with
``REFERENCE``."""

GPU_CASES = (TrainingCase(24, "cuda", 5), TrainingCase(24, "cuda_bf16", 5))
"""Cases on a GPU, at the batch size of the paper."""


def time_training(cases: Sequence[TrainingCase] = CASES) -> Iterator[TrainingRow]:
    """Measure each case and yield its result.

    Raises:
        StepError: A training process failed or took too long.
    """
    reference_ms: dict[tuple[str, int], float] = {}
    for case in cases:
        seconds, peak_bytes = _run_process(case)
        timing, key = Timing.from_seconds(seconds), (case.preset, case.batch)
        if case.kind == REFERENCE:
            reference_ms[key] = timing.median_ms
        ratio = round(reference_ms[key] / timing.median_ms, 2) if key in reference_ms else None
        yield TrainingRow(case.preset, case.batch, case.kind, timing, ratio, round(peak_bytes / 2**30, 3))


def _run_process(case: TrainingCase) -> tuple[list[float], int]:
    """Run a case in a new process; return the duration of every step, seconds, and the peak memory, bytes."""
    words = (case.preset, case.batch, case.kind, case.steps, case.device)
    command = [sys.executable, "-m", "clipose_ros.benchmark.training", *(str(word) for word in words)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise StepError(f"expected {case.steps} training steps within {_LIMIT_S:g} s, got none: {case}") from error
    if done.returncode:
        raise StepError(f"the training process of {case} failed:\n{done.stderr[-600:]}")
    output = json.loads(done.stdout.splitlines()[-1])
    return output["seconds"], output["peak_bytes"]


def _main(preset: str, batch: str, kind: str, steps: str, device: str) -> None:
    step_kind = StepKind(*KINDS[kind], device)
    print(json.dumps(asdict(time_steps(preset, int(batch), POINTS, step_kind, int(steps)))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
