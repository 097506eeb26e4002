"""Layouts of colour images that cameras publish, and their conversion to RGB.

Bayer patterns are named by their first row and column in ROS and by their second ones in OpenCV.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from clipose_ros.errors import FrameError
from clipose_ros.types import ByteArray


@dataclass(frozen=True, slots=True)
class ColorLayout:
    """Layout of an 8-bit colour image.

    Attributes:
        channels: Bytes per pixel in a row.
        to_rgb: Conversion code of OpenCV; None if the pixels are R, G, B already.
        even: True if width and height must be even, since pixels share colour.
        planes: Rows of the message per row of the image; 1.5 where a plane with half the rows holds the colour.
    """

    channels: int
    to_rgb: int | None
    even: bool = False
    planes: float = 1.0


_BAYER = {
    "bayer_rggb8": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
}
COLOR_LAYOUTS: Mapping[str, ColorLayout] = {
    "rgb8": ColorLayout(3, None),
    "bgr8": ColorLayout(3, cv2.COLOR_BGR2RGB),
    "rgba8": ColorLayout(4, cv2.COLOR_RGBA2RGB),
    "bgra8": ColorLayout(4, cv2.COLOR_BGRA2RGB),
    "mono8": ColorLayout(1, cv2.COLOR_GRAY2RGB),
    "yuv422": ColorLayout(2, cv2.COLOR_YUV2RGB_UYVY, even=True),
    "uyvy": ColorLayout(2, cv2.COLOR_YUV2RGB_UYVY, even=True),
    "yuv422_yuy2": ColorLayout(2, cv2.COLOR_YUV2RGB_YUY2, even=True),
    "yuyv": ColorLayout(2, cv2.COLOR_YUV2RGB_YUY2, even=True),
    "nv21": ColorLayout(1, cv2.COLOR_YUV2RGB_NV21, even=True, planes=1.5),
    **{name: ColorLayout(1, code, even=True) for name, code in _BAYER.items()},
}
"""Layout by the encoding of the message, in the order of preference for error messages."""


def decode_color(pixels: ByteArray, encoding: str, topic: str) -> ByteArray:
    """Convert pixels to RGB.

    Args:
        pixels: ``(H * planes, W, channels)`` uint8 in the layout of the encoding.
        encoding: Key of ``COLOR_LAYOUTS``.
        topic: Topic for error messages.

    Returns:
        ``(H, W, 3)`` uint8, R G B, contiguous.

    Raises:
        FrameError: Width or height is odd where the layout needs even ones.
    """
    layout = COLOR_LAYOUTS[encoding]
    height, width = round(pixels.shape[0] / layout.planes), pixels.shape[1]
    if layout.even and (width % 2 or height % 2):
        raise FrameError(
            f"'{topic}' is {width}x{height} pixels in encoding '{encoding}', which needs an even width and height"
        )
    contiguous = np.ascontiguousarray(pixels)
    return contiguous if layout.to_rgb is None else np.asarray(cv2.cvtColor(contiguous, layout.to_rgb), dtype=np.uint8)
