"""Training states: damaged, foreign and forged files are refused in one line, before they cost memory."""

from __future__ import annotations

import io
import os
import random
import resource
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from clipose_ros.errors import UnreadableFileError
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.run_dir import RunDir, TrainingError
from clipose_ros.training.state_file import read_state
from clipose_ros.training.trainer import load_run_state

STATE = Path(__file__).parents[1] / "golden" / "files" / "run" / "state.pt"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    shutil.copy(STATE, tmp_path / "state.pt")
    return tmp_path / "state.pt"


def require_refused(path: Path) -> str:
    """Return the message of the error, one line with the remedy."""
    with pytest.raises(TrainingError) as error:
        RunDir(path.parent).load_state("cpu")
    message = str(error.value)
    assert message.isprintable() and len(message) < 500, message
    assert "state.pt' cannot be resumed (" in message and "train into another folder" in message
    return message


def test_stored_state_is_read(path: Path) -> None:
    expected, state = torch.load(STATE, weights_only=True), read_state(path, "cpu")
    assert state["step"] == expected["step"] and state["config"] == expected["config"]
    assert all(torch.equal(value, state["network"][name]) for name, value in expected["network"].items())


def test_remedy_names_best_model_if_there_is_one(path: Path) -> None:
    path.write_bytes(b"")
    assert "--start" not in require_refused(path)
    (path.parent / "best.safetensors").touch()
    assert f"with --start {path.parent / 'best.safetensors'}" in require_refused(path)


def test_damage_is_noticed(path: Path) -> None:
    content, rng = path.read_bytes(), random.Random(3)
    expected = read_state(path, "cpu")
    refused = 0
    for _ in range(120):
        damaged = bytearray(content)
        place = rng.randrange(len(content))
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged if rng.random() < 0.8 else content[:place])
        try:
            state = read_state(path, "cpu")
        except UnreadableFileError:
            refused += 1
        else:  # between two records
            for part in ("network", "average"):
                assert all(torch.equal(value, state[part][name]) for name, value in expected[part].items())
            assert state["config"] == expected["config"] and state["step"] == expected["step"]
    assert refused > 80


def forge(path: Path, content: object, **options: Any) -> None:
    """Write a file as PyTorch does, of any content."""
    torch.save(content, path, **options)


class Program:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


class Bomb:
    """Reserves memory when it is unpickled, with a type that PyTorch accepts."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (1 << 36,)


@pytest.mark.parametrize("new", [True, False])
def test_pickled_program_does_not_run(path: Path, new: bool) -> None:
    program = Program(f"touch {path.parent / 'ran'}")
    forge(path, {"step": program}, _use_new_zipfile_serialization=new)
    require_refused(path)
    assert not (path.parent / "ran").exists()


def test_forged_sizes_cost_no_memory(path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    forge(path, {"step": Bomb()})
    assert "bytearray" in require_refused(path)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 27))
    path.write_bytes(content.getvalue())
    assert "states more than its" in require_refused(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", os.urandom(99))
        archive.writestr("x", b"x")
    assert "compressed" in require_refused(path)
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # a sparse file
    require_refused(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KB


def nested(depth: int) -> object:
    """Return mappings within each other."""
    value: object = 1
    for _ in range(depth):
        value = {"augment": value}
    return value


@pytest.mark.parametrize(
    "entry",
    [
        {"step": "3"}, {"step": True}, {"step": -1}, {"step": None}, {"best": "x"}, {"config": []}, {"network": None},
        {"average": 3}, {"optimizer": []}, {"random": "x"}, {"extras": torch.zeros(3)},
    ],
)  # fmt: skip
def test_entries_of_other_types_are_refused(path: Path, entry: dict[str, object]) -> None:
    forge(path, torch.load(STATE, weights_only=True) | entry)
    assert "entry" in (message := require_refused(path)) or "step is -1" in message


@pytest.mark.parametrize("content", [[1], "x", None, {}, {"step": 3}, torch.zeros(3)])
def test_other_contents_are_refused(path: Path, content: object) -> None:
    forge(path, content)
    require_refused(path)


@pytest.mark.parametrize(
    "recipe", [{"wavelets": 3}, {"steps": "many"}, {"augment": nested(3000)}, {"a": 1, "a.b": 2}, {1: 2}]
)
def test_recipe_that_cannot_be_read_is_refused(path: Path, recipe: dict[Any, object]) -> None:
    state = torch.load(STATE, weights_only=True)
    config = TrainConfig.from_mapping(state["config"])
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)  # for the writing of nested mappings
    forge(path, state | {"config": recipe})
    sys.setrecursionlimit(limit)
    with pytest.raises(TrainingError, match=r"state\.pt' cannot be resumed \(") as error:
        load_run_state(RunDir(path.parent), config, "cpu")
    assert str(error.value).isprintable()


def test_other_recipe_is_named(path: Path) -> None:
    config = TrainConfig.from_mapping(torch.load(STATE, weights_only=True)["config"] | {"batch": 17})
    with pytest.raises(TrainingError, match=r"written with another recipe \(batch was 4, is 17\)"):
        load_run_state(RunDir(path.parent), config, "cpu")
