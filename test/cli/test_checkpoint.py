"""The command ``checkpoint``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli import checkpoint, generate
from clipose_ros.evaluation.runs import score_calibration
from clipose_ros.model.checkpoint import load_checkpoint, read_notes, save_checkpoint
from clipose_ros.model.network import Architecture, CLIPoseNet

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "tiny.safetensors", CLIPoseNet(TINY, NOCS_CATEGORIES), {"step": 7})
    return tmp_path / "tiny.safetensors"


def test_average_writes_a_model_that_names_its_parts(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = model.parent / "new" / "mean.safetensors"
    assert checkpoint.main(["average", str(model), str(model), "--out", str(out)]) == 0
    assert "mean of 2 models" in capsys.readouterr().out
    assert read_notes(out) == {"mean_of": ["tiny.safetensors", "tiny.safetensors"]}
    state = load_checkpoint(model).state_dict()
    assert all(torch.equal(value, state[name]) for name, value in load_checkpoint(out).state_dict().items())


def test_calibrate_writes_a_model_with_scores_that_fit(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clouds, out = model.parent / "clouds.npz", model.parent / "calibrated.safetensors"
    assert generate.main(["--scenes", "3", "--seed", "3", "--out", str(clouds)]) == 0
    arguments = ["calibrate", "--model", str(model), "--data", str(clouds), "--device", "cpu", "--out", str(out)]
    assert checkpoint.main(arguments) == 1
    assert "too few to calibrate" in capsys.readouterr().err and not out.exists()
    monkeypatch.setattr(score_calibration, "MIN_CLOUDS", 1)
    assert checkpoint.main(arguments) == 0
    assert "expected calibration error" in capsys.readouterr().out
    network = load_checkpoint(out)
    assert network.score_calibration is not None and read_notes(out) == {"step": 7}
    assert set(network.score_calibration.weights) == set(NOCS_CATEGORIES.names)
    assert np.isfinite(list(network.score_calibration.weights.values())).all()


def test_errors_take_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checkpoint.main(["average", str(tmp_path / "none.safetensors"), "--out", str(tmp_path / "x")]) == 1
    assert capsys.readouterr().err.startswith("checkpoint: ")
