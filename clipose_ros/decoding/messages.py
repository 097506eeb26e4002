"""Fields of the ROS messages that are decoded, as protocols, and the names of the topics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

MAX_FRAME_ID_LENGTH = 255
"""Largest number of characters of a frame's name. The name is repeated in every message of a result."""


class Stamp(Protocol):
    """``builtin_interfaces/Time``."""

    sec: int
    nanosec: int


class Header(Protocol):
    """``std_msgs/Header``."""

    @property
    def stamp(self) -> Stamp:
        """Return the time of exposure."""
        ...

    frame_id: str


class Stamped(Protocol):
    """Any message with a header."""

    @property
    def header(self) -> Header:
        """Return the header."""
        ...


class ImageMessage(Stamped, Protocol):
    """``sensor_msgs/Image``."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any  # array.array of rclpy, NumPy array of recordings


@runtime_checkable
class CompressedImageMessage(Stamped, Protocol):
    """``sensor_msgs/CompressedImage``."""

    format: str
    data: Any  # as of ImageMessage


class RegionOfInterest(Protocol):
    """``sensor_msgs/RegionOfInterest``."""

    x_offset: int
    y_offset: int
    height: int
    width: int


class CameraInfoMessage(Stamped, Protocol):
    """``sensor_msgs/CameraInfo``."""

    height: int
    width: int
    distortion_model: str
    d: Sequence[float] | NDArray[Any]
    k: NDArray[Any]
    r: NDArray[Any]
    p: NDArray[Any]
    binning_x: int
    binning_y: int

    @property
    def roi(self) -> RegionOfInterest:
        """Return the region of interest."""
        ...


class Detections2DMessage(Stamped, Protocol):
    """``vision_msgs/Detection2DArray``."""

    detections: Any


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

    color: ImageMessage | CompressedImageMessage
    depth: ImageMessage
    info: CameraInfoMessage
    labels: ImageMessage | None = None
    boxes: Detections2DMessage | None = None


def stamp_ns(stamp: Stamp) -> int:
    """Convert a ROS stamp to nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def is_valid_stamp(stamp: Stamp) -> bool:
    """Return True for a time after 0 in normal form; to TF, 0 means the latest transform, and rclpy has no others."""
    return bool(stamp.sec >= 0 and stamp.nanosec < 1_000_000_000 and stamp_ns(stamp) > 0)
