"""File formats of CAMERA25 and REAL275: folder layout, meta files and pixel encodings of the released archives.

References:
    Wang et al., "Normalized Object Coordinate Space for Category-Level 6D Object Pose and Size Estimation", CVPR 2019.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from clipose_ros import image_files
from clipose_ros.bounded_files import read_bytes
from clipose_ros.errors import DataError, UnreadableFileError, quoted
from clipose_ros.types import ByteArray, CameraIntrinsics, FloatArray

CAMERA_INTRINSICS = CameraIntrinsics(577.5, 577.5, 319.5, 239.5, 640, 480)
REAL_INTRINSICS = CameraIntrinsics(591.0125, 590.16775, 322.525, 244.11084, 640, 480)
FRAME_FILES = ("color.png", "depth.png", "mask.png", "coord.png", "meta.txt")
"""Suffixes of the files of a frame, after ``NNNN_``."""
BACKGROUND = 255
"""Mask value of pixels without an instance."""
NO_DEPTH = 32001
"""Invalid depth value in some CAMERA images, in addition to 0."""
IMAGE_SHAPE = (480, 640)
"""Height and width of all images, pixels."""
_MAX_META_BYTES = 1 << 16
# Names become parts of paths, so they hold no separators.
_META_LINE = re.compile(r"(\d{1,6})\s+(\d{1,6})(?:\s+([^\s/\\]+))?\s+([^\s/\\]+)")


@dataclass(frozen=True, slots=True)
class RecordFiles:
    """Location of the pickles of a subset, one per frame: ``FOLDER/PREFIX_SCENE_NUMBER.pkl``.

    Attributes:
        folder: Folder relative to the root.
        prefixes: Possible prefixes of the file names: the releases differ.
    """

    folder: str
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NocsSubset:
    """Layout of one subset of the data. Folders are relative to the root.

    Attributes:
        name: Name of the subset.
        folders: Possible folders of the frames: as the archives unpack, or as other projects arrange them.
        composed: Folder of the composed depth (objects with background), CAMERA only.
        models: Folder of the object models' extents.
        intrinsics: Camera intrinsics.
        truth: Files of the official truths; None for training subsets.
        detections: Files of the Mask R-CNN detections; None for training subsets.
    """

    name: str
    folders: tuple[str, ...]
    composed: str | None
    models: str
    intrinsics: CameraIntrinsics
    truth: RecordFiles | None = None
    detections: RecordFiles | None = None


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
            RecordFiles("gts/val", ("results_val",)),
            RecordFiles("segmentation_results/CAMERA25", ("results_val",)),
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
            RecordFiles("gts/real_test", ("results_real_test", "results_test")),
            RecordFiles("segmentation_results/REAL275", ("results_test", "results_real_test")),
        ),
    )
}
"""The four subsets by name."""


@dataclass(frozen=True, slots=True)
class MetaLine:
    """One line of a ``_meta.txt`` file.

    Attributes:
        instance: Instance number in the mask image.
        class_id: NOCS class id; 0 for distractors.
        model: Name of the object model.
        synset: WordNet number of the model's category, CAMERA only; otherwise empty.
    """

    instance: int
    class_id: int
    model: str
    synset: str


def read_meta(path: Path) -> list[MetaLine]:
    """Read the instances of a frame.

    Raises:
        DataError: The file is missing, a line does not have the form ``instance class [synset] model``, or two lines
            have the same instance.
    """
    try:
        lines = read_bytes(path, _MAX_META_BYTES).decode("utf-8-sig").splitlines()
    except (UnreadableFileError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' cannot be read: {error}") from error
    found: dict[int, MetaLine] = {}
    for number, line in enumerate(lines, start=1):
        # Some files end with empty lines.
        if not line.split():
            continue
        if not (match := _META_LINE.fullmatch(line.strip())):
            raise DataError(f"'{path}', line {number}: expected 'instance class [synset] model', got {quoted(line)}")
        instance, class_id, synset, model = match.groups()
        if int(instance) in found:
            raise DataError(f"'{path}', line {number}: the instance {instance} is listed twice")
        found[int(instance)] = MetaLine(int(instance), int(class_id), model, synset or "")
    return list(found.values())


def decode_coordinates(bgr: ByteArray) -> FloatArray:
    """Decode a ``_coord.png`` image to centred NOCS coordinates ``(H, W, 3)`` in [-0.5, 0.5].

    Red, green and blue are x, y and 1 - z in the unit cube.

    Args:
        bgr: ``(H, W, 3)`` uint8 image as OpenCV reads it.
    """
    coordinates = bgr[..., 2::-1].astype(np.float64) / 255.0
    # The released maps store z mirrored.
    coordinates[..., 2] = 1.0 - coordinates[..., 2]
    return coordinates - 0.5


def encode_coordinates(coordinates: FloatArray) -> ByteArray:
    """Encode centred NOCS coordinates ``(H, W, 3)`` as a BGR image, rounded to 8 bits."""
    cube = np.clip(coordinates + 0.5, 0.0, 1.0)
    cube[..., 2] = 1.0 - cube[..., 2]
    bgr: ByteArray = np.rint(255.0 * cube[..., ::-1]).astype(np.uint8)
    return bgr


def decode_depth(image: NDArray[Any], path: Path) -> FloatArray:
    """Decode a depth image to depth ``(H, W)`` float32, metres; 0 is invalid.

    Args:
        image: The image as OpenCV reads it: 16 bit, or three 8-bit channels with the high byte in green and the low
            byte in red.
        path: File of the image, for error messages.

    Raises:
        DataError: The image has another type or shape.
    """
    if image.ndim == 2 and image.dtype == np.uint16:
        raw = image
    elif image.ndim == 3 and image.dtype == np.uint8:
        raw = (image[..., 1].astype(np.uint16) << 8) + image[..., 2]
    else:
        raise DataError(f"'{path}' must be 16 bit, or 8 bit with three channels, got {image.dtype} {image.shape}")
    # Depth is stored in millimetres.
    return np.where(raw == NO_DEPTH, 0, raw).astype(np.float32) * np.float32(1e-3)


def encode_object_depth(depth_mm: NDArray[np.uint16]) -> ByteArray:
    """Encode depth ``(H, W)``, millimetres, as CAMERA stores that of the objects: ``NO_DEPTH`` where there is none.

    Returns:
        ``(H, W, 3)`` BGR image with the high byte in green and the low byte in red.
    """
    raw = np.where(depth_mm == 0, NO_DEPTH, depth_mm).astype(np.uint16)
    return np.stack([np.zeros_like(raw), raw >> 8, raw & 255], axis=-1).astype(np.uint8)


def read_image(path: Path, flag: int = cv2.IMREAD_UNCHANGED) -> NDArray[Any]:
    """Read an image of 640x480 pixels.

    Raises:
        DataError: The file is missing or damaged, or the image has another size.
    """
    try:
        image = image_files.read_image(path, flag)
    except UnreadableFileError as error:
        raise DataError(f"'{path}' cannot be read as an image: {error}; unpack it again") from error
    if image.shape[:2] != IMAGE_SHAPE:
        raise DataError(f"'{path}' must be 640x480, got {image.shape[1]}x{image.shape[0]}")
    return image


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read the instance numbers ``(H, W)`` of a ``_mask.png``; ``BACKGROUND`` for pixels without an instance.

    Raises:
        DataError: The file is missing or damaged, or has not 8 bits per channel.
    """
    image = read_image(path)
    # Masks have one channel, or are colour images with the number in the red channel.
    numbers = image if image.ndim == 2 else image[..., 2]
    if numbers.dtype != np.uint8:
        raise DataError(f"'{path}' must have 8 bits per channel, got {numbers.dtype}")
    return np.asarray(numbers)
