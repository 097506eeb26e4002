"""Messages of the pose node about processed frames, encoded for a recording.

The messages are made by the code of the node and encoded by rclpy, so a recording of results holds the bytes that the
node publishes. No node is created and no middleware is started.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from clipose_ros.config import PublishConfig
from clipose_ros.ros.conversions import byte_array, ros_stamp
from clipose_ros.ros.markers import Markers
from clipose_ros.ros.messages import ObjectMessages
from clipose_ros.ros.rejections import locate_rejections
from clipose_ros.tracking.published_frame import PublishedFrame
from clipose_ros.types import ByteArray

NODE = "/pose_node"
"""Namespace of the topics, that of the node under its default name."""
_JPEG_QUALITY = 90


class EncodedMessage(NamedTuple):
    """Message in CDR.

    Attributes:
        topic: Its topic.
        kind: Its type, such as ``tf2_msgs/msg/TFMessage``.
        data: Its bytes.
    """

    topic: str
    kind: str
    data: bytes


class ResultMessages:
    """Maker of the messages of successive frames.

    Args:
        config: Settings of the node's topics.
    """

    def __init__(self, config: PublishConfig) -> None:
        self._config = config
        self._objects, self._markers = ObjectMessages(), Markers()

    def make(self, published: PublishedFrame, image: ByteArray | None = None) -> Iterator[EncodedMessage]:
        """Yield detections, markers, transforms and, if it is given, the annotated image of a frame.

        Args:
            published: The frame.
            image: ``(H, W, 3)`` annotated image.
        """
        header = Header(stamp=ros_stamp(published.frame.stamp_ns), frame_id=published.frame_id)
        objects = self._objects
        objects.fill(header, published.tracks, self._config.tf_prefix)
        if self._config.tf and published.tracks:
            yield _encode("/tf", "tf2_msgs/msg/TFMessage", objects.transforms)
        yield _encode(f"{NODE}/detections", "vision_msgs/msg/Detection3DArray", objects.detections)
        located = locate_rejections(published.frame, published.result.rejections, published.T_frame_camera)
        markers = self._markers.update(
            header, published.tracks, objects.poses.poses, located, self._config.marker_lifetime_s
        )
        yield _encode(f"{NODE}/markers", "visualization_msgs/msg/MarkerArray", markers)
        if image is not None:
            camera = Header(stamp=header.stamp, frame_id=published.frame.frame_id)
            yield _encode(
                f"{NODE}/debug_image/compressed", "sensor_msgs/msg/CompressedImage", _compressed(image, camera)
            )


def _encode(topic: str, kind: str, message: Any) -> EncodedMessage:
    return EncodedMessage(topic, kind, serialize_message(message))


def _compressed(rgb: ByteArray, header: Header) -> CompressedImage:
    _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return CompressedImage(header=header, format="rgb8; jpeg compressed bgr8", data=byte_array(jpeg))
