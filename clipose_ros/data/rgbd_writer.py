"""Writer of a folder of registered RGB-D frames that ``rgbd_folder`` reads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np

from clipose_ros.atomic_files import write_atomically
from clipose_ros.data.rgbd_folder import METRES_PER_MILLIMETRE
from clipose_ros.errors import DataError
from clipose_ros.types import CameraIntrinsics, RgbdFrame

CAMERA_FILE = "camera.json"
_MAX_DEPTH_UNITS = np.iinfo(np.uint16).max
_FRAME_NAME = re.compile(r"(\d+)-(?:color|depth)\.png")


class RgbdFolderWriter:
    """Writer of frames of one camera: ``000000-color.png``, ``000000-depth.png``, ``camera.json``.

    Frames are added to those of an earlier recording in the folder, if the intrinsics are equal.

    Args:
        folder: Folder; created with the first frame.

    Attributes:
        folder: The folder.
        written: Number of frames written by this writer.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.written = folder, 0
        self._intrinsics: CameraIntrinsics | None = None
        self._next = 0

    def write(self, frame: RgbdFrame) -> Path:
        """Write a frame and return the path of its colour image.

        Depth is rounded to millimetres; values that are not positive, not finite or above 65.535 m become 0. Both
        images are complete or absent, and a colour image never appears without its depth.

        Raises:
            DataError: A file cannot be written, or the folder or an earlier frame belongs to another camera.
        """
        if self._intrinsics is None:
            self._open(frame.intrinsics)
        elif frame.intrinsics != self._intrinsics:
            raise DataError(
                f"the camera changed from {self._intrinsics} to {frame.intrinsics}: '{self.folder}' holds frames of "
                "one camera; record into another folder"
            )
        stem = f"{self._next:06d}"
        colour, depth = (self.folder / f"{stem}-{kind}.png" for kind in ("color", "depth"))
        try:
            write_atomically(depth, [_encode_png(_to_millimetres(frame))])
            write_atomically(colour, [_encode_png(frame.rgb[..., ::-1])])
        except BaseException:
            if not colour.exists():
                depth.unlink(missing_ok=True)
            raise
        self._next += 1
        self.written += 1
        return colour

    def _open(self, intrinsics: CameraIntrinsics) -> None:
        """Create the folder with ``camera.json``, or continue after the frames of an earlier recording."""
        content = json.dumps(_camera_record(intrinsics), indent=2).encode()
        path = self.folder / CAMERA_FILE
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            names = [entry.name for entry in self.folder.iterdir()]
            is_same = path.read_bytes() == content if path.exists() else not names
        except OSError as error:
            raise DataError(
                f"frames cannot be recorded into '{self.folder}' ({error}): choose another folder"
            ) from error
        if not is_same:
            raise DataError(
                f"'{self.folder}' holds frames of another camera, or other files: record into a new or empty folder"
            )
        self._next = 1 + max((int(match[1]) for match in map(_FRAME_NAME.fullmatch, names) if match), default=-1)
        if not path.exists():
            write_atomically(path, [content])
        self._intrinsics = intrinsics


def _camera_record(intrinsics: CameraIntrinsics) -> dict[str, float]:
    """Return the content of ``camera.json``."""
    names = ("fx", "fy", "cx", "cy", "width", "height")
    return {**{name: getattr(intrinsics, name) for name in names}, "depth_scale": METRES_PER_MILLIMETRE}


def _to_millimetres(frame: RgbdFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.uint16]]:
    """Return depth ``(H, W)`` uint16, millimetres; 0 is invalid."""
    is_valid = (frame.depth > 0.0) & (frame.depth < (_MAX_DEPTH_UNITS + 0.5) * METRES_PER_MILLIMETRE)
    return np.rint(np.where(is_valid, frame.depth, 0.0) / METRES_PER_MILLIMETRE).astype(np.uint16)


def _encode_png(image: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    _, png = cv2.imencode(".png", np.ascontiguousarray(image))
    return png.tobytes()
