"""Options and messages of the command ``generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clipose_ros.cli import generate
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.shards import writer as shard_writing

CANDLE = """categories:
  - name: candle
    symmetry: [axial_y, mirror_xy, mirror_yz]
    mean_size: [0.05, 0.13, 0.05]
"""


@pytest.mark.parametrize(
    ("option", "requirement"),
    [
        (["--split", "val"], "--meshes"),
        (["--mesh-share", "1"], "--meshes"),
        (["--index", "index.csv"], "--meshes"),
        (["--frames", "9"], "--nocs"),
        (["--subset", "real_train"], "--nocs"),
        (["--box-centred-mugs"], "--nocs"),
        (["--workers", "2"], "--shards"),
        (["--scenes-per-shard", "2"], "--shards"),
    ],
)
def test_generate_rejects_options_without_effect(
    option: list[str], requirement: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        generate.main(["--seed", "1", "--out", str(tmp_path / "x.npz"), *option])
    assert f"{option[0]} requires {requirement}\n" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["--out", "--shards"])
def test_generate_creates_folders_and_prints_counts(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "candle.yaml").write_text(f"base: nocs\n{CANDLE}")
    path = tmp_path / "new" / "folder" / "clouds.npz"
    options = ["--scenes", "1", "--seed", "3", "--categories", str(tmp_path / "candle.yaml"), target, str(path)]
    assert generate.main(options) == 0
    printed = capsys.readouterr()
    assert "there is neither a shape nor a mesh of candle" in printed.err
    last = printed.out.splitlines()[-1]
    assert last.startswith(f"{path}: ") and last.endswith(", candle 0")
    if target == "--out":
        samples = CloudSamples.load(path)
        mugs = int((samples.category_index == samples.categories.index("mug")).sum())
        assert f"{len(samples)} clouds: bottle " in last and f", mug {mugs}," in last


def test_generate_names_categories_without_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "candle.yaml").write_text(CANDLE)
    options = ["--scenes", "1", "--seed", "3", "--categories", str(tmp_path / "candle.yaml")]
    assert generate.main([*options, "--out", str(tmp_path / "x.npz")]) == 1
    assert "neither a shape nor a mesh of candle: name a shape in" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["--out", "--shards"])
def test_generate_can_be_resumed_with_shards_only(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(generate.SimulatedScenes, "generate_samples", interrupted)
    monkeypatch.setattr(shard_writing, "generate_shards", interrupted)
    assert generate.main(["--seed", "3", target, str(tmp_path / "x")]) == 130
    resume_hint = "; the same command continues after the completed shards" if target == "--shards" else ""
    assert capsys.readouterr().err == f"generate: interrupted{resume_hint}\n"
