"""Process-wide settings, made by one call and never by the trainer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numba
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.samples import CloudSamples
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.runtime import process_settings
from clipose_ros.training.trainer import Trainer


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before, kernels = torch.get_num_threads(), numba.get_num_threads()
    yield
    numba.set_num_threads(kernels)
    torch.set_num_threads(before)


def test_configure_process_sets_seed_threads_and_tuning(monkeypatch: pytest.MonkeyPatch) -> None:
    tuned: list[str] = []
    monkeypatch.setattr(process_settings, "tune_process", tuned.append)
    process_settings.configure_process(7, 1, "cpu")
    first = torch.rand(3)
    process_settings.configure_process(7, 0, "cpu")
    assert torch.equal(first, torch.rand(3))
    assert torch.get_num_threads() == 1 and tuned == ["cpu", "cpu"]


def test_trainer_does_not_change_threads_or_precision(seen_samples: CloudSamples, tmp_path: Path) -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    config = TrainConfig.from_mapping({"steps": 1, "batch": 4, "threads": before[0] + 1, "tensorboard": False})
    Trainer(config, NOCS_CATEGORIES, seen_samples, seen_samples, tmp_path)
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


THREADS_AFTER_A_KERNEL = """
import numpy as np, torch
from clipose_ros.model.cpu_training.graph_ops import CPU_OPS
from clipose_ros.training.runtime.process_settings import configure_process
configure_process(0, 1, "cpu")
CPU_OPS.nearest_neighbours(torch.rand(2, 32, 3), 4)
print(torch.get_num_threads())
"""


def test_compiled_kernels_keep_the_number_of_threads() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment["NUMBA_NUM_THREADS"] = "3"
    command = (sys.executable, "-c", THREADS_AFTER_A_KERNEL)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["1"]
