"""Conversions between ROS messages and the package's types.

The encoding of a depth image determines its unit (REP-118): 16UC1 is millimetres with 0 invalid, 32FC1 is metres with
NaN invalid. Unusable messages raise ``FrameError``, which names the topic, the value and a remedy.
"""

from __future__ import annotations

import array
import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from cv_bridge import CvBridge, CvBridgeError
from geometry_msgs.msg import Point, Quaternion, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from tf_transformations import concatenate_matrices, quaternion_matrix, translation_matrix
from vision_msgs.msg import Detection2DArray

from clipose_ros.errors import DegenerateInputError, FrameError, UnreadableFileError, quoted
from clipose_ros.image_files import check_image
from clipose_ros.ros.boxes import read_boxes
from clipose_ros.ros.calibration import CalibrationReader
from clipose_ros.ros.color_encodings import COLOR_LAYOUTS, decode_color
from clipose_ros.types import ByteArray, CameraIntrinsics, FloatArray, LabelArray, RgbdFrame

_ENCODINGS: dict[str, tuple[type[np.generic], int]] = {
    **{name: (np.uint8, layout.channels) for name, layout in COLOR_LAYOUTS.items()},
    "mono16": (np.uint16, 1),
    "16UC1": (np.uint16, 1),
    "32SC1": (np.int32, 1),
    "32FC1": (np.float32, 1),
}
MAX_FRAME_ID_LENGTH = 255
"""Largest number of characters of a frame's name. The name is repeated in every message of a result."""
_GRID_STEP = 16  # every 16th row and column is tested for valid depth before the whole image
_LAST_STAMP_NS = 2**31 * 1_000_000_000 - 1
_DEPTH_ENCODINGS = ("16UC1", "mono16", "32FC1")
_LABEL_ENCODINGS = ("16UC1", "mono16", "32SC1")


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of the input topics.

    Attributes:
        color: Colour image, raw or compressed.
        depth: Depth image registered to the colour image.
        info: Calibration of the colour image.
        labels: Label image of the backend ``labels``.
        boxes: Detections of the backend ``detections``.
    """

    color: str
    depth: str
    info: str
    labels: str
    boxes: str


INPUT_TOPICS = Topics(
    "rgb/image_rect_color",
    "depth_registered/image_rect",
    "rgb/camera_info",
    "segmentation/labels",
    "segmentation/detections",
)
"""Names before remapping, those of ``depth_image_proc`` and of the input of a segmentation backend."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameMessages:
    """One matched set of input messages."""

    color: Image | CompressedImage
    depth: Image
    info: CameraInfo
    labels: Image | None = None
    boxes: Detection2DArray | None = None


def read_frame(messages: FrameMessages, topics: Topics, calibrations: CalibrationReader | None = None) -> RgbdFrame:
    """Convert a matched set to a rectified frame with the stamp and the frame id of the colour image.

    Args:
        messages: The matched set.
        topics: Names of the topics, for messages; whether an image is rectified depends on its name.
        calibrations: Reader of the calibration, which keeps the last one; None for one of ``sync.rectify: auto``.

    Raises:
        FrameError: A message is unusable, or the messages do not fit together; the error names the topic.
    """
    _require_one_camera(messages, topics)
    color = messages.color
    reader = CalibrationReader() if calibrations is None else calibrations
    calibration = reader.read(messages.info, topics.info, (topics.color, topics.depth))
    intrinsics = calibration.intrinsics
    if isinstance(color, CompressedImage):  # before it is decoded: 1 MB of PNG may hold 10^9 pixels
        _require_size(_read_compressed_size(color, topics.color), intrinsics, topics.color, topics)
    rgb = (
        read_compressed_color(color, topics.color)
        if isinstance(color, CompressedImage)
        else read_color(color, topics.color)
    )
    depth = read_depth(messages.depth, topics.depth)
    labels = None if messages.labels is None else read_labels(messages.labels, topics.labels)
    boxes = None if messages.boxes is None else read_boxes(messages.boxes, topics.boxes)
    _require_one_size({topics.color: rgb, topics.depth: depth, topics.labels: labels}, topics, intrinsics)
    if calibration.color is not None:
        rgb = calibration.color.undistort_color(rgb)
        labels = None if labels is None else calibration.color.undistort_labels(labels)
        undistort = calibration.color.undistort_box
        boxes = None if boxes is None else tuple(replace(item, box=undistort(item.box)) for item in boxes)
    if calibration.depth is not None:
        depth = calibration.depth.undistort_depth(depth)
    return RgbdFrame(rgb, depth, intrinsics, stamp_ns(color.header.stamp), color.header.frame_id, labels, boxes)


def read_color(message: Image, topic: str) -> ByteArray:
    """Convert an image in an encoding of ``COLOR_LAYOUTS`` to ``(H, W, 3)`` uint8, R G B."""
    return decode_color(_pixels(message, topic, tuple(COLOR_LAYOUTS)), message.encoding, topic)


def read_compressed_color(message: CompressedImage, topic: str) -> ByteArray:
    """Decode a JPEG or PNG image to ``(H, W, 3)`` uint8, R G B."""
    image = None
    _read_compressed_size(message, topic)  # OpenCV reads other formats, and damaged images
    with contextlib.suppress(CvBridgeError, cv2.error):  # some releases of cv_bridge return None instead
        image = CvBridge().compressed_imgmsg_to_cv2(message, "passthrough")
    if image is None or image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise _not_compressed(message, topic)
    channels = (0, 0, 0) if image.ndim == 2 or image.shape[2] == 1 else (2, 1, 0)
    return np.ascontiguousarray(image.reshape(*image.shape[:2], -1)[..., channels])


def read_depth(message: Image, topic: str) -> FloatArray:
    """Convert a 16UC1 (mm) or 32FC1 (m) image to ``(H, W)`` float32 metres; invalid pixels stay 0, NaN or infinite."""
    pixels = _pixels(message, topic, _DEPTH_ENCODINGS)[..., 0]
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


def read_labels(message: Image, topic: str) -> LabelArray:
    """Convert an image of label values to ``(H, W)``: uint16 for 16UC1 and mono16, int32 for 32SC1."""
    return np.ascontiguousarray(_pixels(message, topic, _LABEL_ENCODINGS)[..., 0])


def read_transform(translation: Vector3 | Point, rotation: Quaternion) -> FloatArray:
    """Convert a translation and a quaternion to a transform ``(4, 4)``.

    Raises:
        DegenerateInputError: The quaternion is zero, or a value is not finite.
    """
    position = [translation.x, translation.y, translation.z]
    quat_xyzw = [rotation.x, rotation.y, rotation.z, rotation.w]
    if not any(quat_xyzw) or not np.isfinite(position + quat_xyzw).all():
        raise DegenerateInputError(f"expected a finite translation and quaternion, got {position} and {quat_xyzw}")
    return np.asarray(concatenate_matrices(translation_matrix(position), quaternion_matrix(quat_xyzw)))


def image_message(image: NDArray[Any], encoding: str, header: Header) -> Image:
    """Make an image message from pixels ``(H, W)`` or ``(H, W, C)`` of the type that the encoding requires."""
    dtype, channels = _ENCODINGS[encoding]
    pixels = np.ascontiguousarray(image, dtype=np.dtype(dtype).newbyteorder("<"))
    message = Image(header=header, height=image.shape[0], width=image.shape[1], encoding=encoding)
    message.step = image.shape[1] * channels * pixels.itemsize
    message.data = byte_array(pixels)
    return message


def byte_array(values: NDArray[Any]) -> array.array[int]:
    """Copy a contiguous array to ``array.array``: rclpy converts other types element by element."""
    data = array.array("B")
    data.frombytes(values.reshape(-1).view(np.uint8).data)
    return data


def stamp_ns(stamp: Time) -> int:
    """Convert a ROS stamp to nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def is_valid_stamp(stamp: Time) -> bool:
    """Return True for a time after 0 in normal form; to TF, 0 means the latest transform, and rclpy has no others."""
    return bool(stamp.sec >= 0 and stamp.nanosec < 1_000_000_000 and stamp_ns(stamp) > 0)


def ros_stamp(nanoseconds: int) -> Time:
    """Convert nanoseconds to a ROS stamp, at most the last time that a message can hold."""
    nanoseconds = min(nanoseconds, _LAST_STAMP_NS)
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def _pixels(message: Image, topic: str, encodings: tuple[str, ...]) -> NDArray[Any]:
    """Return the pixels ``(H, W, C)`` of a message in native byte order, without the padding of its rows."""
    if message.encoding not in encodings:
        raise FrameError(
            f"'{topic}' has encoding {quoted(message.encoding)}: expected one of {', '.join(encodings)}; convert it or "
            "remap the topic"
        )
    dtype, channels = _ENCODINGS[message.encoding]
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


def _read_compressed_size(message: CompressedImage, topic: str) -> tuple[int, int]:
    """Return width and height from the header of a JPEG or PNG image.

    Raises:
        FrameError: It is neither, is damaged, or has more pixels than are read.
    """
    try:
        return check_image(bytes(message.data))
    except UnreadableFileError as error:
        raise _not_compressed(message, topic, f" ({error})") from error


def _not_compressed(message: CompressedImage, topic: str, reason: str = "") -> FrameError:
    return FrameError(
        f"'{topic}' holds {len(message.data)} bytes of format {quoted(message.format)} that are not an 8-bit "
        f"JPEG or PNG image{reason}: set the format of image_transport's compressed plugin, or set sync.compressed to "
        "false"
    )


def _require_size(size: tuple[int, int], intrinsics: CameraIntrinsics, topic: str, topics: Topics) -> None:
    """Raise ``FrameError`` unless width and height of an image are those of the camera."""
    if size != (intrinsics.width, intrinsics.height):
        raise FrameError(
            f"'{topic}' is {size[0]}x{size[1]} but '{topics.info}' describes {intrinsics.width}x{intrinsics.height}: "
            "use depth registered to the colour image, and the camera_info of the same image"
        )


def _require_one_camera(messages: FrameMessages, topics: Topics) -> None:
    """Raise ``FrameError`` unless all messages have the same frame id."""
    frame_id = messages.color.header.frame_id
    if len(frame_id) > MAX_FRAME_ID_LENGTH:
        raise FrameError(
            f"'{topics.color}' has a frame_id of {len(frame_id)} characters, {quoted(frame_id)}: at most "
            f"{MAX_FRAME_ID_LENGTH} are accepted; set the camera's optical frame in its driver"
        )
    for topic, message in (
        (topics.color, messages.color),
        (topics.depth, messages.depth),
        (topics.info, messages.info),
        (topics.labels, messages.labels),
        (topics.boxes, messages.boxes),
    ):
        if message is None or (frame_id and message.header.frame_id == frame_id):
            continue
        if not message.header.frame_id:
            raise FrameError(f"'{topic}' has an empty frame_id: set the camera's optical frame in its driver")
        remedy = {
            topics.info: "subscribe to the camera_info of the colour image",
            topics.labels: "copy the header of the colour image to the label image",
            topics.boxes: "copy the header of the colour image to the detections",
        }.get(
            topic,
            "depth must be registered to the colour image (depth_image_proc's register node, or align_depth in the "
            "driver)",
        )
        raise FrameError(
            f"'{topic}' is in frame {quoted(message.header.frame_id)} but '{topics.color}' in {quoted(frame_id)}: "
            f"{remedy}"
        )


def _require_one_size(images: Mapping[str, NDArray[Any] | None], topics: Topics, intrinsics: CameraIntrinsics) -> None:
    """Raise ``FrameError`` unless all images have the size that the calibration describes."""
    described = f"{intrinsics.width}x{intrinsics.height}"
    sizes = {topic: f"{image.shape[1]}x{image.shape[0]}" for topic, image in images.items() if image is not None}
    if set(sizes.values()) == {described}:
        return
    if len(set(sizes.values())) == 1:
        raise FrameError(
            f"'{topics.info}' describes {described} but all images are {sizes[topics.color]}: it is the camera_info of "
            "another camera or resolution; remap it to that of the colour image"
        )
    topic = next(topic for topic, size in sizes.items() if size != described)
    raise FrameError(
        f"'{topic}' is {sizes[topic]} but '{topics.info}' describes {described}: use depth registered to the colour "
        "image, labels of its size, and the camera_info of the same image"
    )
