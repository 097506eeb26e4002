"""The commands ``generate`` and ``evaluate`` together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli import evaluate, generate
from clipose_ros.data.samples import CloudSamples
from clipose_ros.evaluation.runs.recorded_sequence import RecordedSequence
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.inference.predictor import Predictor
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.types import FloatArray, PoseEstimate

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clouds") / "some.npz"
    assert generate.main(["--scenes", "1", "--seed", "3", "--out", str(path)]) == 0
    return path


def test_evaluate_reports_on_generated_clouds(clouds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "tiny.safetensors", CLIPoseNet(TINY, NOCS_CATEGORIES))
    figures_path, page = tmp_path / "figures.json", tmp_path / "report.html"
    arguments = [
        "--model",
        str(tmp_path / "tiny.safetensors"),
        "--data",
        str(clouds),
        "--device",
        "cpu",
        "--json",
        str(figures_path),
        "--report",
        str(page),
        "--breakdown",
    ]
    assert evaluate.main(arguments) == 0
    figures = json.loads(figures_path.read_text())
    counts = {name: row["count"] for name, row in figures["shares"].items()}
    assert counts.pop("mean") == sum(counts.values()) == len(CloudSamples.load(clouds))
    assert figures["iou"]["corrected"]["categories"]["mean"]["truths"] == len(CloudSamples.load(clouds))
    assert list(figures["iou_equal_scores"]) == ["corrected"]
    assert figures["latency"]["median_ms"] > 0.0 and "distance, m" in figures["breakdown"]
    printed = capsys.readouterr().out
    for words in ("10deg5cm", "distance, m", "whose score is"):
        assert words in " ".join(printed.split()), words
    html = page.read_text(encoding="utf-8")
    assert "Accuracy by visibility" in html and "Worst poses" in html and "poses of six clouds at once on cpu" in html


class MeanPredictor:
    """Predictor that places every object at the mean of its points."""

    categories = NOCS_CATEGORIES
    device = "cpu"

    def predict(self, points_camera: FloatArray, categories: Sequence[str]) -> list[PoseEstimate]:
        poses = make_transform(np.tile(np.eye(3), (len(categories), 1, 1)), points_camera.mean(axis=1))
        return [PoseEstimate(c, T, np.full(3, 0.1), 0.9, (0.9, 0.9)) for c, T in zip(categories, poses, strict=True)]


def test_evaluate_measures_tracks_on_a_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.repeat(np.arange(30), 2)
    points = np.random.default_rng(0).uniform([-0.05, -0.05, 0.95], [0.05, 0.05, 1.05], (60, 256, 3))
    poses = np.tile(np.eye(4), (30, 1, 1))
    recorded = RecordedSequence(
        points.astype(np.float32), rows, np.tile(["can", "mug"], 30), np.tile([1, 2], 30), poses
    )
    recorded.save(tmp_path / "film.npz")
    sequence = ["--sequence", "1", "--film", str(tmp_path / "film.npz"), "--smoothing", "0", "0.8"]
    monkeypatch.setattr(Predictor, "load", lambda *_, **__: MeanPredictor())
    assert evaluate.main([*sequence, "--json", str(tmp_path / "figures.json")]) == 0
    settings = json.loads((tmp_path / "figures.json").read_text())["settings"]
    assert [(s["frame"], s["smoothing"]) for s in settings] == [(f, v) for f in ("world", "camera") for v in (0.0, 0.8)]
    assert "Static objects and a moving camera" in capsys.readouterr().out
    for wrong in (["--sequence", "0"], [*sequence, "--report", "x.html"], ["--data", "x", "--film", "y"]):
        with pytest.raises(SystemExit):
            evaluate.main(wrong)


def test_commands_name_missing_files_and_scenes(
    clouds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["--model", str(tmp_path / "no.safetensors"), "--data", str(clouds)]) == 1
    assert "no.safetensors" in capsys.readouterr().err
    assert generate.main(["--scenes", "0", "--seed", "1", "--out", str(tmp_path / "x.npz")]) == 1
    assert "more scenes" in capsys.readouterr().err
