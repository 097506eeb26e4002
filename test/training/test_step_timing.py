"""Timing of training steps with CPU operations and with PyTorch formulas."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipose_ros.model import network
from clipose_ros.model.graph import PYTORCH_OPS
from clipose_ros.model.network import Architecture
from clipose_ros.training import step_timing
from clipose_ros.training.step_timing import StepKind
from clipose_ros.training.trainer import Trainer


@pytest.mark.parametrize("preset", ["clipose", "clipose_small"])
def test_timed_steps_have_same_losses_with_cpu_ops_and_pytorch_ops(
    preset: str, tiny_architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(network.PRESETS, preset, tiny_architecture)
    losses: list[dict[str, float]] = []
    optimise = Trainer.optimise

    def noted(trainer: Trainer) -> dict[str, float]:
        losses.append(optimise(trainer))
        return losses[-1]

    monkeypatch.setattr(Trainer, "optimise", noted)
    kept: list[str] = []
    monkeypatch.setattr(step_timing, "tune_process", kept.append)
    for fused in (False, True):
        timing = step_timing.time_steps(preset, batch=4, points=128, kind=StepKind(fused), steps=1)
        assert len(timing.seconds) == len(timing.cpu_seconds) == 1 and min(timing.seconds + timing.cpu_seconds) > 0.0
        assert timing.peak_bytes > 2**20
    plain, _, fast, _ = losses
    assert plain == pytest.approx(fast, rel=1e-3, abs=1e-4)
    assert kept == ["cpu"], "plain steps are timed as a process begins"
    assert ("voting" in plain) == (preset == "clipose")


def test_use_pytorch_ops_replaces_all_operations_of_network(
    tiny_architecture: Architecture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(network.PRESETS, "clipose_small", tiny_architecture)
    clouds = step_timing.box_clouds(6, 128)
    config = step_timing.TrainConfig(preset="clipose_small", batch=4, tensorboard=False)
    trainer = Trainer(config, clouds.categories, clouds, clouds, tmp_path)
    step_timing.use_pytorch_ops(trainer)
    assert {module.ops for module in trainer.modules.network.modules() if hasattr(module, "ops")} == {PYTORCH_OPS}
