"""Training with the recipe of the paper on NOCS frames, as shards with images and texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from clipose_ros.cli import generate, train
from clipose_ros.data.nocs.fixture import write_nocs_fixture
from clipose_ros.model import network
from clipose_ros.model.checkpoint import load_checkpoint
from clipose_ros.model.network import Architecture


@pytest.mark.timeout(600)  # compiles kernels where nobody has yet
def test_clipose_recipe_trains_on_shards_of_nocs_frames(
    tmp_path: Path, tiny_clip: str, tiny_architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(network.PRESETS, "clipose", tiny_architecture)
    nocs, shards, held_back, run = (tmp_path / name for name in ("nocs", "shards", "validation.npz", "run"))
    write_nocs_fixture(nocs, "camera_train", frames=2, seed=1)
    write_nocs_fixture(nocs, "camera_val", frames=1, seed=2)
    options = ["--nocs", str(nocs), "--seed", "0", "--image-size", "32"]
    each = ["--subset", "camera_train", "--shards", str(shards), "--scenes-per-shard", "1"]
    assert generate.main([*options, *each]) == 0
    assert generate.main([*options, "--subset", "camera_val", "--out", str(held_back)]) == 0
    settings = ["batch=6", "steps=2", "warmup_steps=1", "validate_every=2", "threads=1", "tensorboard=false"]
    settings += [f"clip.model={tiny_clip}", "clip.pretrained=random"]
    settings += ["shape.symmetry_widths=[8]", "shape.face_widths=[8]"]
    files = ["--data", str(shards), "--validation", str(held_back), "--out", str(run), "--device", "cpu"]
    assert train.main(["--recipe", "clipose", *files, *settings]) == 0
    kept = torch.load(run / "state.pt", weights_only=True)
    assert kept["step"] == 2 and any(
        "prompt" in name for part in kept.values() if isinstance(part, dict) for name in part
    )
    assert list((run / "text_features").iterdir()), "texts were encoded"
    assert load_checkpoint(run / "model.safetensors").categories.names[-1] == "mug"
