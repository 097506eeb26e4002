"""Checks of data sets of images with polygons: the first fault is named with file and line."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import DataError
from clipose_ros.segmenter_training.dataset import ImageSetConfig, write_images
from clipose_ros.segmenter_training.dataset_file import read_image_dataset

PARTS = ("train", "val")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two scenes."""
    folder = tmp_path_factory.mktemp("original")
    for part in PARTS:
        write_images(folder, ImageSetConfig(1, part, 96, 64), 1, log=lambda _: None)
    return folder


@pytest.fixture
def data(original: Path, tmp_path: Path) -> Path:
    """A copy of the data set that a test may damage; its folder is relative."""
    shutil.copytree(original, tmp_path / "data")
    edit(tmp_path / "data/dataset.yaml", path=".")
    return tmp_path / "data"


def edit(file: Path, **changes: Any) -> None:
    """Change entries of a YAML file; None removes one."""
    document = yaml.safe_load(file.read_text()) | changes
    file.write_text(yaml.safe_dump({key: value for key, value in document.items() if value is not None}))


def edit_label(data: Path, change: Callable[[str], str]) -> None:
    path = next(path for path in sorted((data / "labels/train").iterdir()) if path.read_text())
    path.write_text(change(path.read_text()))


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no val": (lambda data: edit(data / "dataset.yaml", val=None), "needs 'val: images/val'"),
    "no folder": (lambda data: edit(data / "dataset.yaml", val="images/nowhere"), "the folder of 'val' does not exist"),
    "no names": (lambda data: edit(data / "dataset.yaml", names=None), "'names' must list the classes"),
    "names with a gap": (lambda data: edit(data / "dataset.yaml", names={0: "a", 2: "b"}), "'names' must list"),
    "a list": (lambda data: (data / "dataset.yaml").write_text("- 1\n"), "must be a mapping with 'train'"),
    "no YAML": (lambda data: (data / "dataset.yaml").write_text("train: [\n"), "is not YAML"),
    "not UTF-8": (lambda data: (data / "dataset.yaml").write_bytes(b"\xff\xfe\x00a"), "is not UTF-8"),
    "a tag": (
        lambda data: (data / "dataset.yaml").write_text("names: !!python/object/apply:os.mkdir [x]\n"),
        "is not YAML",
    ),
    "a number as path": (lambda data: edit(data / "dataset.yaml", path=3), "needs 'train: images/train'"),
    "no images": (lambda data: [p.unlink() for p in (data / "images/val").iterdir()], "has no .jpg or .png image"),
    "no labels": (lambda data: shutil.rmtree(data / "labels/train"), "has no labelled object in 'train'"),
    "empty labels": (
        lambda data: [p.write_text("") for p in (data / "labels/train").iterdir()],
        "has no labelled object in 'train'",
    ),
    "boxes": (lambda data: edit_label(data, lambda text: "0 0.5 0.5 0.2 0.2\n" + text), "line 1: expected a polygon"),
    "class beyond names": (
        lambda data: edit_label(data, lambda text: text + "6 0.1 0.1 0.2 0.1 0.2 0.2\n"),
        "expected a class number from 0 to 5 as in 'names', got 6",
    ),
    "fraction of a class": (
        lambda data: edit_label(data, lambda text: "0.5 0.1 0.1 0.2 0.1 0.2 0.2\n"),
        "got 0.5",
    ),
    "odd numbers": (lambda data: edit_label(data, lambda text: "0 .1 .1 .2 .2 .3 .3 .4\n"), "got 7 numbers"),
    "pixels": (lambda data: edit_label(data, lambda text: "0 10 10 20 10 20 20\n"), "expected x and y from 0 to 1"),
    "not a number": (lambda data: edit_label(data, lambda text: "0 nan .1 .2 .1 .2 .2\n"), "x and y from 0 to 1"),
    "words": (lambda data: edit_label(data, lambda text: "mug \x1b[31m\n"), r"got 'mug \x1b[31m'"),
    "binary labels": (
        lambda data: next((data / "labels/val").iterdir()).write_bytes(b"\xff\xfe\x00"),
        "cannot be read",
    ),
    "cut image": (
        lambda data: (path := next((data / "images/train").iterdir())).write_bytes(path.read_bytes()[:-300]),
        "the file is cut short",
    ),
    "no image": (lambda data: next((data / "images/val").iterdir()).write_bytes(b"text"), "neither a PNG nor a JPEG"),
    "small image": (
        lambda data: cv2.imwrite(str(data / "images/val/x.png"), np.zeros((4, 40, 3), np.uint8)),
        "at least 10 pixels",
    ),
    "other format": (lambda data: (data / "images/val/x.webp").write_bytes(b"x"), "must be a JPEG or PNG file"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_data_sets_are_named(data: Path, damage: str) -> None:
    change, message = DAMAGES[damage]
    change(data)
    with pytest.raises(DataError) as raised:
        read_image_dataset(data / "dataset.yaml", PARTS)
    assert message in str(raised.value)
    assert str(data) in str(raised.value) and "\n" not in str(raised.value)


def test_data_set_is_read_and_written_with_absolute_folders(data: Path, original: Path, tmp_path: Path) -> None:
    read = read_image_dataset(data / "dataset.yaml", PARTS)
    assert read.names == NOCS_CATEGORIES.names
    assert read.folders == {part: (data / "images" / part,) for part in PARTS}
    again = read_image_dataset(read.write(tmp_path / "other.yaml"), PARTS)
    assert (again.names, again.folders) == (read.names, read.folders)
    assert read_image_dataset(original / "dataset.yaml", PARTS).names == read.names


def test_absent_part_repeats_another(data: Path, tmp_path: Path) -> None:
    edit(data / "dataset.yaml", train=None, download="https://example.org/x.zip", nc=6)
    read = read_image_dataset(data / "dataset.yaml", ("val",))
    written = yaml.safe_load(read.write(tmp_path / "other.yaml").read_text())
    assert written["train"] == written["val"] == [str(data / "images/val")]
    assert set(written) == {"path", "train", "val", "names"}


@pytest.mark.parametrize(
    "changes",
    [
        {"names": list(NOCS_CATEGORIES.names)},
        {"names": {str(number): name for number, name in enumerate(NOCS_CATEGORIES.names)}},
        {"train": ["images/train", "images/val"]},
        {"train": "../images/train", "val": "../images/val"},
        {"val": None, "validation": "images/val"},
    ],
)
def test_other_spellings_are_accepted(data: Path, changes: dict[str, Any]) -> None:
    edit(data / "dataset.yaml", **changes)
    assert read_image_dataset(data / "dataset.yaml", PARTS).names == NOCS_CATEGORIES.names


def corrupt(content: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat or insert bytes."""
    place, length = rng.randrange(len(content) + 1), rng.randrange(1, 40)
    kind = rng.randrange(4)
    if kind == 0:
        return content[:place] + bytes(byte ^ (1 << rng.randrange(8)) for byte in content[place:][:length]) + content[
            place + length :
        ]  # fmt: skip
    if kind == 1:
        return content[:place]
    if kind == 2:
        return content[:place] + content[place : place + length] * rng.randrange(2, 50) + content[place:]
    return content[:place] + rng.randbytes(length) + content[place:]


@pytest.mark.parametrize("kind", ["dataset.yaml", "labels/train/*.txt", "images/train/*.jpg"])
def test_random_corruptions_are_refused_or_harmless(data: Path, kind: str) -> None:
    rng = random.Random(f"corrupt {kind}")
    files = [(path, path.read_bytes()) for path in sorted(data.glob(kind)) if path.stat().st_size]
    messages = []
    for _ in range(40):
        path, content = rng.choice(files)
        path.write_bytes(corrupt(content, rng))
        try:
            read_image_dataset(data / "dataset.yaml", ("train",))
        except DataError as error:
            messages.append(str(error))
        path.write_bytes(content)
    assert messages and all(str(data) in message and "\n" not in message for message in messages)
