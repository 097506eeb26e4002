"""Photographs with masks for training: parts, categories and rejected masks.

A folder of photographs holds ``images/<class>_*.jpg`` and a mask (255 inside) of its main object of the same stem in
``masks/*.png``. The SHA-256 of the image file decides the part: a third is the test set, which is never trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.errors import DataError, UnreadableFileError
from clipose_ros.image_files import read_image
from clipose_ros.types import BoolArray, ByteArray

PHOTO_PARTS = ("train", "val", "test")
PHOTO_CLASSES = {"cup": "mug"}
"""Categories of classes with another name."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph with the mask of its main object.

    Attributes:
        image: Image file.
        mask: Mask file.
        category: Name of the category.
    """

    image: Path
    mask: Path
    category: str

    def load(self) -> tuple[ByteArray, BoolArray]:
        """Read the image ``(H, W, 3)``, RGB, and its mask ``(H, W)``.

        Raises:
            DataError: A file cannot be read, or the two have different sizes.
        """
        image, mask = read_rgb(self.image), _read_image(self.mask, cv2.IMREAD_GRAYSCALE)
        if image.shape[:2] != mask.shape:
            raise DataError(f"'{self.mask}' must have the size of its image, {image.shape[:2]}, got {mask.shape}")
        return image, mask > 127


def read_rgb(path: Path) -> ByteArray:
    """Read an image file ``(H, W, 3)``, RGB; raise DataError if it is none."""
    return np.ascontiguousarray(_read_image(path, cv2.IMREAD_COLOR)[..., ::-1])


def _read_image(path: Path, mode: int) -> ByteArray:
    """Read an image file in a mode of OpenCV; raise DataError if it is none."""
    try:
        return np.asarray(read_image(path, mode), dtype=np.uint8)
    except UnreadableFileError as error:
        raise DataError(
            f"'{path}' cannot be read as an image: replace the file, or list it as rejected ({error})"
        ) from error


def photo_part(digest: str) -> str:
    """Return the part of a photograph with a SHA-256 digest, hexadecimal: ``train``, ``val`` or ``test``."""
    content = bytes.fromhex(digest)
    if content[0] % 3 == 0:
        return "test"
    return "val" if content[1] % 6 == 0 else "train"


def read_photos(
    folder: Path,
    part: str,
    categories: CategorySet,
    rejected: frozenset[str] = frozenset(),
    classes: Mapping[str, str] | None = None,
) -> tuple[Photo, ...]:
    """Return the photographs of a part, sorted by name.

    Args:
        folder: Folder of the photographs.
        part: ``train``, ``val`` or ``test``.
        categories: Categories; photographs of other classes are skipped.
        rejected: SHA-256 digests of photographs whose mask is wrong.
        classes: Categories of classes with another name; ``PHOTO_CLASSES`` if left out.

    Raises:
        DataError: There are no photographs, or one lacks its mask.
    """
    names = PHOTO_CLASSES if classes is None else classes
    photos = []
    for path in sorted((folder / "images").glob("*.jpg")):
        word = path.stem.split("_")[0]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        category = names.get(word, word)
        if photo_part(digest) != part or digest in rejected or category not in categories.names:
            continue
        mask = folder / "masks" / f"{path.stem}.png"
        if not mask.is_file():
            raise DataError(f"'{path}' has no mask: expected '{mask}'")
        photos.append(Photo(path, mask, category))
    if not photos:
        raise DataError(f"'{folder}' holds no photograph of the part '{part}': expected images/<class>_*.jpg")
    return tuple(photos)


def read_rejected(path: Path) -> frozenset[str]:
    """Read a list of rejected photographs: a SHA-256 digest at the start of each line, then a reason; # is a comment.

    Raises:
        DataError: The file cannot be read, or a line does not start with a digest.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"list of rejected photographs '{path}' cannot be read: {error}") from error
    digests = set()
    for number, line in enumerate(lines, start=1):
        word = line.split("#")[0].split()
        if not word:
            continue
        if len(word[0]) != 64 or set(word[0]) - set("0123456789abcdef"):
            raise DataError(f"'{path}', line {number}: expected a SHA-256 digest of 64 hexadecimal digits")
        digests.add(word[0])
    return frozenset(digests)
