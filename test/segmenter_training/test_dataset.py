"""Synthetic segmentation data set: files, labels and continuation."""

from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.segmenter_training.dataset import IMAGES_PER_SCENE, ImageSetConfig, render_scene, write_images

RECIPE = ImageSetConfig(seed=4, width=96, height=64)


def silent(_: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    assert write_images(folder, RECIPE, 2, log=silent) == 2 * IMAGES_PER_SCENE
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


def test_every_image_has_polygons(folder: Path) -> None:
    pictures = sorted((folder / "images/train").glob("*.jpg"))
    assert len(pictures) == 2 * IMAGES_PER_SCENE
    numbers = set()
    for picture in pictures:
        assert cv2.imread(str(picture)).shape == (64, 96, 3)
        for line in (folder / "labels/train" / f"{picture.stem}.txt").read_text().splitlines():
            number, *shares = line.split()
            numbers.add(int(number))
            assert len(shares) >= 6 and len(shares) % 2 == 0
            assert all(0.0 <= float(share) <= 1.0 for share in shares)
    assert len(numbers) > 2 and max(numbers) < len(NOCS_CATEGORIES)


def test_dataset_file_lists_folders_and_classes(folder: Path) -> None:
    told = yaml.safe_load((folder / "dataset.yaml").read_text())
    assert Path(told["path"]) == folder.resolve()
    assert (told["train"], told["val"]) == ("images/train", "images/val")
    assert tuple(told["names"].values()) == NOCS_CATEGORIES.names
    assert told["made_by"]["train"]["seed"] == 4


def test_continued_data_set_equals_uninterrupted_one(folder: Path, tmp_path: Path) -> None:
    write_images(tmp_path, RECIPE, 1, log=silent)
    victim = tmp_path / f"images/train/000000_{IMAGES_PER_SCENE - 1}.jpg"
    victim.unlink()  # as if killed before the scene's last picture
    write_images(tmp_path, RECIPE, 2, log=silent)
    here, there = contents(tmp_path), contents(folder)
    here.pop("dataset.yaml"), there.pop("dataset.yaml")  # they name their folders
    assert here == there


def test_train_and_val_share_no_scene() -> None:
    train, val = (next(render_scene(ImageSetConfig(4, part, 96, 64), 0))[0] for part in ("train", "val"))
    assert np.abs(train.astype(float) - val).mean() > 5.0


def test_other_seed_in_same_folder_is_rejected(folder: Path) -> None:
    with pytest.raises(ConfigError, match="begun with other settings"):
        write_images(folder, ImageSetConfig(seed=5, width=96, height=64), 1, log=silent)


def test_invalid_dataset_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text("- 1\n")
    with pytest.raises(DataError, match=r"dataset\.yaml"):
        write_images(tmp_path, RECIPE, 1, log=silent)


@pytest.mark.parametrize(
    "wrong",
    [{"part": "test"}, {"width": 8}, {"height": 100_000}, {"near_m": 2.0}, {"near_m": 0.0}, {"far_m": float("inf")}],
)
def test_invalid_image_set_config_is_rejected(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ImageSetConfig(**({"seed": 1} | wrong))


def _method(function: Any) -> Any:
    return lambda path, content, **options: function(path, content, **options)


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_seeds_out_of_range_are_rejected(seed: int) -> None:
    with pytest.raises(ConfigError, match="the seed must be"):
        ImageSetConfig(seed)


@pytest.mark.parametrize("full", ["dataset.yaml", ".txt", "_0.part"])
def test_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str) -> None:
    original = {name: getattr(Path, name) for name in ("write_text", "write_bytes")}

    def fill_disk(name: str, path: Path, content: Any, **options: Any) -> int:
        if full in path.name:
            original[name](path, content[:3], **options)
            raise OSError(28, "No space left on device", str(path))
        written: int = original[name](path, content, **options)
        return written

    with monkeypatch.context() as patch:
        for name in original:
            patch.setattr(Path, name, _method(partial(fill_disk, name)))
        with pytest.raises((DataError, OSError), match="No space left"):
            write_images(tmp_path, RECIPE, 1, log=silent)
    assert not list(tmp_path.rglob("*.part")) and not [p for p in tmp_path.rglob(f"*{full}") if p.stat().st_size == 3]
    assert write_images(tmp_path, RECIPE, 1, log=silent) == IMAGES_PER_SCENE


def test_zero_scenes_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        write_images(tmp_path, RECIPE, 0, log=silent)
