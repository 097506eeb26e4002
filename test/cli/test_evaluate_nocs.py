"""The command ``evaluate --nocs``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli import evaluate
from clipose_ros.data.nocs.fixture import write_nocs_fixture
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.network import Architecture, CLIPoseNet

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))


def test_evaluate_of_nocs_images_equals_that_of_the_saved_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    write_nocs_fixture(tmp_path / "nocs", "real_test", scenes=1, frames=2, seed=4)
    save_checkpoint(tmp_path / "tiny.safetensors", CLIPoseNet(TINY, NOCS_CATEGORIES))
    model = ["--model", str(tmp_path / "tiny.safetensors"), "--device", "cpu", "--engine", "cpu"]
    nocs = ["--nocs", str(tmp_path / "nocs"), "--subset", "real_test", *model]
    outputs = ["--save", str(tmp_path / "out"), "--json", str(tmp_path / "first.json")]
    assert evaluate.main([*nocs, *outputs, "--report", str(tmp_path / "report.html")]) == 0
    first = json.loads((tmp_path / "first.json").read_text())
    assert first["latency"]["median_ms"] > 0.0
    assert "from masks to poses" in (tmp_path / "report.html").read_text(encoding="utf-8")
    mean = first["iou"]["oriented"]["categories"]["mean"]
    assert mean["truths"] >= 4 and mean["predictions"] >= 4
    saved = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert saved == ["results_real_test_scene_1_0000.pkl", "results_real_test_scene_1_0001.pkl"]

    assert evaluate.main(["--results", str(tmp_path / "out"), "--json", str(tmp_path / "again.json")]) == 0
    assert json.loads((tmp_path / "again.json").read_text())["iou"] == first["iou"]
    assert evaluate.main([*nocs, "--frames", "1", "--truths", "maps"]) == 0
    assert "IoU released" in capsys.readouterr().out


def test_evaluate_names_missing_nocs_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--nocs", str(tmp_path / "nowhere")]) == 1
    assert "nowhere" in capsys.readouterr().err
    for wrong, message in (
        (["--results", "a", "--save", "b"], "--save requires --nocs"),
        (["--nocs", "a", "--frames", "0"], "--frames must be at least 1, got 0"),
    ):
        with pytest.raises(SystemExit):
            evaluate.main(wrong)
        assert message in capsys.readouterr().err
