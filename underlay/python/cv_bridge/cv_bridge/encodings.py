"""What an encoding's name says: element type, channels, and the arrangement of colours."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

_DEPTHS = {"8U": "u1", "8S": "i1", "16U": "u2", "16S": "i2", "32S": "i4", "32F": "f4", "64F": "f8"}
_CHANNELS = {"mono": 1, "rgb": 3, "bgr": 3, "rgba": 4, "bgra": 4}
# OpenCV names a Bayer pattern by its second row, second and third column; ROS by the first row and column.
_BAYER = {"bayer_rggb": "BayerBG", "bayer_bggr": "BayerRG", "bayer_gbrg": "BayerGR", "bayer_grbg": "BayerGB"}
_YUV = {"yuv422": "UYVY", "uyvy": "UYVY", "yuv422_yuy2": "YUY2", "yuyv": "YUY2"}
_OPENCV = {"mono": "GRAY", "rgb": "RGB", "bgr": "BGR", "rgba": "RGBA", "bgra": "BGRA"} | _BAYER


@dataclass(frozen=True)
class Encoding:
    """A pixel's layout."""

    dtype: np.dtype[np.generic]
    """Element type, native byte order."""
    channels: int
    colours: str | None
    """Name of the arrangement without its depth (``rgb``, ``bayer_rggb``, ``yuv422``), None for generic encodings."""

    @property
    def generic_name(self) -> str:
        """The encoding without colours, such as ``8UC3``."""
        depth = next(name for name, code in _DEPTHS.items() if np.dtype(code) == self.dtype)
        return f"{depth}C{self.channels}"


def parse_encoding(name: str) -> Encoding:
    """Layout of the encoding ``name``.

    Raises:
        ValueError: There is no such encoding.
    """
    if generic := re.fullmatch(r"(8U|8S|16U|16S|32S|32F|64F)(?:C(\d+))?", name):
        return Encoding(np.dtype(_DEPTHS[generic[1]]), int(generic[2] or 1), None)
    if name in _YUV:
        return Encoding(np.dtype("u1"), 2, name)
    if colour := re.fullmatch(r"(mono|rgba?|bgra?|bayer_[rgb]{4})(8|16)", name):
        colours, bits = colour[1], colour[2]
        if colours in _CHANNELS or colours in _BAYER:
            return Encoding(np.dtype("u1" if bits == "8" else "u2"), _CHANNELS.get(colours, 1), colours)
    raise ValueError(
        f"expected an image encoding such as rgb8, bgr8, rgba8, bgra8, mono8, mono16, 16UC1 or 32FC1; got '{name}'"
    )


def opencv_conversion(source: str, target: str) -> str | None:
    """Name of OpenCV's conversion between two arrangements of colours; None where OpenCV may have none."""
    if target not in _CHANNELS:
        return None
    if source in _YUV:
        return f"COLOR_YUV2{_OPENCV[target]}_{_YUV[source]}"
    return f"COLOR_{_OPENCV[source]}2{_OPENCV[target]}"
