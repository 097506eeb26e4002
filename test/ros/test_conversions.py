"""Messages to core types byte by byte, and every message that cannot be used."""

from __future__ import annotations

import array
import struct
import zlib

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import Quaternion, Vector3
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from clipose_ros.decoding import frames, images, messages
from clipose_ros.errors import DegenerateInputError, FrameError
from clipose_ros.geometry.se3 import rotation_from_quat_xyzw
from clipose_ros.ros import conversions

TOPIC = "/camera/image"
PLACES = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0), "rgba8": (0, 1, 2), "bgra8": (2, 1, 0), "mono8": (0, 0, 0)}
sizes = st.tuples(st.integers(1, 7), st.integers(1, 7))


def raw_image(encoding: str, height: int, width: int, step: int, data: bytes, big: bool = False) -> Image:
    message = Image(height=height, width=width, encoding=encoding, step=step, is_bigendian=int(big))
    message.data = array.array("B", data)
    return message


@settings(deadline=None)
@given(st.sampled_from(sorted(PLACES)), sizes, st.integers(0, 5), st.booleans(), st.data())
def test_every_colour_byte_lands_in_its_place(encoding, size, padding, big, data):
    height, width = size
    channels = {"mono8": 1, "rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4}[encoding]
    step = width * channels + padding
    payload = data.draw(st.binary(min_size=step * height, max_size=step * height + 3))
    rgb = images.read_color(raw_image(encoding, height, width, step, payload, big), TOPIC)
    assert rgb.shape == (height, width, 3) and rgb.dtype == np.uint8 and rgb.flags.c_contiguous
    for v in range(height):
        for u in range(width):
            pixel = payload[v * step + u * channels :][:channels]
            assert tuple(rgb[v, u]) == tuple(pixel[c] for c in PLACES[encoding])


@settings(deadline=None)
@given(st.sampled_from(["16UC1", "mono16"]), sizes, st.integers(0, 5), st.booleans(), st.data())
def test_millimetres_become_metres_in_either_byte_order(encoding, size, padding, big, data):
    height, width = size
    values = data.draw(st.lists(st.integers(0, 65535), min_size=height * width, max_size=height * width).filter(any))
    order = "big" if big else "little"
    rows = [values[v * width : (v + 1) * width] for v in range(height)]
    payload = b"".join(b"".join(x.to_bytes(2, order) for x in row) + b"\xaa" * padding for row in rows)
    depth = images.read_depth(raw_image(encoding, height, width, 2 * width + padding, payload, big), TOPIC)
    assert depth.dtype == np.float32 and depth.shape == size
    np.testing.assert_allclose(depth.ravel(), np.array(values) * 1e-3, rtol=1e-6)


@settings(deadline=None)
@given(sizes, st.integers(0, 5), st.booleans(), st.data())
def test_metres_pass_bit_by_bit_in_either_byte_order(size, padding, big, data):
    height, width = size
    number = st.one_of(st.floats(width=32, allow_nan=False), st.sampled_from([np.nan, np.inf, -np.inf, 0.0]))
    values = data.draw(st.lists(number, min_size=height * width, max_size=height * width))
    expected = np.array(values, np.float32).reshape(height, width)
    wire = expected.astype(">f4" if big else "<f4")
    payload = b"".join(row.tobytes() + b"\xaa" * padding for row in wire)
    message = raw_image("32FC1", height, width, 4 * width + padding, payload, big)
    if not ((expected > 0) & np.isfinite(expected)).any():
        with pytest.raises(FrameError, match="no valid depth"):
            images.read_depth(message, TOPIC)
        return
    depth = images.read_depth(message, TOPIC)
    assert depth.dtype == np.float32 and depth.dtype.isnative
    np.testing.assert_array_equal(depth, expected)


@settings(deadline=None)
@given(st.sampled_from(["16UC1", "mono16"]), st.booleans(), st.lists(st.integers(0, 65535), min_size=6, max_size=6))
def test_labels_pass_unchanged(encoding, big, values):
    payload = b"".join(x.to_bytes(2, "big" if big else "little") for x in values)
    labels = images.read_labels(raw_image(encoding, 2, 3, 6, payload, big), TOPIC)
    assert labels.dtype == np.uint16 and labels.ravel().tolist() == values


@settings(deadline=None)
@given(st.booleans(), st.lists(st.integers(-(2**31), 2**31 - 1), min_size=6, max_size=6))
def test_wide_labels_pass_unchanged(big, values):
    payload = b"".join(x.to_bytes(4, "big" if big else "little", signed=True) for x in values)
    labels = images.read_labels(raw_image("32SC1", 2, 3, 12, payload, big), TOPIC)
    assert labels.dtype == np.int32 and labels.dtype.isnative and labels.ravel().tolist() == values


@settings(deadline=None)
@given(st.sampled_from(["rgb8", "mono8", "16UC1", "32FC1"]), sizes, st.data())
def test_what_is_written_is_read_back(encoding, size, data):
    dtype, channels = {"rgb8": ("u1", 3), "mono8": ("u1", 1), "16UC1": ("u2", 1), "32FC1": ("f4", 1)}[encoding]
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    pixels = rng.integers(1, 250, size=(*size, channels)).astype(dtype)
    message = conversions.image_message(
        pixels if channels == 3 else pixels[..., 0], encoding, Header(frame_id="camera")
    )
    assert isinstance(message.data, array.array) and message.step * message.height == len(message.data)
    assert bytes(message.data) == pixels.astype(np.dtype(dtype).newbyteorder("<")).tobytes()
    if encoding == "rgb8":
        np.testing.assert_array_equal(images.read_color(message, TOPIC), pixels)
    if encoding == "32FC1":
        np.testing.assert_array_equal(images.read_depth(message, TOPIC), pixels[..., 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_compressed_colour_is_decoded_as_rgb(channels):
    image = np.zeros((4, 5, 3), np.uint8)
    image[..., 0], image[1, 2] = 200, (10, 90, 250)  # B, G, R, as OpenCV writes
    encoded = cv2.imencode(".png", image if channels == 3 else image[..., 0])[1]
    message = CompressedImage(format="png", data=array.array("B", encoded.tobytes()))
    rgb = images.read_compressed_color(message, TOPIC)
    expected = image[..., ::-1] if channels == 3 else np.repeat(image[..., :1], 3, axis=2)
    np.testing.assert_array_equal(rgb, expected)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )


@pytest.mark.parametrize(("size", "words"), [((16000, 16000), "16000x16000"), ((4000, 4000), "4000x4000.*160x120")])
def test_the_size_of_a_compressed_image_is_compared_before_it_is_decoded(camera, monkeypatch, size, words):
    def decode(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(images, "decode_image", decode)
    scene = camera.scene()
    color = CompressedImage(header=scene["color"].header, format="png", data=array.array("B", png_header(*size)))
    matched = messages.FrameMessages(color, scene["depth"], scene["info"], scene["labels"])
    with pytest.raises(FrameError, match=words):
        frames.read_frame(matched, messages.INPUT_TOPICS)


@pytest.mark.parametrize(("kind", "place"), [(".png", 50), (".png", -20), (".jpg", -1)])
def test_damaged_compressed_images_are_refused_before_a_library_prints_lines(capfd, kind, place):
    data = bytearray(cv2.imencode(kind, np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))[1].tobytes())
    data[place] ^= 0x55
    with pytest.raises(FrameError, match="damaged|cut short"):
        images.read_compressed_color(CompressedImage(data=array.array("B", data)), TOPIC)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "data", [b"", b"this is no image", cv2.imencode(".bmp", np.zeros((4, 5, 3), np.uint8))[1].tobytes()]
)
def test_compressed_garbage_is_refused_by_name(data):
    with pytest.raises(FrameError, match=f"'{TOPIC}'.*jpeg"):
        images.read_compressed_color(CompressedImage(format="jpeg", data=array.array("B", data)), TOPIC)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (raw_image("yuv444", 2, 2, 4, bytes(8)), "'yuv444'.*expected one of rgb8.*remap"),
        (raw_image("rgb8", 2, 2, 6, bytes(11)), "11 bytes with a step of 6.*2x2 rgb8"),
        (raw_image("rgb8", 2, 2, 5, bytes(60)), "step of 5.*at least 6"),
        (raw_image("rgb8", 0, 2, 6, b""), r"empty \(2x0 pixels\)"),
    ],
)
def test_images_that_cannot_be_used_name_topic_and_remedy(message, words):
    with pytest.raises(FrameError, match=f"'{TOPIC}'.*{words}"):
        images.read_color(message, TOPIC)


@pytest.mark.parametrize(("encoding", "data"), [("16UC1", bytes(8)), ("32FC1", np.full(4, np.nan, "<f4").tobytes())])
def test_depth_without_a_valid_pixel_is_refused(encoding, data):
    with pytest.raises(FrameError, match=f"'{TOPIC}' has no valid depth"):
        images.read_depth(raw_image(encoding, 2, 2, len(data) // 2, data), TOPIC)


def test_pixels_are_not_copied_on_their_way_in():
    rgb = conversions.image_message(np.ones((4, 5, 3), np.uint8), "rgb8", Header())
    depth = conversions.image_message(np.ones((4, 5), np.float32), "32FC1", Header())
    labels = conversions.image_message(np.ones((4, 5), np.uint16), "16UC1", Header())
    for pixels, message in (
        (images.read_color(rgb, TOPIC), rgb),
        (images.read_depth(depth, TOPIC), depth),
        (images.read_labels(labels, TOPIC), labels),
    ):
        assert np.shares_memory(pixels, np.frombuffer(message.data, np.uint8))


def test_a_single_valid_pixel_makes_depth_usable():
    depth = np.full((40, 50), np.nan, np.float32)
    depth[17, 23] = 0.8
    read = images.read_depth(conversions.image_message(depth, "32FC1", Header()), TOPIC)
    np.testing.assert_array_equal(read, depth)


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_go_there_and_back(nanoseconds):
    assert messages.stamp_ns(conversions.ros_stamp(nanoseconds)) == nanoseconds


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_transforms_are_read_from_quaternions_of_any_length(q):
    x, y, z, w = q
    T = conversions.read_transform(Vector3(x=1.0, y=-2.0, z=3.0), Quaternion(x=x, y=y, z=z, w=w))
    np.testing.assert_allclose(T[:3, :3], rotation_from_quat_xyzw(q), atol=1e-12)
    np.testing.assert_array_equal(T[:, 3], [1.0, -2.0, 3.0, 1.0])


@pytest.mark.parametrize("q", [(0.0, 0.0, 0.0, 0.0), (0.0, float("nan"), 0.0, 1.0)])
def test_quaternions_that_turn_nothing_are_refused(q):
    x, y, z, w = q
    with pytest.raises(DegenerateInputError, match="quaternion"):
        conversions.read_transform(Vector3(), Quaternion(x=x, y=y, z=z, w=w))
