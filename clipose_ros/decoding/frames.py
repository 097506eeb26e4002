"""Decoding of a matched set of messages to a rectified frame.

Unusable messages raise ``FrameError``, which names the topic, the value and a remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from clipose_ros.decoding.boxes import read_boxes
from clipose_ros.decoding.calibration import CalibrationReader
from clipose_ros.decoding.images import (
    read_color,
    read_compressed_color,
    read_compressed_size,
    read_depth,
    read_labels,
)
from clipose_ros.decoding.messages import MAX_FRAME_ID_LENGTH, CompressedImageMessage, FrameMessages, Topics, stamp_ns
from clipose_ros.errors import FrameError, quoted
from clipose_ros.types import CameraIntrinsics, RgbdFrame


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
    if isinstance(color, CompressedImageMessage):
        # The size before the pixels: 1 MB of PNG may hold 10^9.
        _require_size(read_compressed_size(color, topics.color), intrinsics, topics.color, topics)
        rgb = read_compressed_color(color, topics.color)
    else:
        rgb = read_color(color, topics.color)
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
