"""``generate`` and ``evaluate`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli import evaluate, generate
from clipose_ros.data.samples import CloudSamples
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.network import Architecture, CLIPoseNet

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clouds") / "some.npz"
    assert generate.main(["--scenes", "1", "--seed", "3", "--out", str(path)]) == 0
    return path


def test_generated_clouds_can_be_evaluated(clouds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "tiny.safetensors", CLIPoseNet(TINY, NOCS_CATEGORIES))
    report = tmp_path / "figures.json"
    arguments = [
        "--model",
        str(tmp_path / "tiny.safetensors"),
        "--data",
        str(clouds),
        "--device",
        "cpu",
        "--json",
        str(report),
    ]
    assert evaluate.main(arguments) == 0
    figures = json.loads(report.read_text())
    counts = {name: row["count"] for name, row in figures.items()}
    assert counts.pop("mean") == sum(counts.values()) == len(CloudSamples.load(clouds))
    assert "10deg5cm" in capsys.readouterr().out


def test_what_is_missing_is_named(clouds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--model", str(tmp_path / "no.safetensors"), "--data", str(clouds)]) == 1
    assert "no.safetensors" in capsys.readouterr().err
    assert generate.main(["--scenes", "0", "--seed", "1", "--out", str(tmp_path / "x.npz")]) == 1
    assert "more scenes" in capsys.readouterr().err
