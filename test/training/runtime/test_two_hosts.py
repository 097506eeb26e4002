"""Training on two hosts: a killed rank, a resumed run, and the weights of one host."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import torch
from two_hosts import Host, free_port, two_hosts

from clipose_ros.data.samples import CloudSamples

TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
SETTINGS = ["batch=4", "steps=40", "validate_every=10", "warmup_steps=1", "threads=1", "tensorboard=false"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["loopback", "namespaces"])
@pytest.mark.parametrize("killed", [0, 1])
def test_run_with_a_killed_rank_ends_with_the_weights_of_one_host(
    kind: str, killed: int, tmp_path: Path, seen_samples: CloudSamples, to_shards: Callable[[CloudSamples, Path], Path]
) -> None:
    """The hosts have the data in common, but not the folder of the run."""
    (tmp_path / "data").mkdir()
    data = str(to_shards(seen_samples, tmp_path / "data"))
    train = ["-m", "clipose_ros.cli.train", "--recipe", "ablation_none", "--data", data, "--validation", data]
    train += ["--device", "cpu", "--out", "run", *SETTINGS]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}

    def start(folder: str, host: Host | None, *options: str) -> subprocess.Popen[str]:
        (tmp_path / folder).mkdir()
        command = [*(host.prefix if host else ()), *TORCHRUN, *options, *train, *(["--resume"] if host else [])]
        return subprocess.Popen(
            command, cwd=tmp_path / folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    with two_hosts(kind) as hosts, ExitStack() as opened:
        agents, port = [], free_port()
        for i, host in enumerate(hosts):
            meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{hosts[0].address}:{port}"]
            meeting += ["--rdzv-conf", f"is_host={1 - i}", "--local-addr", host.address, "--max-restarts", "2"]
            agents.append(opened.enter_context(start(f"host{i}", host, "--nnodes", "2", *meeting)))
            opened.callback(agents[i].terminate)
        state = wait_for_state([tmp_path / f"host{i}" / "run/state.pt" for i in range(2)], agents)
        (rank,) = psutil.Process(agents[killed].pid).children(recursive=True)[-1:]
        rank.send_signal(signal.SIGKILL)
        said = [agent.communicate(timeout=500) for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], said
    assert f"(pid: {rank.pid})" in said[killed][1] and "exitcode: -9" in said[killed][1]
    assert "step 40" in "".join(out for out, _ in said)
    other = next(tmp_path / f"host{i}" for i in range(2) if tmp_path / f"host{i}" not in state.parents)
    assert not list(other.iterdir()), "a host without rank 0 keeps no files"
    with start("one", None, "--standalone", "--nproc-per-node", "2") as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    one, two = (torch.load(path, weights_only=True) for path in (tmp_path / "one/run/state.pt", state))
    assert one["step"] == two["step"] == 40
    for part in ("network", "average"):
        assert all(torch.equal(value, two[part][name]) for name, value in one[part].items()), part


def wait_for_state(candidates: list[Path], agents: list[subprocess.Popen[str]]) -> Path:
    """Return the state that rank 0 has written, on whichever host it runs."""
    deadline = time.monotonic() + 250
    while not any(path.exists() for path in candidates):
        assert time.monotonic() < deadline and all(agent.poll() is None for agent in agents), "no state is written"
        time.sleep(0.02)
    return next(path for path in candidates if path.exists())
