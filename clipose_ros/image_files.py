"""Bounded reading of PNG and JPEG images.

The size in the header is checked before the pixels are decoded: an image of 1 MB may hold 10^9 pixels. OpenCV returns
images that are cut short or damaged without an error, so the checksums of a PNG and the end of a JPEG are checked too.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from clipose_ros.bounded_files import read_bytes
from clipose_ros.errors import UnreadableFileError

MAX_IMAGE_PIXELS = 1 << 26
"""Largest number of pixels of an image: 8192x8192."""
MAX_IMAGE_BYTES = 1 << 28
"""Largest size of an image file, bytes."""
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_JPEG_SCAN = 0xDA
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG frame headers, which state the size."""


class ImageSize(NamedTuple):
    """Width and height of an image, pixels."""

    width: int
    height: int


def read_image(path: str | Path, flags: int = cv2.IMREAD_UNCHANGED) -> NDArray[np.generic]:
    """Read a PNG or JPEG file; see ``decode_image``.

    Raises:
        UnreadableFileError: The file cannot be read, or its content is not accepted.
    """
    return decode_image(read_bytes(path, MAX_IMAGE_BYTES), flags)


def decode_image(data: bytes, flags: int = cv2.IMREAD_UNCHANGED) -> NDArray[np.generic]:
    """Decode a PNG or JPEG image.

    Args:
        data: Content of the file.
        flags: Flags of ``cv2.imdecode``.

    Returns:
        ``(H, W)`` or ``(H, W, C)`` pixels, channels in the order of OpenCV: B G R.

    Raises:
        UnreadableFileError: The data is neither PNG nor JPEG, is damaged, or states more than ``MAX_IMAGE_PIXELS``.
    """
    check_image(data)
    try:
        image: NDArray[np.generic] | None = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        raise UnreadableFileError(f"it cannot be decoded: {error.err}") from error
    if image is None:
        raise UnreadableFileError("it cannot be decoded: the image is damaged")
    return image


def check_image(data: bytes) -> ImageSize:
    """Check size and completeness of a PNG or JPEG image, and the checksums of a PNG; pixels are not decoded.

    Libraries of OpenCV print a line for each damaged image that they decode. The pixels of a JPEG have no checksum.

    Returns:
        Width and height.

    Raises:
        UnreadableFileError: ``decode_image`` would not accept the image.
    """
    size = read_image_size(data)
    _check_complete(data)
    return size


def read_image_size(data: bytes) -> ImageSize:
    """Read width and height from the header of a PNG or JPEG image; pixels are not decoded.

    Raises:
        UnreadableFileError: The data is neither PNG nor JPEG, or states no pixels or more than ``MAX_IMAGE_PIXELS``.
    """
    if data.startswith(_PNG_SIGNATURE) and data[12:16] == b"IHDR" and len(data) >= 24:
        size = ImageSize(*struct.unpack(">II", data[16:24]))
    elif data.startswith(_JPEG_START):
        size = _read_jpeg_size(data)
    else:
        raise UnreadableFileError("it is neither a PNG nor a JPEG image" if data else "it is empty")
    if not 0 < size.width * size.height <= MAX_IMAGE_PIXELS:
        raise UnreadableFileError(f"it states {size.width}x{size.height} pixels, at most {MAX_IMAGE_PIXELS} are read")
    return size


def _read_jpeg_size(data: bytes) -> ImageSize:
    """Read the size in the frame header of a JPEG image."""
    for marker, start in _iter_jpeg_segments(data):
        if marker in _JPEG_FRAMES and start + 7 <= len(data):
            height, width = struct.unpack(">HH", data[start + 3 : start + 7])
            return ImageSize(width, height)
    raise UnreadableFileError("it is a JPEG image without a size: the file is damaged")


def _iter_jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield marker and start of each JPEG segment before the pixels; the segment's length is at its start."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # padding between segments
            place += 1
            continue
        if marker == _JPEG_SCAN:
            return
        yield marker, place + 2
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")


def _check_complete(data: bytes) -> None:
    """Raise ``UnreadableFileError`` if an image is cut short or a checksum of a PNG is wrong."""
    if not data.startswith(_PNG_SIGNATURE):
        # Some cameras pad their JPEG images after the end marker.
        if _JPEG_END not in data[-4096:]:
            raise UnreadableFileError("it is a JPEG image without an end: the file is cut short")
        return
    place, kind = len(_PNG_SIGNATURE), b""
    # A chunk is its length, its kind, its data, and the CRC-32 of kind and data.
    while kind != b"IEND":
        length = int.from_bytes(data[place : place + 4], "big")
        kind, end = data[place + 4 : place + 8], place + 8 + length
        if end + 4 > len(data):
            raise UnreadableFileError("it is a PNG image without an end: the file is cut short")
        if zlib.crc32(memoryview(data)[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise UnreadableFileError("it is a PNG image with a wrong checksum: the file is damaged")
        place = end + 4
