"""A dry run tells what would be trained, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipose_ros.cli.train import main
from clipose_ros.data.samples import CloudSamples
from clipose_ros.model import network
from clipose_ros.model.network import Architecture


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch: pytest.MonkeyPatch, tiny_architecture: Architecture) -> None:
    monkeypatch.setitem(network.PRESETS, "clipose_small", tiny_architecture)


def test_a_dry_run_tells_all_and_writes_nothing(
    tmp_path: Path, seen_samples: CloudSamples, tiny_clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "clouds.npz"
    seen_samples.save(data)
    before = sorted(tmp_path.rglob("*"))
    arguments = ["--recipe", "clipose_small", "--data", str(data), "--validation", str(data)]
    arguments += ["--out", str(tmp_path / "run"), "--device", "cpu", "--dry-run", "batch=4", "threads=1", "steps=1000"]
    arguments += ["clip_loss.cloud_text=1", f"clip.model={tiny_clip}", "clip.pretrained=random"]
    assert main([*arguments, "initial_points=128", "initial_points_fraction=0.3", "shape.point_matching=2"]) == 0
    said = capsys.readouterr().out
    for expected in (str(data), "1000 steps of 4 clouds", "the first 300 steps with 128 points", "point_matching 2"):
        assert expected in said
    assert "cloud_text 1" in said and "temperature" not in said and tiny_clip in said
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert rows["mug"] == ["2", "2"] and rows["all"] == ["12", "12"]
    parts = [int(rows[name][0].replace(",", "")) for name in ("encoder", "head_y", "head_x", "head_ts")]
    whole = next(line for line in said.splitlines() if "the network" in line)
    assert f"{sum(parts):,} parameters" in whole
    assert "minutes" in said
    assert sorted(tmp_path.rglob("*")) == before
