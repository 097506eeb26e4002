"""Training session by commands: shards, a resumed run, two processes, evaluation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clipose_ros.cli import evaluate, generate
from clipose_ros.data.nocs.fixture import write_nocs_fixture

SMALL = [
    "initial_points=128",
    "initial_points_fraction=1",
    "batch=4",
    "threads=1",
    "tensorboard=false",
    "warmup_steps=1",
]
TRAIN = ["-m", "clipose_ros.cli.train"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate shards of two scenes."""
    folder = tmp_path_factory.mktemp("session") / "shards"
    assert generate.main(["--scenes", "2", "--scenes-per-shard", "1", "--seed", "1", "--shards", str(folder)]) == 0
    return folder


def arguments(shards: Path, out: Path, *settings: str) -> list[str]:
    data = ["--data", str(shards), "--validation", str(shards)]
    return ["--recipe", "clipose_small", *data, "--out", str(out), "--device", "cpu", *settings, *SMALL]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_run_is_resumed_and_its_model_evaluated(shards: Path, tmp_path: Path) -> None:
    settings = ["steps=12", "validate_every=3"]
    command = [sys.executable, *TRAIN, *arguments(shards, tmp_path / "killed", *settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("step 3:")  # the state is written before this line
        process.kill()
    assert process.returncode == -signal.SIGKILL
    # separate processes, since the renderer may change the rounding mode of this process
    whole = [sys.executable, *TRAIN, *arguments(shards, tmp_path / "whole", *settings)]
    for run in ([*command, "--resume"], whole):
        subprocess.run(run, check=True, timeout=300, stdout=subprocess.DEVNULL)
    resumed, straight = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("killed", "whole"))
    assert resumed["step"] == straight["step"] == 12
    for name, value in straight["network"].items():
        assert torch.equal(resumed["network"][name], value), name

    model = ["--model", str(tmp_path / "killed" / "best.safetensors"), "--device", "cpu"]
    figures = tmp_path / "figures.json"
    assert evaluate.main([*model, "--data", str(shards), "--json", str(figures)]) == 0
    assert json.loads(figures.read_text())
    figures.unlink()
    write_nocs_fixture(tmp_path / "nocs", "real_test", scenes=1, frames=1, seed=4)
    assert evaluate.main([*model, "--nocs", str(tmp_path / "nocs"), "--json", str(figures)]) == 0
    assert json.loads(figures.read_text())["iou"]["oriented"]["categories"]["mean"]["truths"] > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_train_one_model(shards: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *TRAIN[:1]]
    command = [*torchrun, TRAIN[1], *arguments(shards, tmp_path / "two", "steps=2", "validate_every=2")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    records = [json.loads(line) for line in (tmp_path / "two" / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [2], "one process writes the log"
    model = ["--model", str(tmp_path / "two" / "model.safetensors"), "--device", "cpu"]
    assert evaluate.main([*model, "--data", str(shards)]) == 0
