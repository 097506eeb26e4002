"""An added category with meshes in the commands ``generate`` and ``train``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from clipose_ros.cli import generate, train
from clipose_ros.data.samples import CloudSamples
from clipose_ros.inference.predictor import Predictor
from clipose_ros.resources import config_path

INDEX = """category,file,up,front,axial,unit,height_mm,split
candle,tall.stl,z,,yes,mm,,train
candle,small.stl,z,,yes,,40-60,val
"""


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    folder = tmp_path / "meshes"
    folder.mkdir()
    for name, height in (("tall", 150.0), ("small", 3.0)):
        trimesh.creation.cylinder(radius=height / 4, height=height, sections=24).export(folder / f"{name}.stl")
    (folder / "index.csv").write_text(INDEX)
    return folder


def generated(path: Path, *more: str) -> CloudSamples:
    categories = str(config_path("categories/with_candle.yaml"))
    arguments = ["--scenes", "2", "--seed", "5", "--out", str(path), "--categories", categories, *more]
    assert generate.main(arguments) == 0
    return CloudSamples.load(path)


def test_added_category_is_generated_trained_and_posed(tmp_path: Path, meshes: Path) -> None:
    clouds = {
        split: generated(tmp_path / f"{split}.npz", "--meshes", str(meshes), "--split", split, "--mesh-share", "1")
        for split in ("train", "val")
    }
    heights = {split: samples.size[samples.category_index == 6, 1] for split, samples in clouds.items()}
    np.testing.assert_allclose(heights["train"], 0.15, atol=1e-6)
    assert len(heights["train"]) and len(heights["val"])
    assert ((heights["val"] >= 0.04 - 1e-6) & (heights["val"] <= 0.06 + 1e-6)).all()
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: 1\nbatch: 2\nwarmup_steps: 0\n")
    out = tmp_path / "run"
    data = ["--data", str(tmp_path / "train.npz"), "--validation", str(tmp_path / "val.npz")]
    assert train.main(["--recipe", str(recipe), *data, "--out", str(out), "--device", "cpu"]) == 0
    predictor = Predictor.load(out / "model.safetensors", device="cpu")
    assert predictor.categories == clouds["train"].categories
    cloud = clouds["val"].points[clouds["val"].category_index == 6][:1]
    (pose,) = predictor.predict(cloud, ["candle"])
    assert pose.category == "candle"
    np.testing.assert_allclose(np.linalg.det(pose.T_camera_object[:3, :3]), 1.0, atol=1e-6)
    assert (pose.size > 0).all()


def test_train_rejects_clouds_of_different_categories(
    tmp_path: Path, meshes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generated(tmp_path / "seven.npz")
    assert generate.main(["--scenes", "1", "--seed", "4", "--out", str(tmp_path / "six.npz")]) == 0
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: 1\n")
    data = ["--data", str(tmp_path / "seven.npz"), "--validation", str(tmp_path / "six.npz")]
    assert train.main(["--recipe", str(recipe), *data, "--out", str(tmp_path / "run")]) == 1
    assert "candle" in capsys.readouterr().err


def test_generate_names_wrong_mesh_options(tmp_path: Path, meshes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--scenes", "1", "--seed", "4", "--out", str(tmp_path / "x.npz")]
    assert generate.main([*out, "--meshes", str(meshes)]) == 1
    assert "unknown category 'candle'" in capsys.readouterr().err
    assert generate.main([*out, "--meshes", str(tmp_path)]) == 1
    assert "index.csv" in capsys.readouterr().err
