"""NOCS file formats: pixel encodings and meta files, checked with files written by hand."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from clipose_ros.data.nocs.files import (
    CAMERA_INTRINSICS,
    REAL_INTRINSICS,
    MetaLine,
    decode_coordinates,
    decode_depth,
    encode_coordinates,
    encode_object_depth,
    read_image,
    read_mask,
    read_meta,
)
from clipose_ros.errors import DataError


@pytest.mark.parametrize(
    ("red_green_blue", "xyz"),
    [
        ((0, 0, 0), (-0.5, -0.5, 0.5)),
        ((255, 0, 0), (0.5, -0.5, 0.5)),
        ((0, 255, 0), (-0.5, 0.5, 0.5)),
        ((0, 0, 255), (-0.5, -0.5, -0.5)),
        ((255, 255, 255), (0.5, 0.5, -0.5)),
        ((51, 102, 204), (-0.3, -0.1, -0.3)),
    ],
)
def test_decode_coordinates_returns_x_y_and_flipped_z(tmp_path, red_green_blue, xyz):
    """The PNG is encoded without OpenCV, so that its bytes are known to be red, green, blue."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    raw = b"\x00" + bytes(red_green_blue)
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    (tmp_path / "0000_coord.png").write_bytes(png)
    decoded = decode_coordinates(cv2.imread(str(tmp_path / "0000_coord.png")))
    np.testing.assert_allclose(decoded[0, 0], xyz, atol=1e-9)


def test_encode_coordinates_is_the_inverse_up_to_rounding():
    coordinates = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 30, 3))
    decoded = decode_coordinates(encode_coordinates(coordinates))
    assert np.abs(decoded - coordinates).max() <= 0.5 / 255 + 1e-12


def test_decode_depth_of_both_encodings_returns_metres(tmp_path):
    deep = np.array([[0, 1, 500, 32001, 12345]], dtype=np.uint16)
    expected = [[0.0, 0.001, 0.5, 0.0, 12.345]]
    np.testing.assert_allclose(decode_depth(deep, tmp_path), expected, atol=1e-6)
    channels = np.stack([np.zeros_like(deep), deep >> 8, deep & 255], axis=-1).astype(np.uint8)
    np.testing.assert_allclose(decode_depth(channels, tmp_path), expected, atol=1e-6)
    with pytest.raises(DataError, match="16 bit"):
        decode_depth(deep.astype(np.uint8), tmp_path)


def test_read_meta_of_camera_and_real(tmp_path):
    path = tmp_path / "0000_meta.txt"
    path.write_text("1 2 bowl_white_small_norm\n2 0 03211117 e51e15b3d\n\n3 6 03797390 b9be7cfe\n")
    real, background, camera = read_meta(path)
    assert (real.instance, real.class_id, real.model, real.synset) == (1, 2, "bowl_white_small_norm", "")
    assert background.class_id == 0
    assert (camera.class_id, camera.model, camera.synset) == (6, "b9be7cfe", "03797390")


def test_read_meta_names_malformed_lines(tmp_path):
    path = tmp_path / "0001_meta.txt"
    for text in ("1 2 a\n1 bowl x\n", "1 2 a\n7 1\n"):
        path.write_text(text)
        with pytest.raises(DataError, match=r"0001_meta\.txt', line 2"):
            read_meta(path)
    with pytest.raises(DataError, match="0002_meta"):
        read_meta(tmp_path / "0002_meta.txt")


def test_read_mask_of_one_and_four_channels(tmp_path):
    mask = np.full((480, 640), 255, dtype=np.uint8)
    mask[10, 20] = 3
    cv2.imwrite(str(tmp_path / "one.png"), mask)
    cv2.imwrite(str(tmp_path / "four.png"), np.dstack([mask * 0, mask * 0, mask, mask * 0]))
    for name in ("one.png", "four.png"):
        np.testing.assert_array_equal(read_mask(tmp_path / name), mask)


def test_read_image_names_missing_damaged_and_wrong_sized_files(tmp_path):
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((4, 4), np.uint8))
    (tmp_path / "cut.png").write_bytes((tmp_path / "small.png").read_bytes()[:20])
    for name in ("small.png", "cut.png", "missing.png"):
        with pytest.raises(DataError, match=name):
            read_image(tmp_path / name)


def test_intrinsics_are_the_published_ones():
    assert (CAMERA_INTRINSICS.fx, CAMERA_INTRINSICS.fy, CAMERA_INTRINSICS.cx, CAMERA_INTRINSICS.cy) == (
        577.5,
        577.5,
        319.5,
        239.5,
    )
    assert (REAL_INTRINSICS.fx, REAL_INTRINSICS.fy, REAL_INTRINSICS.cx, REAL_INTRINSICS.cy) == (
        591.0125,
        590.16775,
        322.525,
        244.11084,
    )


def test_encode_object_depth_is_the_inverse_and_marks_missing_depth(tmp_path):
    depth_mm = np.array([[0, 1, 500, 32001 - 1, 65535]], dtype=np.uint16)
    image = encode_object_depth(depth_mm)
    assert image[0, 0].tolist() == [0, 32001 >> 8, 32001 & 255]
    np.testing.assert_array_equal(np.rint(1000 * decode_depth(image, tmp_path)), depth_mm)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 a\n1 3 b\n", "line 2: the instance 1 is listed twice"),
        ("1 2 ../../a\n", "line 1"),
        ("1 2 03797390/.. a\n", "line 1"),
        ("-1 2 a\n", "line 1"),
        (f"{'9' * 5000} 2 a\n", "line 1"),
        ("1 2 03797390 a b\n", "line 1"),
    ],
)
def test_read_meta_refuses_repeated_instances_and_paths(tmp_path, text, message):
    (tmp_path / "0001_meta.txt").write_text(text)
    with pytest.raises(DataError, match=rf"0001_meta\.txt', {message}") as caught:
        read_meta(tmp_path / "0001_meta.txt")
    assert len(str(caught.value)) < 400


def test_read_meta_accepts_a_byte_order_mark_and_refuses_other_bytes(tmp_path):
    path = tmp_path / "0001_meta.txt"
    path.write_bytes(b"\xef\xbb\xbf1 2 bowl\r\n")
    assert read_meta(path) == [MetaLine(1, 2, "bowl", "")]
    path.write_bytes(b"1 2 b\xff\n")
    with pytest.raises(DataError, match="0001_meta"):
        read_meta(path)


def test_read_mask_refuses_16_bits(tmp_path):
    """256 + 1 would read as instance 1."""
    cv2.imwrite(str(tmp_path / "0000_mask.png"), np.full((480, 640), 257, np.uint16))
    with pytest.raises(DataError, match=r"0000_mask\.png.*8 bits"):
        read_mask(tmp_path / "0000_mask.png")


def test_read_image_refuses_damaged_pixels(tmp_path):
    path = tmp_path / "0000_mask.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 9, (480, 640), dtype=np.uint8))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"0000_mask\.png"):
        read_mask(path)
