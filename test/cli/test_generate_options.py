"""``generate`` of simulated scenes: options that mean nothing are refused, and what is made is told."""

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
    ("option", "goes_with"),
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
def test_options_that_mean_nothing_are_refused(
    option: list[str], goes_with: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        generate.main(["--seed", "1", "--out", str(tmp_path / "x.npz"), *option])
    assert f"{option[0]} goes with {goes_with}\n" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["--out", "--shards"])
def test_folders_are_made_and_clouds_counted(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "candle.yaml").write_text(f"base: nocs\n{CANDLE}")
    path = tmp_path / "new" / "folder" / "clouds.npz"
    options = ["--scenes", "1", "--seed", "3", "--categories", str(tmp_path / "candle.yaml"), target, str(path)]
    assert generate.main(options) == 0
    said = capsys.readouterr()
    assert "there is neither a shape nor a mesh of candle" in said.err
    last = said.out.splitlines()[-1]
    assert last.startswith(f"{path}: ") and last.endswith(", candle 0")
    if target == "--out":
        samples = CloudSamples.load(path)
        mugs = int((samples.category_index == samples.categories.index("mug")).sum())
        assert f"{len(samples)} clouds: bottle " in last and f", mug {mugs}," in last


def test_categories_of_which_nothing_can_be_drawn_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "candle.yaml").write_text(CANDLE)
    options = ["--scenes", "1", "--seed", "3", "--categories", str(tmp_path / "candle.yaml")]
    assert generate.main([*options, "--out", str(tmp_path / "x.npz")]) == 1
    assert "neither a shape nor a mesh of candle: name a shape in" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["--out", "--shards"])
def test_only_shards_are_gone_on_with(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "generate_samples", interrupted)
    monkeypatch.setattr(shard_writing, "generate_shards", interrupted)
    assert generate.main(["--seed", "3", target, str(tmp_path / "x")]) == 130
    goes_on = "; the same command continues after the completed shards" if target == "--shards" else ""
    assert capsys.readouterr().err == f"generate: interrupted{goes_on}\n"
