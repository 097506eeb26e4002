"""Round trip of checkpoints, and errors for missing, corrupt and unsuitable files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from clipose_ros.categories import NOCS_CATEGORIES, Category, CategorySet, Symmetry
from clipose_ros.errors import CheckpointError
from clipose_ros.model.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from clipose_ros.model.network import Architecture, CLIPoseNet

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, CLIPoseNet(TINY, NOCS_CATEGORIES), {"step": 7})
    return path


def test_checkpoint_round_trip_keeps_network(saved: Path) -> None:
    torch.manual_seed(3)
    written, read = CLIPoseNet(TINY, NOCS_CATEGORIES), load_checkpoint(saved)
    assert read.architecture == TINY and read.categories == NOCS_CATEGORIES and not read.training
    assert all(torch.equal(value, read.state_dict()[name]) for name, value in written.state_dict().items())
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]  # no leftover of the writing


def test_checkpoint_keeps_categories(tmp_path: Path) -> None:
    seven = CategorySet((*NOCS_CATEGORIES, Category(7, "box", Symmetry(), (0.1, 0.2, 0.3))))
    save_checkpoint(tmp_path / "seven.safetensors", CLIPoseNet(TINY, seven))
    assert load_checkpoint(tmp_path / "seven.safetensors").categories == seven


def test_missing_checkpoint_raises_checkpoint_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors.*does not exist"):
        load_checkpoint(tmp_path / "none.safetensors")


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"rubbish" * 100])
def test_corrupt_checkpoint_raises_checkpoint_error(saved: Path, damage: object) -> None:
    saved.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(CheckpointError, match=r"tiny\.safetensors.*corrupt"):
        load_checkpoint(saved)


def rewrite(path: Path, state: dict[str, torch.Tensor] | None = None, **metadata: str) -> None:
    facts = {
        "format": FORMAT,
        "architecture": json.dumps(TINY.to_mapping()),
        "categories": json.dumps(NOCS_CATEGORIES.to_records()),
    }
    save_file(state or load_file(path), path, facts | metadata)


def test_file_of_other_format_is_rejected(saved: Path) -> None:
    rewrite(saved, format="somebody_else/3")
    with pytest.raises(CheckpointError, match="somebody_else/3"):
        load_checkpoint(saved)


def test_weights_of_other_architecture_are_rejected(saved: Path) -> None:
    wider = Architecture(widths=(8, 8, 8, 16, 32), supports=3, neighbours=8, head_widths=(16, 8))
    rewrite(saved, architecture=json.dumps(wider.to_mapping()))
    with pytest.raises(CheckpointError, match=r"different architecture.*expected \(.*got \("):
        load_checkpoint(saved)


def test_unknown_architecture_settings_are_rejected(saved: Path) -> None:
    rewrite(saved, architecture=json.dumps(TINY.to_mapping() | {"wavelets": 3}))
    with pytest.raises(CheckpointError, match="wavelets"):
        load_checkpoint(saved)


def test_non_finite_weights_are_rejected(saved: Path) -> None:
    state = load_file(saved)
    state["head_y.cloud2.bias"][0] = float("nan")
    rewrite(saved, state)
    with pytest.raises(CheckpointError, match=r"not finite in 'head_y\.cloud2\.bias'"):
        load_checkpoint(saved)
