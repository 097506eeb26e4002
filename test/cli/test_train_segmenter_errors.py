"""Faults that ``train_segmenter`` reports in one line, without a trace and without half a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from clipose_ros.cli.train_segmenter import main
from clipose_ros.run_lock import locked
from clipose_ros.segmentation.isolation import isolate_ultralytics, read_checkpoint
from clipose_ros.segmenter_training.dataset import ImageSetConfig, write_images

pytestmark = pytest.mark.skipif(find_spec("ultralytics") is None, reason="ultralytics is optional (AGPL-3.0)")

RECIPE = "epochs: 1\nbatch: 3\nimage_size: 64\n"


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two scenes."""
    folder = tmp_path_factory.mktemp("original")
    for part in ("train", "val"):
        write_images(folder, ImageSetConfig(1, part, 96, 64), 1, log=lambda _: None)
    return folder


@pytest.fixture
def data(original: Path, tmp_path: Path) -> Path:
    """A copy of the data set that a test may damage; its folder is relative."""
    shutil.copytree(original, tmp_path / "data")
    edit(tmp_path / "data/dataset.yaml", path=".")
    return tmp_path / "data"


@pytest.fixture
def refused(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a verb that must fail with one line, and return the line."""
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    def run(verb: str, *options: str) -> str:
        common = ["--data", str(data / "dataset.yaml")]
        if verb == "train":
            common += ["--out", str(tmp_path / "out"), "--recipe", str(tmp_path / "recipe.yaml")]
        capsys.readouterr()
        assert main([verb, *common, *options]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("train_segmenter: ")
        assert not list(tmp_path.rglob("*.part"))
        return line

    return run


def edit(file: Path, **changes: Any) -> None:
    """Change entries of a YAML file; None removes one."""
    document = yaml.safe_load(file.read_text()) | changes
    file.write_text(yaml.safe_dump({key: value for key, value in document.items() if value is not None}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val": None}, "needs 'val: images/val'"),
        ({"val": "images/nowhere"}, "the folder of 'val' does not exist"),
        ({"names": {0: "bottle"}}, "expected a class number from 0 to 0 as in 'names'"),
    ],
)
def test_unusable_data_sets_are_named(
    data: Path, refused: Callable[..., str], changes: dict[str, Any], message: str
) -> None:
    edit(data / "dataset.yaml", **changes)
    assert message in refused("train")


def test_downloads_and_caches_of_a_data_set_run_no_code(
    data: Path, tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "executed"
    edit(data / "dataset.yaml", val="images/none", download=f"import os\nos.mkdir({str(victim)!r})")
    assert "nothing is downloaded" in refused("train")
    edit(data / "dataset.yaml", val="images/val")
    for part in ("train", "val"):
        with (data / f"labels/{part}.cache").open("wb") as file:
            np.save(file, np.array([Call(os.mkdir, str(victim))], object), allow_pickle=True)
    write_bytes = Path.write_bytes

    def fill_disk(path: Path, content: bytes) -> int:
        write_bytes(path, content[:10])
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill_disk)  # ends the run after its first epoch
        assert "free disk space" in refused("train")
    assert not victim.exists() and not list((tmp_path / "out").rglob("*.pt*"))


@pytest.mark.parametrize("verb", ["--start", "--resume", "evaluate"])
def test_weights_run_no_code(tmp_path: Path, refused: Callable[..., str], verb: str) -> None:
    victim = tmp_path / "executed"
    weights = tmp_path / "out/run/weights/last.pt"
    weights.parent.mkdir(parents=True)
    torch.save({"ema": Call(os.mkdir, str(victim)), "epoch": 1}, weights)
    options = {
        "--start": ("train", "--start", str(weights)),
        "--resume": ("train", "--resume"),
        "evaluate": ("evaluate", "--weights", str(weights)),
    }
    assert "last.pt" in refused(*options[verb])
    assert not victim.exists()


@pytest.mark.parametrize("device", ["cuda:99", "99", "tpu", "cuda:-1", "cpu:1"])
def test_absent_devices_are_named(refused: Callable[..., str], device: str) -> None:
    assert f"device '{device}' does not exist" in refused("train", "--device", device)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("- 1\n", "must be a mapping of settings"),
        ("architecture: https://example.org/x.yaml\n", "must be the name of a local .yaml file"),
        ("architecture: yolo11n-seg.pt\n", "weights are given as 'start'"),
        ("architecture: none-seg.yaml\n", "none-seg.yaml"),
        ("architecture: yolo11n.yaml\n", "predicts boxes without masks"),
        ("start: yolo11n-seg.pt\n", "do not exist"),
        ("epochs: 1e999\n", "epochs"),
    ],
)
def test_unusable_recipes_are_named(tmp_path: Path, refused: Callable[..., str], recipe: str, message: str) -> None:
    (tmp_path / "other.yaml").write_text(recipe)
    assert message in refused("train", "--recipe", str(tmp_path / "other.yaml"))


def test_recipe_that_is_not_utf8_is_named(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "other.yaml").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8" in refused("train", "--recipe", str(tmp_path / "other.yaml"))


def test_output_that_is_a_file_is_named(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "file").write_text("")
    assert "make the folder writable" in refused("train", "--out", str(tmp_path / "file"))


def test_folder_of_another_trainer_is_named(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"):
        assert "is in use by another training run" in refused("train")


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights of a detector without masks that claims to have them."""
    with isolate_ultralytics():
        from ultralytics import YOLO

        network = YOLO("yolov8n.yaml").model
    network.task = "segment"
    path = tmp_path_factory.mktemp("boxes") / "boxes.pt"
    torch.save({"model": network, "train_args": {}, "date": "", "version": ""}, path)
    return path


def test_weights_without_masks_are_refused(boxes: Path, refused: Callable[..., str]) -> None:
    assert "predicts boxes without masks" in refused("train", "--start", str(boxes))
    assert "predicts boxes without masks" in refused("evaluate", "--weights", str(boxes))


def test_evaluate_refuses_other_classes_and_sizes(tmp_path: Path, refused: Callable[..., str], data: Path) -> None:
    with isolate_ultralytics():
        from ultralytics import YOLO

        network = YOLO("yolov8n-seg.yaml").model
    weights = tmp_path / "coco.pt"
    torch.save({"model": network, "train_args": {}, "date": "", "version": ""}, weights)
    assert "give weights that were trained on these classes" in refused("evaluate", "--weights", str(weights))
    assert "from 32 to 4096" in refused("evaluate", "--weights", str(weights), "--image-size", "0")
    edit(data / "dataset.yaml", train=None)  # only the evaluated part is needed
    assert "give weights that were trained" in refused("evaluate", "--weights", str(weights))
    edit(data / "dataset.yaml", val=None)
    assert "needs 'val" in refused("evaluate", "--weights", str(weights))


def test_runs_are_resumed_where_they_may_be(
    data: Path, tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted run continues, also after its folder was moved; a finished one and a changed one do not."""
    recipe, out = tmp_path / "two.yaml", tmp_path / "out"
    recipe.write_text(RECIPE.replace("epochs: 1", "epochs: 2"))
    command = ["train", "--data", str(data / "dataset.yaml"), "--recipe", str(recipe)]
    write_bytes, written = Path.write_bytes, []

    def fill_disk(path: Path, content: bytes) -> int:
        if path.name.startswith("last.pt"):
            written.append(path)
            if len(written) == 2:
                write_bytes(path, content[: len(content) // 2])
                raise OSError(28, "No space left on device", str(path))
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill_disk)
    assert "free disk space" in refused("train", "--recipe", str(recipe))
    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    last = out / "run/weights/last.pt"
    with isolate_ultralytics():
        state = dict(read_checkpoint(last))  # that of the first epoch is whole
    assert state["epoch"] == 0 and not (out / "segmenter.pt").exists()

    changed = {**state, "train_args": {**state["train_args"], "augmentations": [{"code": "x"}]}}
    torch.save(changed, last)
    assert "trained with augmentations" in refused("train", "--resume")
    torch.save(state, last)
    out.rename(tmp_path / "moved")
    assert main([*command, "--out", str(tmp_path / "moved"), "--resume"]) == 0
    assert not out.exists()
    weights = tmp_path / "moved/segmenter.pt"
    before = weights.read_bytes()
    (tmp_path / "moved").rename(out)
    assert "has finished, there is nothing to resume" in refused("train", "--resume")
    assert (out / "segmenter.pt").read_bytes() == before
    (out / "segmenter.pt").unlink()  # ended between the last epoch and the export
    assert main([*command, "--out", str(out), "--resume"]) == 0
    assert (out / "segmenter.pt").is_file()
