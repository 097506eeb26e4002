"""Shipped recipes, built small: a step, trained parameters, and resumption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.train import main, recipe_path, recipes
from clipose_ros.data.prompts import prompt_without_pose
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.model import clip as clip_module
from clipose_ros.model import network
from clipose_ros.model.fusion import FusionNet
from clipose_ros.model.network import Architecture
from clipose_ros.training.config import TrainConfig, merged, read_recipe
from clipose_ros.training.trainer import Trainer

NAMES = [path.stem for path in recipes()]
ROWS = {"3": 10, "4": 7, "5": 8, "6": 9, "7": 4, "8": 5, "9": 3}


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch: pytest.MonkeyPatch, tiny_architecture: Architecture) -> None:
    for preset in network.PRESETS:
        monkeypatch.setitem(network.PRESETS, preset, tiny_architecture)


@pytest.fixture
def small(tiny_clip: str, image_bank: Path) -> dict[str, Any]:
    """What makes any recipe small."""
    return {
        "batch": 6, "steps": 4, "warmup_steps": 1, "threads": 1, "validate_every": 4,
        "clip": {"model": tiny_clip, "pretrained": "random"},
        "shape_loss": {"symmetry_widths": [8], "face_widths": [8]}, "image_bank": {"file": str(image_bank)},
    }  # fmt: skip


def build(name: str, small: dict[str, Any], samples: CloudSamples, folder: Path, **changes: Any) -> Trainer:
    settings = merged(merged(read_recipe(recipe_path(name)).to_mapping(), small), changes)
    config = TrainConfig.from_mapping(settings)
    torch.manual_seed(config.seed)
    return Trainer(config, NOCS_CATEGORIES, samples, samples, folder)


def test_every_table_row_has_a_recipe() -> None:
    assert {n: sum(name.startswith(f"table{n}_") for name in NAMES) for n in ROWS} == ROWS
    assert {"clipose", "clipose_small"} <= set(NAMES)
    for path in recipes():
        assert path.read_text().startswith("# "), path


@pytest.mark.parametrize("name", NAMES)
def test_recipe_step_trains_expected_parameters_and_terms(
    name: str, small: dict[str, Any], seen_samples: CloudSamples, tmp_path: Path
) -> None:
    trainer = build(name, small, seen_samples, tmp_path, optimizer="adamw")
    config = trainer.config
    before = {
        n: p.detach().clone()
        for m in (trainer.modules.network, trainer.modules.extras)
        for n, p in m.named_parameters()
    }
    terms = trainer.optimise()
    counted = {n for n, weight in config.clip_loss.to_mapping().items() if weight} - {
        "temperature",
        "classification_scale",
    }
    assert {n for n in ("cloud_image", "cloud_text", "image_text", "classification") if n in terms} == counted
    assert {n for n, weight in config.shape_loss.to_mapping().items() if n in terms} == {
        n for n, weight in config.shape_loss.to_mapping().items() if not isinstance(weight, tuple) and weight
    }
    assert all(np.isfinite(value) for value in terms.values())
    moved = {
        n
        for m in (trainer.modules.network, trainer.modules.extras)
        for n, p in m.named_parameters()
        if not torch.equal(p, before[n])
    }
    assert any(n.startswith("encoder.") for n in moved) and any(n.startswith("head_ts.") for n in moved)
    tokens = any(n.endswith("tower.prompts") for n in moved)
    assert tokens == (config.clip_loss.with_images and config.clip.prompt_length > 0)
    assert any(n.endswith("bank.projection.weight") for n in moved) == config.with_image_bank
    assert any(n.endswith("text_projection.weight") for n in moved) == config.clip.tune_text
    assert not any("tower.visual" in n for n in moved if not n.endswith("visual.proj"))
    assert isinstance(trainer.modules.network, FusionNet) == (config.fusion.kind != "none")


@pytest.mark.parametrize("name", ["table6_1", "table6_2", "table6_6"])
def test_fusion_run_is_validated_but_writes_no_model(
    name: str, small: dict[str, Any], seen_samples: CloudSamples, tmp_path: Path
) -> None:
    table = build(name, small, seen_samples, tmp_path).run()
    assert np.isfinite(table["mean"].size_percent_median)
    assert (tmp_path / "state.pt").is_file() and not (tmp_path / "model.safetensors").exists()


def require_equal_when_resumed(make: Callable[[str], Trainer]) -> dict[str, Any]:
    """Train whole and in two halves, each trainer made for a folder by name; return the last state of the whole run."""
    whole = make("whole")
    whole.run()
    half = make("parts")
    while half.progress.step < half.config.steps // 2:
        half.optimise()
    half.save({})
    torch.manual_seed(99)
    rest = make("parts")
    rest.resume()
    rest.run()
    for one, other in ((whole.modules.network, rest.modules.network), (whole.modules.extras, rest.modules.extras)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
    state: dict[str, Any] = torch.load(whole.run_dir.path / "state.pt", weights_only=True)
    return state


def test_resumed_clipose_run_equals_uninterrupted_run(
    small: dict[str, Any], seen_samples: CloudSamples, tmp_path: Path
) -> None:
    changes = {"clip": {"tune_text": True}, "steps": 8, "validate_every": 8}  # Lookahead moves in step 6
    state = require_equal_when_resumed(lambda part: build("clipose", small, seen_samples, tmp_path / part, **changes))
    names = set(state["extras"])
    assert any(n.endswith("prompts") for n in names) and not any("resblocks" in n for n in names)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_resumed_bank_run_equals_uninterrupted_run_and_stores_no_feature_of_the_bank(
    optimizer: str, small: dict[str, Any], seen_samples: CloudSamples, tmp_path: Path
) -> None:
    blind = replace(seen_samples, images=None)
    changes = {"steps": 6, "validate_every": 6, "optimizer": optimizer}
    state = require_equal_when_resumed(lambda part: build("clip_bank_both", small, blind, tmp_path / part, **changes))
    assert {name for name in state["extras"] if "bank" in name} == {"1.bank.projection.weight"}


def test_muon_is_refused_beside_the_prompts_of_an_image_tower(
    small: dict[str, Any], seen_samples: CloudSamples, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"'optimizer' must be adamw or ranger with the image tower.*got muon"):
        build("clipose", small, seen_samples, tmp_path, optimizer="muon")


@pytest.mark.parametrize(("setting", "message"), [
    ({"image_bank": {"file": ""}}, r"set image_bank\.file to a \.npz"),
    ({"image_bank": {"tune": False}}, r"'image_bank\.tune' is false.*both weights to 0"),
    ({"fusion": {"kind": "concat_before", "modality": "image"}}, r"clip\.images=tower, got bank"),
])  # fmt: skip
def test_bank_recipe_that_cannot_train_names_the_setting(
    setting: dict[str, Any], message: str, small: dict[str, Any], seen_samples: CloudSamples, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        build("clip_bank_both", small, seen_samples, tmp_path, **setting)


def test_bank_of_images_alone_loads_no_clip_and_no_text(
    small: dict[str, Any], seen_samples: CloudSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("CLIP was loaded")

    monkeypatch.setattr(clip_module, "load_clip", refuse)
    trainer = build("clip_bank_image", small, replace(seen_samples, images=None), tmp_path)
    assert "cloud_image" in trainer.optimise()


def test_text_features_from_file_train_without_clip(
    small: dict[str, Any], seen_samples: CloudSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("CLIP was loaded")

    monkeypatch.setattr(clip_module, "load_clip", refuse)
    features = np.random.default_rng(0).normal(size=(6, 12)).astype(np.float32)
    np.save(tmp_path / "six.npy", features)
    blind = replace(seen_samples, images=None)
    trainer = build("table3_b1", small, blind, tmp_path / "run", text_features=str(tmp_path / "six.npy"))
    assert "cloud_text" in trainer.optimise()
    assert trainer.modules.clip_features is not None and trainer.modules.clip_features.width == 12
    words = trainer.modules.clip_features.category_text()
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(words.numpy(), expected, atol=1e-6)
    with pytest.raises(DataError, match="texts have no feature"):
        build("table3_c2", small, blind, tmp_path / "run", text_features=str(tmp_path / "six.npy"),
              clip_loss={"cloud_image": 0.0})  # fmt: skip


def test_recipe_that_needs_images_raises_error_without_images(
    small: dict[str, Any], seen_samples: CloudSamples, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"--image-size.*clip_loss\.cloud_image=0"):
        build("clipose", small, replace(seen_samples, images=None), tmp_path)


def test_text_features_are_stored_with_model_name(
    small: dict[str, Any], seen_samples: CloudSamples, tmp_path: Path
) -> None:
    build("table9_1", small, seen_samples, tmp_path, text_features=str(tmp_path / "texts"))
    (file,) = (tmp_path / "texts").glob("*.npy")
    records = np.load(file)
    assert file.stem == f"{small['clip']['model']}.random" and set(records["model"]) == {
        small["clip"]["model"] + "/random"
    }
    assert list(records["text"]) == [prompt_without_pose(name) for name in NOCS_CATEGORIES.names]


def test_recipes_are_listed_and_found_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES and all(len(line.split()) > 2 for line in lines)
    with pytest.raises(ConfigError, match="did you mean 'table3_d1'"):
        recipe_path("table3_d11")


def test_base_recipe_is_read_first_and_cycles_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("steps: 5\naugment: {roll_deg: 1.0, tilt_deg: 2.0}\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\naugment: {tilt_deg: 3.0}\n")
    config = read_recipe(tmp_path / "b.yaml")
    assert (config.steps, config.augment.roll_deg, config.augment.tilt_deg) == (5, 1.0, 3.0)
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    with pytest.raises(ConfigError, match="own base"):
        read_recipe(tmp_path / "b.yaml")


def test_clipose_recipe_has_settings_of_paper() -> None:
    config = read_recipe(recipe_path("clipose"))
    assert (config.optimizer, config.batch, config.learning_rate, config.lr_flat_fraction) == ("ranger", 24, 1e-4, 0.72)
    assert (config.clip.name, config.clip.prompt_length, config.clip_loss.temperature) == ("ViT-B-16/openai", 10, 0.07)
