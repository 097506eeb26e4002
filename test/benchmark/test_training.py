"""Duration and memory of training steps in separate processes."""

import json
import subprocess

import pytest

from clipose_ros.benchmark.training import StepError, TrainingCase, time_training


def test_time_training_compares_with_the_pytorch_step_of_the_same_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"pytorch": [4.0, 6.0], "cpu": [0.5], "cpu_bf16": [0.4]}

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        *_, kind, _, device = command
        assert device == "cpu"
        output = json.dumps({"seconds": seconds[kind], "peak_bytes": 3 * 2**29})
        return subprocess.CompletedProcess(command, 0, f"other output\n{output}\n", "")

    monkeypatch.setattr(subprocess, "run", run)
    rows = [row.to_json() for row in time_training()]
    assert [(row["batch"], row["kind"], row["ratio"]) for row in rows] == [
        (8, "pytorch", 1.0),
        (8, "cpu", 10.0),
        (8, "cpu_bf16", 12.5),
        (24, "cpu", None),
        (24, "cpu_bf16", None),
    ]
    assert all(row["peak_gib"] == 1.5 for row in rows) and rows[0]["median_ms"] == 5000.0
    keys = ["preset", "batch", "kind", "median_ms", "low_ms", "high_ms", "count", "ratio", "peak_gib"]
    assert all(list(row) == keys for row in rows)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["cpu", "cpu_bf16"])
def test_time_training_runs_a_step_in_a_separate_process(kind: str) -> None:
    (result,) = time_training((TrainingCase(2, kind, 1, "clipose_small"),))
    assert result.timing.count == 1 and result.timing.median_ms > 0.0 and result.peak_gib > 0.1


def test_time_training_reports_a_failed_process() -> None:
    with pytest.raises(StepError, match="training process"):
        list(time_training((TrainingCase(2, "cpu", 1, "abacus"),)))
