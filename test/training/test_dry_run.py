"""Description of a run by a dry run, and its temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.train import main
from clipose_ros.data.samples import CloudSamples
from clipose_ros.model import network
from clipose_ros.model.network import Architecture
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.dry_run import describe_run, temporary_run_dir
from clipose_ros.training.trainer import Trainer


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch: pytest.MonkeyPatch, tiny_architecture: Architecture) -> None:
    monkeypatch.setitem(network.PRESETS, "clipose_small", tiny_architecture)


def test_dry_run_command_describes_run_and_writes_nothing(
    tmp_path: Path, seen_samples: CloudSamples, tiny_clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "clouds.npz"
    seen_samples.save(data)
    before = sorted(tmp_path.rglob("*"))
    arguments = ["--recipe", "clipose_small", "--data", str(data), "--validation", str(data)]
    # settings may stand between options
    arguments += ["--out", str(tmp_path / "run"), "batch=4", "threads=1", "--device", "cpu", "--dry-run", "steps=1000"]
    arguments += ["clip_loss.cloud_text=1", f"clip.model={tiny_clip}", "clip.pretrained=random"]
    assert main([*arguments, "initial_points=128", "initial_points_fraction=0.3", "shape.point_matching=2"]) == 0
    said = capsys.readouterr().out
    for expected in (str(data), "1000 steps of 4 clouds", "the first 300 steps use 128 points", "point_matching 2"):
        assert expected in said
    assert "cloud_text 1" in said and "temperature" not in said and tiny_clip in said
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert rows["mug"] == ["2", "2"] and rows["all"] == ["12", "12"]
    parts = [int(rows[name][0].replace(",", "")) for name in ("encoder", "head_y", "head_x", "head_ts")]
    whole = next(line for line in said.splitlines() if line.startswith("  total "))
    assert f"{sum(parts):,} parameters" in whole
    assert "minutes" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_description_counts_features_of_a_bank(tmp_path: Path, seen_samples: CloudSamples, image_bank: Path) -> None:
    settings = {"clip": {"images": "bank"}, "clip_loss": {"cloud_image": 1.0}, "image_bank": {"file": str(image_bank)}}
    config = TrainConfig.from_mapping({"batch": 4, "steps": 4, "tensorboard": False, **settings})
    trainer = Trainer(config, NOCS_CATEGORIES, seen_samples, seen_samples, tmp_path)
    description = describe_run(trainer, {"training": ["a.npz"], "validation": ["b.npz"]})
    assert "13 features (bottle 3, bowl 2, camera 2, can 1, laptop 2, mug 3), 0 negatives" in description
    assert "images: image bank" in description


def test_temporary_run_dir_copies_text_features_and_is_removed(tmp_path: Path) -> None:
    (tmp_path / "text_features").mkdir()
    (tmp_path / "text_features" / "model.npy").write_bytes(b"features")
    with temporary_run_dir(TrainConfig(steps=7), tmp_path) as (config, folder):
        assert config == TrainConfig(steps=7) and folder != tmp_path
        assert (folder / "text_features" / "model.npy").read_bytes() == b"features"
        (folder / "text_features" / "other.npy").touch()
    assert not folder.exists()
    assert [path.name for path in (tmp_path / "text_features").iterdir()] == ["model.npy"]


def test_temporary_run_dir_copies_folder_that_the_recipe_names(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "model.npy").touch()
    with temporary_run_dir(TrainConfig(text_features=str(tmp_path / "texts")), tmp_path / "run") as (config, folder):
        assert config.text_features == "" and (folder / "text_features" / "model.npy").is_file()


def test_temporary_run_dir_keeps_path_of_a_features_file(tmp_path: Path) -> None:
    recipe = TrainConfig(text_features=str(tmp_path / "six.npy"))
    with temporary_run_dir(recipe, tmp_path) as (config, folder):
        assert config == recipe and not list(folder.iterdir())


def test_description_counts_remaining_steps_and_validations(tmp_path: Path, seen_samples: CloudSamples) -> None:
    config = TrainConfig(
        steps=100, batch=4, validate_every=40, initial_points=128, initial_points_fraction=0.3, tensorboard=False
    )
    trainer = Trainer(config, NOCS_CATEGORIES, seen_samples, seen_samples, tmp_path)
    for _ in range(2):
        trainer.optimise()
    lines = describe_run(trainer, {"training": ["a.npz", "b.npz"], "validation": ["c.npz"]}).splitlines()
    rows = {line[:14].strip(): line[14:].split() for line in lines}
    assert "  training    a.npz, b.npz" in lines and "  resumes at step 2" in lines
    assert rows["early steps"][0] == "28" and rows["steps"][0] == "70" and rows["validations"][0] == "3"
    network = trainer.modules.network
    assert rows["total"][0].replace(",", "") == str(sum(p.numel() for p in network.parameters()))


def test_description_lists_enabled_loss_weights_only(tmp_path: Path, seen_samples: CloudSamples) -> None:
    config = TrainConfig.from_mapping({"steps": 1, "batch": 2, "pose_loss": {"size": 3.0, "cosine": 0.0}})
    torch.manual_seed(0)
    trainer = Trainer(config, NOCS_CATEGORIES, seen_samples, seen_samples, tmp_path)
    lines = {line.split()[0]: line for line in describe_run(trainer, {}).splitlines() if line.strip()}
    assert "size 3" in lines["pose"] and "cosine" not in lines["pose"]
    assert lines["shape"].split() == ["shape", "none"] and lines["alignment"].split() == ["alignment", "none"]
