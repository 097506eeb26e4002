"""Outlines of the objects in photographs, which are stored without the photographs.

The file ``config/photos/annotations.json`` names each image by the SHA-256 of its bytes. Its outlines are polygons of
``x, y`` pairs, pixels. An object that people would sort into different categories, such as a tumbler without a handle,
is marked as ignored: a detection of it is neither right nor false.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from clipose_ros.bounded_files import read_json
from clipose_ros.errors import DataError, UnreadableFileError
from clipose_ros.image_files import MAX_IMAGE_PIXELS, read_image
from clipose_ros.types import ByteArray, InstanceMask

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
"""Suffixes of the files that are compared with the annotated images."""


@dataclass(frozen=True, slots=True)
class OutlinedObject:
    """One object of a photograph.

    Attributes:
        category: Name of the category, or a description of an ignored object.
        is_ignored: True if detections of the object are neither right nor false.
        outline: Corners of the polygon ``(x, y)``, pixels.
    """

    category: str
    is_ignored: bool
    outline: tuple[tuple[int, int], ...]

    def mask(self, width: int, height: int) -> InstanceMask | None:
        """Return the filled outline in an image of this size; None if it covers no pixel."""
        image = np.zeros((height, width), np.uint8)
        cv2.fillPoly(image, [np.array(self.outline, np.int32)], 1)
        return InstanceMask.from_full(self.category, 1.0, image.astype(bool))


@dataclass(frozen=True, slots=True)
class AnnotatedPhoto:
    """Annotation of one image.

    Attributes:
        name: Name of the image for messages.
        group: Group over which figures are summed, such as ``frames``.
        sha256: SHA-256 of the bytes of the image file.
        width: Image width, pixels.
        height: Image height, pixels.
        objects: All objects of the known categories, and the ignored ones.
    """

    name: str
    group: str
    sha256: str
    width: int
    height: int
    objects: tuple[OutlinedObject, ...]


def read_photo_annotations(path: Path) -> tuple[AnnotatedPhoto, ...]:
    """Read an annotation file.

    Raises:
        DataError: The file cannot be read, or an entry lacks a value or has one of another type; the message names it.
    """
    try:
        document = read_json(path)
    except UnreadableFileError as error:
        raise DataError(f"annotations '{path}' cannot be read: {error}") from error
    entries = document.get("images") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise DataError(f"'{path}' is no annotation file, which is a JSON object with a list 'images'")
    photos = []
    for number, entry in enumerate(entries):
        try:
            photos.append(_parse_photo(entry))
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise DataError(f"image {number} of '{path}' has a missing or wrong value: {error!r}") from error
    return tuple(photos)


def find_photos(folder: Path, photos: Sequence[AnnotatedPhoto]) -> dict[AnnotatedPhoto, Path]:
    """Find annotated images in a folder and its subfolders by the SHA-256 of the files.

    Returns:
        Path by annotation, in the order of ``photos``; images that the folder lacks are left out.

    Raises:
        DataError: The folder does not exist or holds none of the images.
    """
    if not folder.is_dir():
        raise DataError(f"no such folder of photographs: '{folder}'")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    by_hash = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in files}
    found = {photo: by_hash[photo.sha256] for photo in photos if photo.sha256 in by_hash}
    if not found:
        raise DataError(
            f"'{folder}' holds {len(files)} images, none of which is one of the {len(photos)} annotated ones: images "
            "are compared by the SHA-256 of the file, so they must not be converted or resized"
        )
    return found


def read_photo(photo: AnnotatedPhoto, path: Path) -> ByteArray:
    """Read an annotated image ``(H, W, 3)`` uint8, channels R, G, B.

    Raises:
        DataError: The file is no image or has another size than the annotation.
    """
    try:
        bgr = read_image(path, cv2.IMREAD_COLOR)
    except UnreadableFileError as error:
        raise DataError(f"'{path}' cannot be read: {error}") from error
    if bgr.shape[:2] != (photo.height, photo.width):
        expected = f"{photo.width}x{photo.height}"
        raise DataError(f"'{path}' is {bgr.shape[1]}x{bgr.shape[0]}, expected {expected} as annotated")
    return np.ascontiguousarray(bgr[..., ::-1].astype(np.uint8, copy=False))


def _parse_photo(entry: Mapping[str, object]) -> AnnotatedPhoto:
    """Convert one JSON entry."""
    objects = entry["objects"]
    if not isinstance(objects, list):
        raise TypeError(f"'objects' must be a list, got {type(objects).__name__}")
    width, height = (int(str(entry[name])) for name in ("width", "height"))
    if not 0 < width * height <= MAX_IMAGE_PIXELS or width < 0:
        raise ValueError(f"the size must be positive, up to {MAX_IMAGE_PIXELS} pixels, got {width}x{height}")
    return AnnotatedPhoto(
        str(entry["name"]), str(entry["group"]), str(entry["sha256"]), width, height, tuple(map(_parse_object, objects))
    )


def _parse_object(entry: Mapping[str, object]) -> OutlinedObject:
    """Convert one object, whose outline is a flat list of coordinates."""
    flat = entry["outline"]
    if not isinstance(flat, list) or len(flat) < 6 or len(flat) % 2:
        raise ValueError(f"'outline' must be a list of at least three x, y pairs, got {str(flat)[:40]}")
    values = [int(value) for value in flat]
    outline = tuple(zip(values[::2], values[1::2], strict=True))
    is_ignored = "ignored" in entry
    return OutlinedObject(str(entry["ignored" if is_ignored else "category"]), is_ignored, outline)
