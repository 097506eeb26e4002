"""The command ``evaluate --sequence`` with a stored sequence."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli import evaluate
from clipose_ros.cli.evaluate_timeline import evaluate_sequence_timeline
from clipose_ros.config import NetworkConfig
from clipose_ros.evaluation.runs.network_poses import NetworkPoses
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


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the options of a tiny untrained model."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_checkpoint(path, CLIPoseNet(TINY, NOCS_CATEGORIES))
    return ["--model", str(path), "--device", "cpu", "--engine", "pytorch", "--max-passes", "2"]


def test_evaluate_measures_accuracy_against_time_on_random_tables(
    tiny: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, record, plot = tmp_path / "film.npz", tmp_path / "record.json", tmp_path / "plot.png"
    command = ["--sequence", "0.1", "--tables", "1", "--film", str(film), *tiny]
    assert evaluate.main([*command, "--seed", "3", "--json", str(record), "--plot", str(plot)]) == 0
    values = json.loads(record.read_text())
    assert values["frames_per_second"] == 30 and set(values["timeline"]) == {"moving", "resting"}
    for figures in values["timeline"].values():
        assert figures["tables"] == 1 and figures["objects"] >= 1
        assert len(figures["tracker"]["mean"]["within_5deg_2cm"]) == 3
    assert "Camera resting, 1 tables" in capsys.readouterr().out
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert evaluate.main([*command, "--seed", "4"]) == 1
    assert "was recorded with other options" in capsys.readouterr().err


def test_accuracy_is_left_out_for_a_film_without_truths(capsys: pytest.CaptureFixture[str]) -> None:
    points, poses = np.zeros((3, 128, 3), np.float32), np.tile(np.eye(4), (3, 1, 1))
    old = RecordedSequence(points, np.arange(3), np.tile(["can"], 3), np.ones(3, dtype=np.int64), poses)

    class NoPredictor:
        categories, device, predict = NOCS_CATEGORIES, "cpu", None

    options = argparse.Namespace(film=Path("film.npz"), plot=None)
    assert evaluate_sequence_timeline(options, NetworkConfig(), NetworkPoses(old, NoPredictor())) == (
        [],
        {"timeline": None},
    )
    assert "'film.npz' was recorded by an earlier version and has no true poses" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sequence", "1", "--camera", "moving"], "--camera requires --tables"),
        (["--sequence", "1", "--tables", "0"], "--tables must be at least 1, got 0"),
        (["--sequence", "1", "--tables", "2", "--smoothing", "0.5"], "--smoothing cannot be combined with --tables"),
        (["--scenes", "1", "--tables", "2"], "--tables requires --sequence"),
        (["--sequence", "0.5"], "--sequence must be at least 1, got 0.5"),
    ],
)
def test_evaluate_rejects_wrong_options_of_tables(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        evaluate.main(options)
    assert message in capsys.readouterr().err
