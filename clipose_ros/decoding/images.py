"""Decoding of colour, depth and label images.

The encoding of a depth image determines its unit (REP-118): 16UC1 is millimetres with 0 invalid, 32FC1 is metres with
NaN invalid. Unusable messages raise ``FrameError``, which names the topic, the value and a remedy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipose_ros.decoding.color_encodings import COLOR_LAYOUTS, decode_color
from clipose_ros.decoding.messages import CompressedImageMessage, ImageMessage
from clipose_ros.errors import FrameError, UnreadableFileError, quoted
from clipose_ros.image_files import check_image, decode_image
from clipose_ros.types import ByteArray, FloatArray, LabelArray

ENCODINGS: dict[str, tuple[type[np.generic], int]] = {
    **{name: (np.uint8, layout.channels) for name, layout in COLOR_LAYOUTS.items()},
    "mono16": (np.uint16, 1),
    "16UC1": (np.uint16, 1),
    "32SC1": (np.int32, 1),
    "32FC1": (np.float32, 1),
}
"""Type of a value and number of values per pixel, by the encoding of the message."""
_GRID_STEP = 16  # every 16th row and column is tested for valid depth before the whole image
DEPTH_ENCODINGS = ("16UC1", "mono16", "32FC1")
_LABEL_ENCODINGS = ("16UC1", "mono16", "32SC1")


def read_color(message: ImageMessage, topic: str) -> ByteArray:
    """Convert an image in an encoding of ``COLOR_LAYOUTS`` to ``(H, W, 3)`` uint8, R G B."""
    return decode_color(_pixels(message, topic, tuple(COLOR_LAYOUTS)), message.encoding, topic)


def read_compressed_color(message: CompressedImageMessage, topic: str) -> ByteArray:
    """Decode a JPEG or PNG image to ``(H, W, 3)`` uint8, R G B."""
    try:
        image = decode_image(bytes(message.data))
    except UnreadableFileError as error:
        raise _not_compressed(message, topic, f" ({error})") from error
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise _not_compressed(message, topic)
    channels = (0, 0, 0) if image.ndim == 2 or image.shape[2] == 1 else (2, 1, 0)
    return np.ascontiguousarray(image.reshape(*image.shape[:2], -1)[..., channels], dtype=np.uint8)


def read_depth(message: ImageMessage, topic: str) -> FloatArray:
    """Convert a 16UC1 (mm) or 32FC1 (m) image to ``(H, W)`` float32 metres; invalid pixels stay 0, NaN or infinite."""
    pixels = _pixels(message, topic, DEPTH_ENCODINGS)[..., 0]
    is_metric = message.encoding == "32FC1"
    depth = np.ascontiguousarray(pixels) if is_metric else np.multiply(pixels, np.float32(1e-3), dtype=np.float32)
    # Testing a sparse grid nearly always suffices and is faster than testing all pixels.
    if not (_has_valid_depth(depth[::_GRID_STEP, ::_GRID_STEP]) or _has_valid_depth(depth)):
        raise FrameError(
            f"'{topic}' has no valid depth at all: of {depth.size} pixels {int((depth == 0.0).sum())} are 0, "
            f"{int((depth < 0.0).sum())} negative and {int((~np.isfinite(depth)).sum())} not finite: check whether the "
            "sensor is covered, blinded or too close, and its emitter on"
        )
    return depth


def _has_valid_depth(depth: FloatArray) -> bool:
    """Return True if any pixel is positive and finite."""
    return bool(((depth > 0.0) & np.isfinite(depth)).any())


def read_labels(message: ImageMessage, topic: str) -> LabelArray:
    """Convert an image of label values to ``(H, W)``: uint16 for 16UC1 and mono16, int32 for 32SC1."""
    return np.ascontiguousarray(_pixels(message, topic, _LABEL_ENCODINGS)[..., 0])


def _pixels(message: ImageMessage, topic: str, encodings: tuple[str, ...]) -> NDArray[Any]:
    """Return the pixels ``(H, W, C)`` of a message in native byte order, without the padding of its rows."""
    if message.encoding not in encodings:
        raise FrameError(
            f"'{topic}' has encoding {quoted(message.encoding)}: expected one of {', '.join(encodings)}; convert it or "
            "remap the topic"
        )
    dtype, channels = ENCODINGS[message.encoding]
    layout = COLOR_LAYOUTS.get(message.encoding)
    height, width = math.ceil(message.height * (layout.planes if layout else 1.0)), message.width
    row = width * channels * np.dtype(dtype).itemsize
    if height == 0 or width == 0:
        raise FrameError(f"'{topic}' is empty ({width}x{height} pixels): check the camera driver")
    if message.step < row or len(message.data) < message.step * height:
        raise FrameError(
            f"'{topic}' holds {len(message.data)} bytes with a step of {message.step} but {width}x{message.height} "
            f"{message.encoding} needs a step of at least {row} and step x {height} bytes: the driver or a bridge "
            "truncates its messages"
        )
    # A row may be padded to more than its pixels, and the padding need not be a multiple of the pixel size.
    rows = np.frombuffer(message.data, np.uint8, message.step * height).reshape(height, message.step)[:, :row]
    wire = np.dtype(dtype).newbyteorder(">" if message.is_bigendian else "<")
    if wire.itemsize == 1:
        return rows.reshape(height, width, channels)
    pixels = np.ascontiguousarray(rows).view(wire).reshape(height, width, channels)
    return pixels.astype(dtype, copy=False)


def read_compressed_size(message: CompressedImageMessage, topic: str) -> tuple[int, int]:
    """Return width and height from the header of a JPEG or PNG image.

    Raises:
        FrameError: It is neither, is damaged, or has more pixels than are read.
    """
    try:
        return check_image(bytes(message.data))
    except UnreadableFileError as error:
        raise _not_compressed(message, topic, f" ({error})") from error


def _not_compressed(message: CompressedImageMessage, topic: str, reason: str = "") -> FrameError:
    return FrameError(
        f"'{topic}' holds {len(message.data)} bytes of format {quoted(message.format)} that are not an 8-bit "
        f"JPEG or PNG image{reason}: set the format of image_transport's compressed plugin, or set sync.compressed to "
        "false"
    )
