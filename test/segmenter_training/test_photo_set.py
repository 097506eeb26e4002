"""Photographs for training: parts, rejected masks and files."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import DataError
from clipose_ros.resources import config_path
from clipose_ros.segmenter_training.photo_set import PHOTO_PARTS, photo_part, read_photos, read_rejected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty photographs of cups and cameras, and one of a chair."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for number in range(21):
        word = "chair" if number == 20 else ("cup", "camera")[number % 2]
        image = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
        mask = np.zeros((30, 40), np.uint8)
        mask[8:20, 10:30] = 255
        cv2.imwrite(str(tmp_path / f"images/{word}_{number:02}.jpg"), image)
        cv2.imwrite(str(tmp_path / f"masks/{word}_{number:02}.png"), mask)
    return tmp_path


def read_all(folder: Path, rejected: frozenset[str] = frozenset()) -> dict[str, list[Path]]:
    parts = {}
    for part in PHOTO_PARTS:
        try:
            parts[part] = [photo.image for photo in read_photos(folder, part, NOCS_CATEGORIES, rejected)]
        except DataError:
            parts[part] = []
    return parts


@given(st.binary(min_size=32, max_size=32))
def test_first_byte_alone_decides_the_test_set(digest: bytes) -> None:
    assert (photo_part(digest.hex()) == "test") == (digest[0] % 3 == 0)


def test_parts_are_disjoint_and_hold_all_known_classes(folder: Path) -> None:
    parts = read_all(folder)
    paths = [path for part in parts.values() for path in part]
    assert len(paths) == len(set(paths)) == 20
    assert all(hashlib.sha256(path.read_bytes()).digest()[0] % 3 == 0 for path in parts["test"])
    assert parts["test"] and parts["train"]


def test_category_follows_the_file_name(folder: Path) -> None:
    for photo in read_photos(folder, "train", NOCS_CATEGORIES):
        assert photo.category == {"cup": "mug", "camera": "camera"}[photo.image.stem.split("_")[0]]
        image, mask = photo.load()
        assert image.shape == (30, 40, 3) and mask.sum() == 12 * 20


def test_rejected_photographs_are_left_out(folder: Path) -> None:
    victim = read_all(folder)["train"][0]
    rejected = frozenset([hashlib.sha256(victim.read_bytes()).hexdigest()])
    assert victim not in read_all(folder, rejected)["train"]


def test_missing_mask_is_named(folder: Path) -> None:
    photo = read_photos(folder, "train", NOCS_CATEGORIES)[0]
    photo.mask.unlink()
    with pytest.raises(DataError, match=photo.mask.name):
        read_photos(folder, "train", NOCS_CATEGORIES)


def test_mask_of_another_size_is_named(folder: Path) -> None:
    photo = read_photos(folder, "train", NOCS_CATEGORIES)[0]
    cv2.imwrite(str(photo.mask), np.zeros((3, 4), np.uint8))
    with pytest.raises(DataError, match=photo.mask.name):
        photo.load()


def test_shipped_list_names_no_photograph_of_the_test_set() -> None:
    rejected = read_rejected(config_path("segmenter/rejected_photos.txt"))
    assert len(rejected) == 30
    assert not [digest for digest in rejected if photo_part(digest) == "test"]


@pytest.mark.parametrize("line", ["abc", "z" * 64, "A" * 64])
def test_line_without_digest_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.txt").write_text(f"# comment\n\n{line} reason\n")
    with pytest.raises(DataError, match="line 3"):
        read_rejected(tmp_path / "list.txt")
