"""Images for which masks are proposed: a folder of RGB-D frames, or of photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from clipose_ros.data.rgbd_folder import holds_depth_images, open_rgbd_folder
from clipose_ros.errors import DataError
from clipose_ros.evaluation.runs.photographs import colour_frame
from clipose_ros.image_files import read_image
from clipose_ros.segmenter_training.dataset_file import IMAGE_SUFFIXES, OTHER_SUFFIXES, image_errors
from clipose_ros.types import RgbdFrame


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image.

    Attributes:
        path: File of the colour image.
        read: Reads the frame; that of a photograph has no depth. Raises DataError if a file cannot be read.
    """

    path: Path
    read: Callable[[], RgbdFrame]


def find_images(folder: Path) -> tuple[SourceImage, ...]:
    """Find the images of a folder, sorted by name.

    A folder with depth images is read as RGB-D frames, any other one as photographs, those of its subfolders included.

    Raises:
        DataError: The folder is missing, holds no image or one that is neither JPEG nor PNG, or its frames are
            incomplete.
    """
    if not folder.is_dir():
        raise DataError(f"no such folder of images: '{folder}'")
    if holds_depth_images(folder):
        frames = open_rgbd_folder(folder)
        return tuple(SourceImage(pair.colour, partial(frames.read, index)) for index, pair in enumerate(frames.pairs))
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    unsupported = next((path for path in files if path.suffix.lower() in OTHER_SUFFIXES), None)
    if unsupported is not None:
        raise DataError(f"image '{unsupported}' must be a JPEG or PNG file: convert it")
    photos = tuple(
        SourceImage(path, partial(_read_photo, path)) for path in files if path.suffix.lower() in IMAGE_SUFFIXES
    )
    if not photos:
        raise DataError(f"'{folder}' holds no .jpg or .png image")
    return photos


def _read_photo(path: Path) -> RgbdFrame:
    """Read a photograph as a frame without depth."""
    with image_errors(path):
        bgr = read_image(path, cv2.IMREAD_COLOR)
    return colour_frame(np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8, copy=False))
