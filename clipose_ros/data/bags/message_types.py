"""Definitions of the message types that are read and written, and their encoding.

The definitions are those of this package and of ``rosbags``, never those that a recording brings: compiling a
definition from a file would run its text.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from clipose_ros.data.bags.records import MAX_MESSAGE_BYTES, RawMessage
from clipose_ros.decoding.messages import Header, RegionOfInterest
from clipose_ros.errors import FrameError, quoted

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
INFO = "sensor_msgs/msg/CameraInfo"
DETECTIONS = "vision_msgs/msg/Detection3DArray"
TRANSFORMS = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
READ_TYPES = (IMAGE, COMPRESSED, INFO, DETECTIONS, *TRANSFORMS)
"""Types of the messages that are decoded."""
_VISION_TYPES = {
    "ObjectHypothesis": "string class_id\nfloat64 score\n",
    "ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n",
    "BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size\n",
    "Detection3D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\nvision_msgs/BoundingBox3D bbox\n"
        "string id\n"
    ),
    "Detection3DArray": "std_msgs/Header header\nvision_msgs/Detection3D[] detections\n",
}
"""Definitions of vision_msgs 4, which Humble and its successors have."""


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """``sensor_msgs/CameraInfo`` with the names of ROS 2, whose matrices are upper-case in ROS 1."""

    header: Header
    height: int
    width: int
    distortion_model: str
    d: Sequence[float]
    k: Any
    r: Any
    p: Any
    binning_x: int
    binning_y: int
    roi: RegionOfInterest


@functools.cache
def type_store(encoding: str) -> Typestore:
    """Return the types of an encoding, ``cdr`` or ``ros1``."""
    store = get_typestore(Stores.ROS1_NOETIC if encoding == "ros1" else Stores.ROS2_HUMBLE)
    store.max_sequence_length = MAX_MESSAGE_BYTES
    types: dict[str, Any] = {}
    for name, definition in _VISION_TYPES.items():
        types |= get_types_from_msg(definition, f"vision_msgs/msg/{name}")
    if encoding == "ros1":
        for name in TRANSFORMS:
            types |= get_types_from_msg("geometry_msgs/TransformStamped[] transforms\n", name)
    store.register(types)
    return store


def decode(message: RawMessage) -> Any:
    """Decode a message of a type in ``READ_TYPES``.

    Returns:
        An object with the fields of the message.

    Raises:
        FrameError: The encoding is not supported, or the bytes are no such message; the error names the topic.
    """
    channel = message.channel
    if channel.encoding not in ("cdr", "ros1"):
        raise FrameError(
            f"'{channel.topic}' is encoded as {quoted(channel.encoding)}, expected cdr or ros1: convert the recording "
            "with the tools of its recorder"
        )
    store = type_store(channel.encoding)
    read = store.deserialize_cdr if channel.encoding == "cdr" else store.deserialize_ros1
    try:
        decoded: Any = read(message.data, channel.kind)
    except (SerdeError, ValueError, KeyError, IndexError, OverflowError, AssertionError, RecursionError) as error:
        raise FrameError(
            f"'{channel.topic}' has a message of {len(message.data)} bytes that is no {channel.kind}: it is left out"
        ) from error
    return _with_lower_case(decoded) if channel.kind == INFO and channel.encoding == "ros1" else decoded


def _with_lower_case(info: Any) -> CameraInfo:
    return CameraInfo(
        info.header, info.height, info.width, info.distortion_model, info.D, info.K, info.R, info.P,
        info.binning_x, info.binning_y, info.roi,
    )  # fmt: skip
