"""Colour encodings of cameras: each layout is written by its definition and read back as RGB."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import Image

from clipose_ros.decoding.color_encodings import COLOR_LAYOUTS
from clipose_ros.decoding.images import read_color
from clipose_ros.errors import FrameError
from clipose_ros.types import ByteArray, FloatArray

# BT.601 with the limited range of video: Y from 16 to 235, U and V from 16 to 240.
RGB_TO_YUV = np.array([[0.257, 0.504, 0.098], [-0.148, -0.291, 0.439], [0.439, -0.368, -0.071]])
OFFSET = np.array([16.0, 128.0, 128.0])
BAYER = {"bayer_rggb8": "RGGB", "bayer_bggr8": "BGGR", "bayer_gbrg8": "GBRG", "bayer_grbg8": "GRBG"}
YUV = ["yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv21"]
Color = tuple[int, ...]
colors = st.tuples(*[st.integers(0, 255)] * 3)


def smooth(first: Color, last: Color, height: int, width: int) -> ByteArray:
    """Return a gradient from one colour to another along the columns."""
    share = np.linspace(0.0, 1.0, width)[None, :, None]
    return (
        np.broadcast_to(np.array(first) * (1.0 - share) + np.array(last) * share, (height, width, 3))
        .round()
        .astype(np.uint8)
    )


def encode(rgb: ByteArray, encoding: str) -> bytes:
    """Write an image in a layout, by its definition."""
    if encoding in BAYER:
        place = np.array([["RGB".index(c) for c in BAYER[encoding][:2]], ["RGB".index(c) for c in BAYER[encoding][2:]]])
        channel = np.tile(place, (rgb.shape[0] // 2, rgb.shape[1] // 2))
        return np.take_along_axis(rgb, channel[..., None], axis=2).tobytes()
    yuv: FloatArray = np.clip((rgb @ RGB_TO_YUV.T + OFFSET).round(), 0, 255)
    y, chroma = yuv[..., 0].astype(np.uint8), yuv[..., 1:]
    if encoding == "nv21":
        vu = chroma.reshape(rgb.shape[0] // 2, 2, rgb.shape[1] // 2, 2, 2).mean(axis=(1, 3))[..., ::-1]
        return y.tobytes() + vu.round().astype(np.uint8).tobytes()
    pairs = chroma.reshape(rgb.shape[0], rgb.shape[1] // 2, 2, 2).mean(axis=2).round().astype(np.uint8)
    uv = pairs.reshape(rgb.shape[0], rgb.shape[1])  # U V U V ...
    first, second = (uv, y) if encoding in ("yuv422", "uyvy") else (y, uv)
    return np.stack([first, second], axis=-1).tobytes()


def message(encoding: str, height: int, width: int, data: bytes, padding: int = 0) -> Image:
    row = width * COLOR_LAYOUTS[encoding].channels
    rows = np.frombuffer(data, np.uint8).reshape(-1, row)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=7)
    return Image(height=height, width=width, encoding=encoding, step=row + padding, data=padded.tobytes())


@settings(deadline=None, max_examples=25)
@given(
    encoding=st.sampled_from(YUV),
    first=colors,
    last=colors,
    padding=st.integers(0, 3),
    size=st.tuples(*[st.integers(1, 9)] * 2),
)
def test_yuv_images_are_read(
    encoding: str, first: tuple[int, ...], last: tuple[int, ...], padding: int, size: tuple[int, int]
) -> None:
    height, width = 2 * size[0], 2 * size[1]
    rgb = smooth(first, last, height, width)
    # Neighbours share their colour: only an image of equal pairs returns as it was.
    rgb[:, 1::2] = rgb[:, ::2]
    found = read_color(message(encoding, height, width, encode(rgb, encoding), padding), "/color")
    assert found.shape == rgb.shape and found.flags["C_CONTIGUOUS"]
    assert np.abs(found.astype(int) - rgb).max() <= 6


@settings(deadline=None, max_examples=25)
@given(encoding=st.sampled_from(sorted(BAYER)), first=colors, last=colors, padding=st.integers(0, 3))
def test_bayer_patterns_are_demosaiced(
    encoding: str, first: tuple[int, ...], last: tuple[int, ...], padding: int
) -> None:
    rgb = smooth(first, last, 8, 64)
    found = read_color(message(encoding, 8, 64, encode(rgb, encoding), padding), "/color")
    assert np.abs(found.astype(int) - rgb)[2:-2, 2:-2].max() <= 5


@pytest.mark.parametrize("encoding", [name for name, layout in COLOR_LAYOUTS.items() if layout.even])
@pytest.mark.parametrize("size", [(5, 4), (4, 5)])
def test_odd_sizes_are_refused(encoding: str, size: tuple[int, int]) -> None:
    row = size[1] * COLOR_LAYOUTS[encoding].channels
    image = Image(height=size[0], width=size[1], encoding=encoding, step=row, data=bytes(row * 2 * size[0]))
    with pytest.raises(FrameError, match="even width and height"):
        read_color(image, "/color")


def test_nv21_without_its_colour_plane_is_refused() -> None:
    image = Image(height=4, width=4, encoding="nv21", step=4, data=bytes(16))
    with pytest.raises(FrameError, match=r"4x4 nv21 needs a step of at least 4 and step x 6 bytes"):
        read_color(image, "/color")


def test_unknown_encoding_lists_those_that_are_read() -> None:
    with pytest.raises(FrameError, match=r"'/color' has encoding 'bayer_rggb16'.*rgb8.*yuyv.*nv21.*bayer_grbg8"):
        read_color(Image(height=2, width=2, encoding="bayer_rggb16", step=4, data=bytes(8)), "/color")
