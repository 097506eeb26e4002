"""What a training step costs at the paper's widths: fused beside plain, each in a process of its own.

As a program it is such a process: it times steps and prints what they cost.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from clipose_ros.benchmark.result_tables import POINTS
from clipose_ros.benchmark.timing import Timing
from clipose_ros.errors import CliposeError
from clipose_ros.training.step_timing import time_steps

_LIMIT_S = 600.0


class StepError(CliposeError):
    """The process that trains failed; the message carries its last words."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is trained for a few steps.

    Attributes:
        batch: Clouds per step.
        kind: Name in ``KINDS``.
        steps: How many are timed, after one that is not.
        preset: Name of an architecture.
    """

    batch: int
    kind: str
    steps: int
    preset: str = "clipose"


KINDS = {"plain": (False, "fp32"), "fused": (True, "fp32"), "fused_bf16": (True, "bf16")}
"""Whether as training runs or by the plain formulas, and in which precision."""

SETTINGS = (
    Setting(8, "plain", 2),
    Setting(8, "fused", 3),
    Setting(8, "fused_bf16", 3),
    Setting(24, "fused", 2),
    Setting(24, "fused_bf16", 2),
)
"""Plain and fused at the same batch, and the batch of the paper, which plain steps have no memory for."""


def time_training(settings: tuple[Setting, ...] = SETTINGS) -> Iterator[dict[str, Any]]:
    """One record per setting.

    ``ratio`` is the plain step's median over this one's, None where no plain step of this batch was timed before.
    """
    plain_ms: dict[tuple[str, int], float] = {}
    for setting in settings:
        seconds, peak_bytes = _in_own_process(setting)
        timing, key = Timing.of(seconds), (setting.preset, setting.batch)
        if setting.kind == "plain":
            plain_ms[key] = timing.median_ms
        yield {
            "preset": setting.preset,
            "batch": setting.batch,
            "kind": setting.kind,
            **asdict(timing),
            "ratio": round(plain_ms[key] / timing.median_ms, 2) if key in plain_ms else None,
            "peak_gib": round(peak_bytes / 2**30, 3),
        }


def _in_own_process(setting: Setting) -> tuple[list[float], int]:
    """Seconds of every step, and the most memory that the process had."""
    words = (setting.preset, setting.batch, setting.kind, setting.steps)
    command = [sys.executable, "-m", "clipose_ros.benchmark.training", *(str(word) for word in words)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise StepError(f"expected {setting.steps} training steps in {_LIMIT_S:g} s, got none: {setting}") from error
    if done.returncode:
        raise StepError(f"a process that trains ({setting}) failed:\n{done.stderr[-600:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return told["seconds"], told["peak_rss_bytes"]


def _main(preset: str, batch: str, kind: str, steps: str) -> None:
    fused, precision = KINDS[kind]
    print(json.dumps(asdict(time_steps(preset, int(batch), POINTS, fused, int(steps), precision))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
