"""The command ``evaluate --sequence`` with a stored sequence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli import evaluate
from clipose_ros.evaluation.runs.recorded_sequence import RecordedSequence
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.network import Architecture, CLIPoseNet

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            ["--sequence", "60"],
            "holds 30 frames, but --sequence 60 asks for 1800: use --sequence 1, or name",
        ),
        (["--sequence", "1", "--seed", "0"], "does not store its seed: leave out --seed, or name a new file"),
    ],
)
def test_evaluate_rejects_a_stored_sequence_of_other_options(
    asked: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_checkpoint(tmp_path / "tiny.safetensors", CLIPoseNet(TINY, NOCS_CATEGORIES))
    points = torch.rand(30, 64, 3).numpy()
    poses = np.tile(np.eye(4), (30, 1, 1))
    sequence = RecordedSequence(points, np.arange(30), np.tile(["can"], 30), np.ones(30, dtype=np.int64), poses)
    sequence.save(tmp_path / "film.npz")
    model = ["--model", str(tmp_path / "tiny.safetensors"), "--device", "cpu", "--engine", "pytorch"]
    assert evaluate.main([*asked, "--film", str(tmp_path / "film.npz"), *model]) == 1
    assert message in capsys.readouterr().err
