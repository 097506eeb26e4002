"""Errors of the first rank before the first step: the ranks of other hosts end, too."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from two_hosts import free_port

from clipose_ros.data.samples import CloudSamples

PROGRAM = """
import os, sys
from pathlib import Path
from clipose_ros.cli import train
from clipose_ros.errors import CliposeError
from clipose_ros.training.run_dir import RunDir
from clipose_ros.training.runtime.distributed import ranks_joined

first, *ports = sys.argv[1:4]
os.environ["MASTER_PORT"] = first
print("status", train.main([*sys.argv[4:], "--out", "run"]))
for folder, port in zip(("empty", "run"), ports):
    os.environ["MASTER_PORT"] = port
    try:
        with ranks_joined("cpu") as device:
            RunDir(Path(folder)).load_state(device)
    except CliposeError as error:
        print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.timeout(120)
def test_all_ranks_end_if_the_first_one_cannot_start_or_resume(tmp_path: Path, seen_samples: CloudSamples) -> None:
    """One test for all: starting the processes takes longer than the rest."""
    seen_samples.save(tmp_path / "clouds.npz")
    data = str(tmp_path / "clouds.npz")
    options = ["--recipe", "ablation_none", "--data", data, "--validation", data, "--device", "cpu"]
    ports = [str(free_port()) for _ in range(3)]
    with ExitStack() as opened:
        ranks = []
        for rank in range(2):
            (tmp_path / f"host{rank}" / "run").mkdir(parents=True)
            place = {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
            ranks.append(
                opened.enter_context(
                    subprocess.Popen(
                        [sys.executable, "-c", PROGRAM, *ports, *options],
                        cwd=tmp_path / f"host{rank}", env=os.environ | place | {"OMP_NUM_THREADS": "1"},
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                    )
                )
            )  # fmt: skip
            opened.callback(ranks[rank].kill)
        (tmp_path / "host0" / "run" / "state.pt").write_bytes(b"damaged")
        (first, first_errors), (other, other_errors) = [rank.communicate(timeout=100) for rank in ranks]
    told = "another process of the run could not start or resume it: its message says why"
    assert "train: 'run' holds a run: resume it with --resume" in first_errors
    assert f"train: {told}" in other_errors
    assert other.splitlines() == ["status 1", f"LostRankError: {told}", f"LostRankError: {told}"]
    status, absent, damaged = first.splitlines()
    assert status == "status 1" and absent.startswith("TrainingError: nothing to resume: 'empty/state.pt'")
    assert damaged.startswith("TrainingError: state 'run/state.pt' cannot be resumed")
