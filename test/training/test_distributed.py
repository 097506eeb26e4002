"""Two processes train what one would, and write once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import ConfigError
from clipose_ros.training.batches import BatchSource
from clipose_ros.training.config import AugmentConfig

WORKER = Path(__file__).with_name("ranks_worker.py")


def test_two_ranks_update_as_one_process_does(tmp_path: Path) -> None:
    features = np.random.default_rng(1).normal(size=(6, 12)).astype(np.float32)
    np.save(tmp_path / "six.npy", features / np.linalg.norm(features, axis=1, keepdims=True))
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root, "GLOO_SOCKET_IFNAME": "lo"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    runs = []
    for name, start in (("one", [sys.executable]), ("two", torchrun)):
        command = [*start, str(WORKER), str(tmp_path / name), str(tmp_path / "six.npy")]
        runs.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    for run in runs:
        _, said = run.communicate(timeout=110)
        assert run.returncode == 0, said[-3000:]
    one, two = (torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("one", "two"))
    assert one["step"] == two["step"] == 3
    for part in ("network", "average", "extras"):
        for name, value in one[part].items():
            torch.testing.assert_close(two[part][name], value, rtol=1e-4, atol=2e-6, msg=f"{part} {name}")
    records = [json.loads(line) for line in (tmp_path / "two" / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [2, 3]


def test_slices_of_ranks_make_the_joint_batch(seen_samples: CloudSamples) -> None:
    def source(rank: int, ranks: int) -> BatchSource:
        images = seen_samples.images
        return BatchSource(seen_samples, NOCS_CATEGORIES, AugmentConfig(), 6, 3, images, rank, ranks)

    joint, parts = source(0, 1).at(7), [source(rank, 3).at(7) for rank in range(3)]
    for name in ("points", "category", "rows", "images"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(joint, name))
    for name in ("R", "t", "size", "x_determined"):
        assert torch.equal(torch.cat([getattr(part.truth, name) for part in parts]), getattr(joint.truth, name))
    with pytest.raises(ConfigError, match="multiple of the 4 processes"):
        source(0, 4)
