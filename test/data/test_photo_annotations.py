"""Annotations of photographs: shipped file, search by hash, and errors."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.photo_annotations import find_photos, read_photo, read_photo_annotations
from clipose_ros.errors import DataError
from clipose_ros.resources import config_path

SQUARE = [2, 2, 12, 2, 12, 12, 2, 12]


def write_annotations(path: Path, image: Path, **changes: object) -> Path:
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    entry = {"name": image.name, "group": "frames", "sha256": digest, "width": 20, "height": 16}
    entry |= {"objects": [{"category": "mug", "outline": SQUARE}, {"ignored": "tumbler", "outline": SQUARE}]} | changes
    path.write_text(json.dumps({"images": [entry]}))
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "one.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), np.full((16, 20, 3), (1, 2, 3), np.uint8))
    return path


def test_shipped_annotations_are_valid() -> None:
    photos = read_photo_annotations(config_path("photos/annotations.json"))
    assert {photo.group for photo in photos} == {"frames", "photographs"}
    assert len({photo.sha256 for photo in photos}) == len(photos) >= 47
    for photo in photos:
        for item in photo.objects:
            assert item.is_ignored or item.category in NOCS_CATEGORIES
            assert all(0 <= x <= photo.width and 0 <= y <= photo.height for x, y in item.outline), photo.name
            mask = item.mask(photo.width, photo.height)
            assert mask is not None and np.count_nonzero(mask.mask) >= 200, photo.name


def test_images_are_found_by_content_and_read_as_rgb(tmp_path: Path, image: Path) -> None:
    photos = read_photo_annotations(write_annotations(tmp_path / "a.json", image))
    renamed = image.rename(image.with_name("renamed.png"))
    found = find_photos(tmp_path, photos)
    assert found == {photos[0]: renamed}
    assert read_photo(photos[0], renamed)[0, 0].tolist() == [3, 2, 1]
    mug, tumbler = photos[0].objects
    assert (mug.category, mug.is_ignored, tumbler.is_ignored) == ("mug", False, True)
    mask = mug.mask(20, 16)
    assert mask is not None and mask.box == (2, 2, 13, 13)


def test_folder_without_annotated_images_is_refused(tmp_path: Path, image: Path) -> None:
    photos = read_photo_annotations(write_annotations(tmp_path / "a.json", image))
    cv2.imwrite(str(image), np.zeros((16, 20, 3), np.uint8))
    with pytest.raises(DataError, match="1 images, none of which"):
        find_photos(tmp_path, photos)
    with pytest.raises(DataError, match="no such folder"):
        find_photos(tmp_path / "missing", photos)


def test_image_of_another_size_is_refused(tmp_path: Path, image: Path) -> None:
    photo = read_photo_annotations(write_annotations(tmp_path / "a.json", image, width=21))[0]
    with pytest.raises(DataError, match="20x16, expected 21x16"):
        read_photo(photo, image)


@pytest.mark.parametrize(
    "changes",
    [
        {"objects": 3},
        {"objects": [4]},
        {"objects": [{"category": "mug", "outline": [1, 2]}]},
        {"objects": [{"outline": SQUARE}]},
        {"width": "wide"},
        {"width": 10**9, "height": 10**9},
        {"width": -20, "height": -16},
        {"objects": [{"category": "mug", "outline": [*SQUARE, "x", None]}]},
    ],
)
def test_wrong_entry_is_named(tmp_path: Path, image: Path, changes: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"image 0 of '.*a\.json'"):
        read_photo_annotations(write_annotations(tmp_path / "a.json", image, **changes))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"images": 3}', "\xff"])
def test_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"a\.json"):
        read_photo_annotations(tmp_path / "a.json")
