"""The files of CAMERA25 and REAL275 as they are downloaded: where they lie, and what their pixels mean.

References:
    Wang et al., "Normalized Object Coordinate Space for Category-Level 6D Object Pose and Size Estimation", CVPR 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipose_ros.errors import DataError
from clipose_ros.types import ByteArray, CameraIntrinsics, FloatArray

CAMERA_INTRINSICS = CameraIntrinsics(577.5, 577.5, 319.5, 239.5, 640, 480)
REAL_INTRINSICS = CameraIntrinsics(591.0125, 590.16775, 322.525, 244.11084, 640, 480)
PARTS = ("color.png", "depth.png", "mask.png", "coord.png", "meta.txt")
"""Files of a frame, each after ``NNNN_``."""
BACKGROUND = 255
"""Value of a mask where no instance is."""
NO_DEPTH = 32001
"""Depth value that stands for none in some of CAMERA's images, besides 0."""


@dataclass(frozen=True, slots=True)
class NocsSubset:
    """One of the four parts of the data; folders are relative to the root.

    Attributes:
        name: Its name.
        folders: Where its frames may lie, as the archives unpack or as others arrange them.
        composed: Where composed depth lies, CAMERA only.
        models: Where its models' extents lie.
        intrinsics: Its camera.
        truth: Folder of official truths and the beginnings of their files' names; none for training parts.
        detections: Folder of Mask R-CNN's detections and the beginnings of their files' names.
    """

    name: str
    folders: tuple[str, ...]
    composed: str | None
    models: str
    intrinsics: CameraIntrinsics
    truth: tuple[str, tuple[str, ...]] | None = None
    detections: tuple[str, tuple[str, ...]] | None = None


SUBSETS = {
    subset.name: subset
    for subset in (
        NocsSubset(
            "camera_train",
            ("CAMERA/train", "camera/train", "train"),
            "camera_full_depths/train",
            "obj_models/train",
            CAMERA_INTRINSICS,
        ),
        NocsSubset(
            "camera_val",
            ("CAMERA/val", "camera/val", "val"),
            "camera_full_depths/val",
            "obj_models/val",
            CAMERA_INTRINSICS,
            ("gts/val", ("results_val",)),
            ("segmentation_results/CAMERA25", ("results_val",)),
        ),
        NocsSubset(
            "real_train", ("Real/train", "real/train", "real_train"), None, "obj_models/real_train", REAL_INTRINSICS
        ),
        NocsSubset(
            "real_test",
            ("Real/test", "real/test", "real_test"),
            None,
            "obj_models/real_test",
            REAL_INTRINSICS,
            ("gts/real_test", ("results_real_test", "results_test")),
            ("segmentation_results/REAL275", ("results_test", "results_real_test")),
        ),
    )
}
"""The four parts by name."""


@dataclass(frozen=True, slots=True)
class MetaLine:
    """One line of a ``_meta.txt``.

    Attributes:
        instance: Value in the mask.
        class_id: NOCS class id, 0 for things of no category.
        model: The model's name, the last word.
        synset: The word before it, CAMERA only; else empty.
    """

    instance: int
    class_id: int
    model: str
    synset: str


def read_meta(path: Path) -> list[MetaLine]:
    """The instances of a frame.

    Raises:
        DataError: The file is missing, or a line is no ``instance class [synset] model``.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        if len(words) not in (3, 4) or not all(word.isdecimal() for word in words[:2]):
            raise DataError(f"'{path}', line {number}: expected 'instance class [synset] model', got {line!r}")
        found.append(MetaLine(int(words[0]), int(words[1]), words[-1], words[2] if len(words) == 4 else ""))
    return found


def decode_coordinates(bgr: ByteArray) -> FloatArray:
    """NOCS coordinates ``(H, W, 3)`` of a ``_coord.png`` as OpenCV reads it, centred: in [-0.5, 0.5].

    The image's red, green and blue are x, y and 1 - z of the unit cube.
    """
    coordinates = bgr[..., 2::-1].astype(np.float64) / 255.0
    coordinates[..., 2] = 1.0 - coordinates[..., 2]
    return coordinates - 0.5


def encode_coordinates(coordinates: FloatArray) -> ByteArray:
    """The inverse of ``decode_coordinates``, rounded to 8 bits; B G R as OpenCV writes it."""
    cube = np.clip(coordinates + 0.5, 0.0, 1.0)
    cube[..., 2] = 1.0 - cube[..., 2]
    bgr: ByteArray = np.rint(255.0 * cube[..., ::-1]).astype(np.uint8)
    return bgr


def decode_depth(image: NDArray[Any], path: Path) -> FloatArray:
    """Depth ``(H, W)`` float32 metres, 0 where there is none, of a depth image as OpenCV reads it.

    Raises:
        DataError: It is neither 16 bit nor has three 8-bit channels (green high, red low byte).
    """
    if image.ndim == 2 and image.dtype == np.uint16:
        raw = image
    elif image.ndim == 3 and image.dtype == np.uint8:
        raw = (image[..., 1].astype(np.uint16) << 8) + image[..., 2]
    else:
        raise DataError(f"'{path}' must be 16 bit, or 8 bit with three channels, got {image.dtype} {image.shape}")
    return np.where(raw == NO_DEPTH, 0, raw).astype(np.float32) * np.float32(1e-3)


def read_image(path: Path, flag: int = cv2.IMREAD_UNCHANGED) -> NDArray[Any]:
    """An image of 640x480.

    Raises:
        DataError: It is missing, broken, or of another size.
    """
    if not path.is_file():
        raise DataError(f"there is no '{path}'")
    image = cv2.imread(str(path), flag)
    if image is None:
        raise DataError(f"'{path}' cannot be read as an image: it may be cut off; unpack it again")
    if image.shape[:2] != (480, 640):
        raise DataError(f"'{path}' must be 640x480, got {image.shape[1]}x{image.shape[0]}")
    return image


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Instance numbers ``(H, W)`` of a ``_mask.png``; ``BACKGROUND`` elsewhere."""
    image = read_image(path)
    return np.asarray(image if image.ndim == 2 else image[..., 2], dtype=np.uint8)
