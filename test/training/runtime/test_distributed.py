"""Training by two ranks compared with a single process."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clipose_ros.data.samples import CloudSamples
from clipose_ros.model.encoder import PointNorm
from clipose_ros.training.forward import join_norms

WORKER = Path(__file__).with_name("ranks_worker.py")


@pytest.mark.timeout(300)
def test_two_ranks_train_as_one_process_does(
    tmp_path: Path,
    seen_samples: CloudSamples,
    to_shards: Callable[[CloudSamples, Path], Path],
    tiny_clip_file: Path,
    image_bank: Path,
) -> None:
    """With every loss, from shards, with images and texts; some objects' x axis is hidden, so that slices differ."""
    others = tmp_path / "others.npz"
    features = np.random.default_rng(8).normal(size=(4, 16)).astype(np.float32)
    np.savez(others, features=features, labels=np.arange(4), categories=np.array(["hat", "pan", "fan", "van"]))
    hidden = replace(seen_samples, handle_visible=np.arange(len(seen_samples)) % 5 < 2)
    (tmp_path / "shards").mkdir()
    shards = to_shards(hidden, tmp_path / "shards")
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    with contextlib.ExitStack() as stack:
        runs = []
        for name, start in (("one", [sys.executable]), ("two", torchrun)):
            files = (tmp_path / name, shards, tiny_clip_file, image_bank, others)
            command = [*start, str(WORKER), *map(str, files)]
            runs.append(
                stack.enter_context(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
            )
            stack.callback(runs[-1].terminate)
        for run in runs:
            _, said = run.communicate(timeout=280)
            assert run.returncode == 0, said[-3000:]
    trained = {"tower": {"1.tower.prompts", "1.tower.visual.proj", "1.text_projection.weight"},
               "bank": {"1.bank.projection.weight", "1.text_projection.weight"}}  # fmt: skip
    for name, extras in trained.items():
        one, two = (torch.load(tmp_path / each / name / "state.pt", weights_only=True) for each in ("one", "two"))
        assert one["step"] == two["step"] == 3 and extras <= one["extras"].keys()
        assert_equal_weights(one, two)
        records = [json.loads(line) for line in (tmp_path / "two" / name / "log.jsonl").read_text().splitlines()]
        assert [record["step"] for record in records] == [2, 3]


def assert_equal_weights(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Compare the weights of two states."""
    for part in ("network", "average", "extras"):
        for name, value in one[part].items():
            told = functools.partial("{} {}: {}".format, part, name)
            torch.testing.assert_close(two[part][name], value, rtol=1e-4, atol=1e-5, msg=told)  # a step moves by 1e-2


def test_join_norms_keeps_function_parameters_and_names() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.points, self.inner = PointNorm(4), nn.Sequential(nn.BatchNorm1d(4))

        def forward(self, features: Tensor) -> Tensor:
            return self.inner(self.points(features).amax(dim=1))

    module = Two()
    features = torch.randn(3, 7, 4)
    parameters, names = list(module.parameters()), list(module.state_dict())
    expected = copy.deepcopy(module)
    join_norms(module)
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in (module.points, module.inner[0]))
    for _ in range(2):
        torch.testing.assert_close(module(features), expected(features))
        module.eval(), expected.eval()
    assert all(one is other for one, other in zip(module.parameters(), parameters, strict=True))
    assert list(module.state_dict()) == names
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], value)
