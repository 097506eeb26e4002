"""Mean of the weights of several models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import CheckpointError, ConfigError
from clipose_ros.model.averaging import average_checkpoints
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.network import Architecture, CLIPoseNet

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))


def models(folder: Path, count: int, architecture: Architecture = TINY) -> list[Path]:
    paths = []
    for seed in range(count):
        torch.manual_seed(seed)
        paths.append(folder / f"{len(architecture.widths)}_{architecture.neighbours}_{seed}.safetensors")
        save_checkpoint(paths[-1], CLIPoseNet(architecture, NOCS_CATEGORIES))
    return paths


def test_weights_are_the_mean_in_any_order(tmp_path: Path) -> None:
    paths = models(tmp_path, 3)
    mean, reverse = average_checkpoints(paths).state_dict(), average_checkpoints(paths[::-1]).state_dict()
    states = []
    for seed in range(3):
        torch.manual_seed(seed)
        states.append(CLIPoseNet(TINY, NOCS_CATEGORIES).state_dict())
    for name, value in mean.items():
        expected = sum(state[name].double() for state in states) / 3
        torch.testing.assert_close(value.double(), expected, atol=1e-6, rtol=1e-6)
        assert torch.equal(value, reverse[name])


def test_the_mean_of_one_model_is_the_model(tmp_path: Path) -> None:
    (path,) = models(tmp_path, 1)
    torch.manual_seed(0)
    state = CLIPoseNet(TINY, NOCS_CATEGORIES).state_dict()
    assert all(torch.equal(value, state[name]) for name, value in average_checkpoints([path]).state_dict().items())


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    wider = Architecture(widths=(8, 8, 8, 16, 32), supports=3, neighbours=12, head_widths=(16, 8))
    with pytest.raises(CheckpointError, match=r"5_12_0\.safetensors' has another architecture"):
        average_checkpoints([*models(tmp_path, 1), *models(tmp_path, 1, wider)])
    refined = CLIPoseNet(TINY, NOCS_CATEGORIES)
    refined.refiner = CLIPoseNet(replace(TINY, refines=True), NOCS_CATEGORIES)
    save_checkpoint(tmp_path / "refined.safetensors", refined)
    with pytest.raises(CheckpointError, match=r"refined\.safetensors' has another architecture"):
        average_checkpoints([*models(tmp_path, 1), tmp_path / "refined.safetensors"])
    with pytest.raises(ConfigError, match="at least one model"):
        average_checkpoints([])
