"""Publisher of the topics of an RGB-D camera, for nodes that simulate one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from clipose_ros.decoding.messages import INPUT_TOPICS
from clipose_ros.ros.conversions import camera_info_message, image_message
from clipose_ros.types import RgbdFrame


@dataclass(frozen=True, slots=True, eq=False)
class CameraMessages:
    """Messages of one frame. All share one header, whose stamp is set before each publication.

    Attributes:
        header: The common header.
        color: Colour image, rgb8.
        depth: Depth image, 32FC1 metres.
        info: Calibration of both images.
        labels: Label image, 16UC1; None if the frame has no labels.
    """

    header: Header
    color: Image
    depth: Image
    info: CameraInfo
    labels: Image | None


def camera_messages(frame: RgbdFrame) -> CameraMessages:
    """Convert a frame to messages; invalid depth becomes NaN (REP-118)."""
    header = Header(frame_id=frame.frame_id)
    depth = np.where(frame.depth > 0.0, frame.depth, np.float32("nan"))
    return CameraMessages(
        header,
        image_message(frame.rgb, "rgb8", header),
        image_message(depth, "32FC1", header),
        camera_info_message(frame.intrinsics, header),
        None if frame.labels is None else image_message(frame.labels, "16UC1", header),
    )


class CameraPublisher:
    """Publisher of frames under the names that ``depth_image_proc`` uses, with sensor QoS (REP-2003).

    Args:
        node: Node that publishes.
        with_labels: Publish label images, too.
    """

    def __init__(self, node: Node, with_labels: bool) -> None:
        create_publisher = partial(
            node.create_publisher,
            qos_profile=qos_profile_sensor_data,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._color = create_publisher(Image, INPUT_TOPICS.color)
        self._depth = create_publisher(Image, INPUT_TOPICS.depth)
        self._info = create_publisher(CameraInfo, INPUT_TOPICS.info)
        self._labels = create_publisher(Image, INPUT_TOPICS.labels) if with_labels else None

    def publish(self, messages: CameraMessages) -> None:
        """Publish all messages of a frame."""
        self._info.publish(messages.info)
        self._color.publish(messages.color)
        self._depth.publish(messages.depth)
        if self._labels is not None and messages.labels is not None:
            self._labels.publish(messages.labels)
