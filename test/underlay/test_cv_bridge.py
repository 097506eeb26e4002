"""Pixels survive the way through a message, whatever its layout; what cannot be converted is said."""

import array

import cv2
import numpy as np
import pytest
from cv_bridge import CvBridge, CvBridgeError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

BRIDGE = CvBridge()
DTYPES = ["u1", "i1", "u2", "i2", "i4", "f4", "f8"]
sides, channels = st.integers(1, 7), st.integers(2, 4)
shapes = st.tuples(sides, sides) | st.tuples(sides, sides, channels)
images = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), shapes))
COLOURS = ["rgb8", "bgr8", "rgba8", "bgra8", "mono8", "rgb16", "bgr16", "rgba16", "bgra16", "mono16"]
# The same numbers and depth: one array may be called by any of them.
SAME = {"8UC1": ["mono8", "bayer_rggb8", "8U"], "16UC1": ["mono16", "bayer_bggr16", "16U"], "8UC3": ["rgb8", "bgr8"]}


def padded(image, encoding, big_endian, padding):
    """A message of ``image`` with ``padding`` bytes after each row."""
    stored = image.astype(image.dtype.newbyteorder(">" if big_endian else "<"))
    rows = [row.tobytes() + b"\xee" * padding for row in stored]
    message = Image(height=image.shape[0], width=image.shape[1], encoding=encoding, is_bigendian=int(big_endian))
    message.step, message.data = len(rows[0]), array.array("B", b"".join(rows))
    return message


@given(images)
def test_round_trip_keeps_every_value(image):
    message = BRIDGE.cv2_to_imgmsg(image)
    back = BRIDGE.imgmsg_to_cv2(message)
    assert back.dtype == image.dtype and back.dtype.isnative
    np.testing.assert_array_equal(back, image)
    assert message.step * message.height == len(message.data)


@given(images, st.booleans(), st.integers(0, 9))
def test_padding_and_byte_order_are_undone(image, big_endian, padding):
    generic = BRIDGE.cv2_to_imgmsg(image).encoding
    back = BRIDGE.imgmsg_to_cv2(padded(image, generic, big_endian, padding))
    np.testing.assert_array_equal(back, image)
    assert back.flags.c_contiguous and back.dtype.isnative


@given(images.filter(lambda image: image.itemsize > 1))
def test_big_endian_array_makes_a_big_endian_message(image):
    message = BRIDGE.cv2_to_imgmsg(image.astype(image.dtype.newbyteorder(">")))
    assert message.is_bigendian == 1
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message), image)


def test_bytes_are_in_the_documented_order():
    message = BRIDGE.cv2_to_imgmsg(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8), "rgb8", Header(frame_id="camera"))
    assert (message.encoding, message.height, message.width, message.step) == ("rgb8", 1, 2, 6)
    assert list(message.data) == [1, 2, 3, 4, 5, 6]
    assert message.header.frame_id == "camera"
    depth = BRIDGE.cv2_to_imgmsg(np.array([[0x0102]], "<u2"), "16UC1")
    assert list(depth.data) == [2, 1] and depth.is_bigendian == 0


@given(hnp.arrays(np.uint8, (3, 4, 3)))
def test_colour_order_is_exchanged(image):
    message = BRIDGE.cv2_to_imgmsg(image, "rgb8")
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message, "bgr8"), image[..., ::-1])
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message, "rgb8"), image)
    bgra = BRIDGE.imgmsg_to_cv2(message, "bgra8")
    np.testing.assert_array_equal(bgra[..., :3], image[..., ::-1])
    assert (bgra[..., 3] == 255).all()


@given(hnp.arrays(np.uint8, (2, 3, 4)))
def test_alpha_is_dropped(image):
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, "bgra8"), "rgb8"), image[..., 2::-1])


@given(hnp.arrays(np.uint8, (2, 3)))
def test_depth_is_scaled_between_eight_and_sixteen_bits(image):
    sixteen = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, "mono8"), "mono16")
    np.testing.assert_array_equal(sixteen, image.astype(np.uint16) * 257)
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(sixteen, "mono16"), "mono8"), image)


def test_metric_values_are_not_scaled():
    depth = np.array([[0, 1234, 65535]], np.uint16)
    back = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(depth, "16UC1"), "32FC1")
    np.testing.assert_array_equal(back, depth.astype(np.float32))
    assert back.dtype == np.float32


@pytest.mark.parametrize("source", COLOURS)
@pytest.mark.parametrize("target", COLOURS)
def test_every_pair_of_colours_keeps_white_and_black(source, target):
    dtype, channels = BRIDGE.encoding_to_dtype_with_channels(source)
    wanted_dtype, wanted_channels = BRIDGE.encoding_to_dtype_with_channels(target)
    white = np.full((2, 2, channels)[: 3 if channels > 1 else 2], np.iinfo(dtype).max, dtype)
    result = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(white, source), target)
    assert result.dtype == wanted_dtype
    assert result.shape == (2, 2, wanted_channels)[: 3 if wanted_channels > 1 else 2]
    assert (result == np.iinfo(wanted_dtype).max).all()


def test_bayer_and_yuv_are_decoded():
    bayer = np.zeros((4, 4), np.uint8)
    bayer[::2, ::2] = 255  # red of the pattern rggb
    colour = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(bayer, "bayer_rggb8"), "rgb8")
    assert colour[..., 0].min() == 255 and colour[..., 1:].max() == 0
    grey = np.full((2, 4, 2), 128, np.uint8)
    assert BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(grey, "yuv422"), "mono8").shape == (2, 4)


@pytest.mark.parametrize(("generic", "name"), [(generic, name) for generic, names in SAME.items() for name in names])
def test_names_of_the_same_layout_are_accepted(generic, name):
    dtype, channels = BRIDGE.encoding_to_dtype_with_channels(generic)
    image = np.zeros((2, 2, channels)[: 3 if channels > 1 else 2], dtype)
    assert BRIDGE.cv2_to_imgmsg(image, name).encoding == name


@pytest.mark.parametrize(
    ("encoding", "wanted", "says"),
    [
        ("32FC1", "rgb8", "32FC1.*colours"),
        ("rgb8", "16UC1", "3"),
        ("rgb8", "bayer_rggb8", "rgb8.*bayer_rggb8"),
        ("mono8", "8UC3", "3.*1|channels"),
    ],
)
def test_senseless_conversions_are_refused(encoding, wanted, says):
    dtype, channels = BRIDGE.encoding_to_dtype_with_channels(encoding)
    image = np.zeros((2, 2, channels)[: 3 if channels > 1 else 2], dtype)
    with pytest.raises(CvBridgeError, match=says):
        BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, encoding), wanted)


@pytest.mark.parametrize("encoding", ["", "rgb", "rgb9", "16UC", "mono32", "jpeg", "bayer_gggg8"])
def test_unknown_encoding_is_named(encoding):
    with pytest.raises(CvBridgeError, match=f"'{encoding}'"):
        BRIDGE.imgmsg_to_cv2(Image(height=1, width=1, step=8, data=array.array("B", bytes(8)), encoding=encoding))


@pytest.mark.parametrize(("step", "size", "says"), [(3, 100, "step"), (8, 15, "15")])
def test_data_that_do_not_fill_the_image_are_refused(step, size, says):
    message = Image(height=2, width=4, step=step, encoding="16UC1", data=array.array("B", bytes(size)))
    with pytest.raises(CvBridgeError, match=says):
        BRIDGE.imgmsg_to_cv2(message)


def test_array_that_does_not_fit_its_encoding_is_refused():
    with pytest.raises(CvBridgeError, match="16UC1"):
        BRIDGE.cv2_to_imgmsg(np.zeros((2, 2), np.float32), "16UC1")
    with pytest.raises(CvBridgeError, match="int64"):
        BRIDGE.cv2_to_imgmsg(np.zeros((2, 2), np.int64))
    with pytest.raises(TypeError, match="list"):
        BRIDGE.cv2_to_imgmsg([[1]])


@pytest.mark.parametrize(("shape", "dtype"), [((4, 4, 3), np.uint8), ((4, 12), np.uint16)])
def test_png_is_lossless(shape, dtype):
    image = np.arange(48, dtype=dtype).reshape(shape)
    message = BRIDGE.cv2_to_compressed_imgmsg(image, "png")
    assert message.format == "png"
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(message), image)


def test_compressed_colours_come_as_asked():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 255  # BGR
    message = BRIDGE.cv2_to_compressed_imgmsg(red, "png")
    assert (BRIDGE.compressed_imgmsg_to_cv2(message, "rgb8")[0, 0] == (255, 0, 0)).all()
    grey = CompressedImage(format="png", data=array.array("B", cv2.imencode(".png", red[..., 2])[1].tobytes()))
    assert BRIDGE.compressed_imgmsg_to_cv2(grey, "bgr8").shape == (8, 8, 3)


@pytest.mark.parametrize("data", [b"", b"no image at all"])
def test_undecodable_data_are_refused(data):
    with pytest.raises(CvBridgeError, match=f"{len(data)} bytes"):
        BRIDGE.compressed_imgmsg_to_cv2(CompressedImage(format="jpeg", data=array.array("B", data)), "bgr8")


def test_unwritable_format_is_refused():
    with pytest.raises(CvBridgeError, match="nosuch"):
        BRIDGE.cv2_to_compressed_imgmsg(np.zeros((2, 2, 3), np.uint8), "nosuch")
