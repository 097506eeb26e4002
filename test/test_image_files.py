"""Bounded reading of images: sizes in headers, damage, and formats."""

import contextlib
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.errors import UnreadableFileError
from clipose_ros.image_files import MAX_IMAGE_PIXELS, ImageSize, decode_image, read_image, read_image_size

RNG = np.random.default_rng(0)
PNG_START = b"\x89PNG\r\n\x1a\n"
COLOUR = RNG.integers(0, 255, (12, 34, 3), dtype=np.uint8)
DEPTH = RNG.integers(0, 4000, (12, 34), dtype=np.uint16)


def encode(image, suffix):
    return cv2.imencode(suffix, image)[1].tobytes()


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_zeros(width, height, compressed=b""):
    """Return a PNG that states a size; its pixels are ``compressed``."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (png_chunk(b"IHDR", header), png_chunk(b"IDAT", compressed), png_chunk(b"IEND", b""))
    return PNG_START + b"".join(chunks)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_size_is_read_from_the_header(suffix):
    assert read_image_size(encode(COLOUR, suffix)) == ImageSize(34, 12)


@pytest.mark.parametrize("setting", [cv2.IMWRITE_JPEG_PROGRESSIVE, cv2.IMWRITE_JPEG_RST_INTERVAL])
def test_size_of_other_jpeg_kinds_is_read(setting):
    data = cv2.imencode(".jpg", COLOUR, [setting, 1])[1].tobytes()
    padded = data[:2] + b"\xff\xff\xff" + data[2:]
    for each in (data, padded):
        assert read_image_size(each) == ImageSize(34, 12)
        assert decode_image(each).shape == (12, 34, 3)


def test_images_are_decoded_without_loss(tmp_path):
    for image in (COLOUR, DEPTH):
        (tmp_path / "x.png").write_bytes(encode(image, ".png"))
        np.testing.assert_array_equal(read_image(tmp_path / "x.png"), image)
        assert read_image(tmp_path / "x.png").dtype == image.dtype
    assert read_image(tmp_path / "x.png", cv2.IMREAD_COLOR).shape == (12, 34, 3)


def jpeg_of_size(width, height):
    """Return a JPEG without pixels that states a size."""
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, height, width, 1) + bytes(3)
    return b"\xff\xd8" + frame + b"\xff\xda\xff\xd9"


@pytest.mark.parametrize(
    ("data", "stated"),
    [
        (png_of_zeros(16000, 16000), "16000x16000"),
        (png_of_zeros(2**31 - 1, 2), "2147483647x2"),
        (png_of_zeros(0, 5), "0x5"),
        (jpeg_of_size(65535, 65535), "65535x65535"),
        (jpeg_of_size(16, 0), "16x0"),
    ],
)
def test_size_is_checked_before_pixels_are_decoded(data, stated, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("pixels are decoded"))
    with pytest.raises(UnreadableFileError, match=f"states {stated} pixels, at most {MAX_IMAGE_PIXELS} are read"):
        decode_image(data)


def test_every_flipped_bit_of_a_png_is_noticed():
    data = encode(COLOUR, ".png")
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(RNG.integers(8))
        with pytest.raises(UnreadableFileError):
            decode_image(bytes(damaged))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_images_that_are_cut_short_are_refused(suffix):
    data = encode(COLOUR, suffix)
    for length in range(len(data) - 1):
        with pytest.raises(UnreadableFileError):
            decode_image(data[:length])


def test_pixels_that_end_early_are_refused():
    with pytest.raises(UnreadableFileError, match="cannot be decoded"):
        decode_image(png_of_zeros(64, 64, zlib.compress(b"\0" * (65 * 32))))


@pytest.mark.parametrize("suffix", [".bmp", ".tiff", ".webp"])
def test_other_formats_are_named(suffix):
    with pytest.raises(UnreadableFileError, match="neither a PNG nor a JPEG"):
        decode_image(encode(COLOUR, suffix))


@given(st.sampled_from([b"", b"\xff\xd8\xff", PNG_START, PNG_START + b"\0\0\0\rIHDR"]), st.binary(max_size=80))
def test_any_bytes_are_decoded_or_refused(start, data):
    with contextlib.suppress(UnreadableFileError):
        decode_image(start + data)


def test_empty_and_missing_files_are_refused(tmp_path):
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(UnreadableFileError, match="it is empty"):
        read_image(tmp_path / "x.png")
    with pytest.raises(UnreadableFileError, match="No such file"):
        read_image(tmp_path / "y.png")
