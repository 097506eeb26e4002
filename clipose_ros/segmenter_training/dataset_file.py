"""Data sets of photographs or rendered images in ultralytics' format: ``dataset.yaml`` and the files that it names.

ultralytics leaves out files that it cannot read, and runs or downloads what ``download`` states if a folder is missing.
Every file is therefore checked before, and ultralytics is given the folders and the class names only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from clipose_ros.bounded_files import read_bytes, read_yaml
from clipose_ros.errors import DataError, UnreadableFileError, quoted
from clipose_ros.image_files import read_image
from clipose_ros.types import FloatArray

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
OTHER_SUFFIXES = (".avif", ".bmp", ".dng", ".heic", ".heif", ".jp2", ".mpo", ".tif", ".tiff", ".webp")
"""Suffixes of images that ultralytics would read; no reader of them checks that an image is complete."""
_MAX_LABEL_BYTES = 1 << 24
_MAX_CLASSES = 10_000
_TOLERANCE = 0.01
"""Distance by which polygons may leave the image, as a fraction of its size; that of ultralytics."""


@dataclass(frozen=True)
class ImageDataset:
    """Checked data set.

    Attributes:
        path: The ``dataset.yaml``.
        names: Class names in order of their numbers.
        folders: Absolute image folders, by part.
    """

    path: Path
    names: tuple[str, ...]
    folders: Mapping[str, tuple[Path, ...]]

    def list_images(self, part: str) -> tuple[Path, ...]:
        """Return the images of a part, sorted by name in each folder."""
        return tuple(_list_images(self.path, part, self.folders[part]))

    def write(self, target: Path) -> Path:
        """Write a ``dataset.yaml`` with these folders and names, and return its path; absent parts repeat another."""
        first = next(iter(self.folders.values()))
        parts = {part: [str(folder) for folder in self.folders.get(part, first)] for part in ("train", "val")}
        document = {"path": str(target.parent.resolve()), **parts, "names": dict(enumerate(self.names))}
        target.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return target


def read_image_dataset(path: Path, parts: Sequence[str]) -> ImageDataset:
    """Read a ``dataset.yaml`` and check the images and labels of some of its parts.

    Args:
        path: The file. Its ``path`` is absolute or relative to its folder; its ``download`` is ignored.
        parts: Keys of the parts, such as ``train`` and ``val``.

    Returns:
        The data set.

    Raises:
        DataError: A file or folder is missing, or an image or label is damaged, not of this format, or has a class
            beyond ``names``. The message names the file and the line.
    """
    document = _read_document(path)
    names = _read_names(path, document)
    folders = {part: _read_folders(path, document, part) for part in parts}
    for part in parts:
        images = list(_list_images(path, part, folders[part]))
        with ThreadPoolExecutor() as pool:
            polygons = sum(pool.map(lambda image: _check_image(image, len(names)), images))
        if not polygons:
            raise DataError(f"data set '{path}' has no labelled object in '{part}': {_LABEL_ADVICE}")
    return ImageDataset(path, names, folders)


@contextlib.contextmanager
def image_errors(path: Path) -> Iterator[None]:
    """Raise a DataError that names an image if reading it fails."""
    try:
        yield
    except UnreadableFileError as error:
        raise DataError(f"image '{path}' cannot be read: {error}. Replace or remove it") from error


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return the class names of a ``dataset.yaml`` in order of their numbers.

    Raises:
        DataError: The file cannot be read, or has no class names.
    """
    return _read_names(path, _read_document(path))


def _read_document(path: Path) -> Mapping[object, object]:
    """Read a ``dataset.yaml``."""
    if not path.is_file():
        raise DataError(f"no such data set: '{path}'. Create one with `train_segmenter pictures` or `propose`")
    try:
        document = read_yaml(path)
    except UnreadableFileError as error:
        raise DataError(f"data set '{path}' cannot be read: {error}") from error
    if not isinstance(document, Mapping):
        raise DataError(f"data set '{path}' must be a mapping with 'train', 'val' and 'names', got {quoted(document)}")
    return document


_LABEL_ADVICE = "labels/x.txt beside images/x.jpg has a line per object, its class number and its polygon"


def _read_names(path: Path, document: Mapping[object, object]) -> tuple[str, ...]:
    """Return the class names; a list, or a mapping from the numbers 0, 1, 2, ..."""
    names = document.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if isinstance(names, Mapping) and 0 < len(names) <= _MAX_CLASSES:
        by_number = {str(key): value for key, value in names.items()}
        ordered = [by_number.get(str(number)) for number in range(len(names))]
        if all(isinstance(name, (str, int, float)) and str(name).strip() for name in ordered):
            return tuple(map(str, ordered))
    raise DataError(
        f"data set '{path}': 'names' must list the classes, or map 0, 1, 2, ... to them, got {quoted(names)}"
    )


def _read_folders(path: Path, document: Mapping[object, object], part: str) -> tuple[Path, ...]:
    """Return the absolute folders of a part."""
    key = "validation" if part == "val" and "val" not in document else part
    value, root = document.get(key), document.get("path") or "."
    entries = [value] if isinstance(value, str) else value
    if not isinstance(root, str) or not isinstance(entries, list) or not entries:
        raise DataError(
            f"data set '{path}' needs '{part}: images/{part}', a folder under its 'path', got {quoted(value)}"
        )
    folders = []
    for entry in entries:
        folder = path.resolve().parent / root / str(entry)
        # Exports of some annotation tools name ../train/images, relative to a folder beside the file.
        if not folder.is_dir() and str(entry).startswith("../"):
            folder = path.resolve().parent / root / str(entry)[3:]
        if not folder.is_dir():
            raise DataError(
                f"data set '{path}': the folder of '{part}' does not exist: {quoted(folder)}. Correct 'path' or "
                f"'{part}'; nothing is downloaded"
            )
        folders.append(folder.resolve())
    return tuple(folders)


def _list_images(path: Path, part: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the images of a part; there is at least one."""
    empty = True
    for folder in folders:
        for image in sorted(folder.rglob("*.*")):
            suffix = image.suffix.lower()
            if suffix in OTHER_SUFFIXES:
                raise DataError(f"image '{image}' must be a JPEG or PNG file: convert it")
            if suffix in IMAGE_SUFFIXES and not image.name.startswith("."):
                empty = False
                yield image
    if empty:
        raise DataError(f"data set '{path}': the folder of '{part}' has no .jpg or .png image: {quoted(folders[0])}")


def _check_image(image: Path, classes: int) -> int:
    """Check an image and its labels, and return the number of its objects; an image without labels has none."""
    with image_errors(image):
        pixels = read_image(image, cv2.IMREAD_COLOR)
    if min(pixels.shape[:2]) < 10:
        raise DataError(f"image '{image}' must have at least 10 pixels a side, got {pixels.shape[1]}x{pixels.shape[0]}")
    label = _label_path(image)
    if not label.exists():
        return 0
    try:
        lines = read_bytes(label, _MAX_LABEL_BYTES).decode("utf-8-sig").splitlines()
    except (UnreadableFileError, UnicodeDecodeError) as error:
        raise DataError(f"label '{label}' cannot be read: {error}") from error
    objects = 0
    for number, line in enumerate(lines, start=1):
        if line.strip():
            _check_polygon(line, classes, f"label '{label}', line {number}")
            objects += 1
    return objects


def read_polygons(image: Path) -> list[FloatArray]:
    """Read the labels of an image that ``read_image_dataset`` has checked.

    Returns:
        Polygons ``(N, 2)``: x and y relative to the size of the image.
    """
    label = _label_path(image)
    if not label.exists():
        return []
    lines = read_bytes(label, _MAX_LABEL_BYTES).decode("utf-8-sig").splitlines()
    return [np.array(line.split()[1:], dtype=float).reshape(-1, 2) for line in lines if line.strip()]


def _label_path(image: Path) -> Path:
    """Return the label file of an image: the last folder ``images`` of its path replaced by ``labels``."""
    before, images, after = str(image).rpartition("/images/")
    return Path(f"{before}/labels/{after}" if images else str(image)).with_suffix(".txt")


def _check_polygon(line: str, classes: int, place: str) -> None:
    """Check a line of a label file: a class number, and x and y of at least three points."""
    try:
        number, *values = map(float, line.split())
    except ValueError as error:
        raise DataError(f"{place}: expected a class number and a polygon, got {quoted(line)}") from error
    if len(values) == 4:
        raise DataError(f"{place}: expected a polygon, got the box {quoted(line)}: masks cannot be trained on boxes")
    if len(values) < 6 or len(values) % 2:
        raise DataError(f"{place}: expected x and y of at least 3 points, got {len(values)} numbers")
    if not (number.is_integer() and 0 <= number < classes):
        raise DataError(f"{place}: expected a class number from 0 to {classes - 1} as in 'names', got {number:g}")
    if not all(-_TOLERANCE <= value <= 1.0 + _TOLERANCE for value in values):
        raise DataError(f"{place}: expected x and y from 0 to 1, relative to the image, got {quoted(line)}")
