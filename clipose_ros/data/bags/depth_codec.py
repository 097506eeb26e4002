"""Depth images that ``compressed_depth_image_transport`` compressed as PNG.

The data begin with 12 bytes: the format and two float32 (a, b). 16UC1 follows as it is. Metres are stored as
v = a / depth + b, rounded, with 0 for no depth.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np

from clipose_ros.decoding.messages import CompressedImageMessage, Header
from clipose_ros.errors import FrameError, UnreadableFileError, quoted
from clipose_ros.image_files import decode_image
from clipose_ros.types import ByteArray

_HEAD = struct.Struct("<iff")
_PNG = b"\x89PNG"


@dataclass(frozen=True, slots=True, eq=False)
class DepthImage:
    """``sensor_msgs/Image`` of a decompressed depth image."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: ByteArray


def is_compressed_depth(message: CompressedImageMessage, topic: str) -> bool:
    """Return True for a compressed depth image, by its format or the name of its topic."""
    return "compresseddepth" in message.format.lower() or topic.endswith("compressedDepth")


def decompress_depth(message: CompressedImageMessage, topic: str) -> DepthImage:
    """Return a compressed depth image as an image of encoding 16UC1 or 32FC1.

    Raises:
        FrameError: It is not compressed as PNG, or damaged; the error names the topic.
    """
    data = bytes(message.data)
    if data[_HEAD.size : _HEAD.size + len(_PNG)] != _PNG:
        raise FrameError(
            f"'{topic}' is compressed as {quoted(message.format)}, which is not PNG: set compressedDepth's format to "
            "png in the driver, or record the raw topic"
        )
    try:
        pixels = decode_image(data[_HEAD.size :], cv2.IMREAD_UNCHANGED)
    except UnreadableFileError as error:
        raise FrameError(f"'{topic}' holds a compressed depth image that cannot be used: {error}") from error
    if pixels.ndim != 2 or pixels.dtype != np.uint16:
        raise FrameError(
            f"'{topic}' holds a depth image of {pixels.dtype} {pixels.shape}, expected 16 bit and one channel: record "
            "the raw topic"
        )
    encoding = "16UC1"
    if message.format.strip().startswith("32FC1"):
        _, a, b = _HEAD.unpack_from(data)
        with np.errstate(divide="ignore", invalid="ignore"):
            metres = np.float32(a) / (pixels.astype(np.float32) - np.float32(b))
        pixels, encoding = np.where(pixels == 0, np.float32("nan"), metres), "32FC1"
    row = np.ascontiguousarray(pixels)
    return DepthImage(
        message.header, row.shape[0], row.shape[1], encoding, 0, row.shape[1] * row.itemsize, row.view(np.uint8).ravel()
    )
