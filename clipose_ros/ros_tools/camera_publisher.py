"""Publisher of the topics of an RGB-D camera, for nodes that simulate one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from clipose_ros.config import ConfigNode, config_fields, nest
from clipose_ros.errors import CliposeError, ConfigError
from clipose_ros.ros.conversions import camera_info_message, image_message
from clipose_ros.ros.parameters import describe
from clipose_ros.ros.shutdown import until_shutdown
from clipose_ros.types import RgbdFrame

ConfigNodeT = TypeVar("ConfigNodeT", bound=ConfigNode)


@dataclass(frozen=True, slots=True, eq=False)
class CameraMessages:
    """Messages of one frame with a common header, which gets a new stamp for each publication."""

    header: Header
    color: Image
    depth: Image
    info: CameraInfo
    labels: Image | None


def camera_messages(frame: RgbdFrame) -> CameraMessages:
    """Convert a frame to messages: rgb8, depth as 32FC1 metres with NaN where invalid, labels where there are some."""
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
    """Publishes frames under the names that ``depth_image_proc`` uses, with sensor QoS (REP-2003)."""

    def __init__(self, node: Node, with_labels: bool) -> None:
        sensor = partial(
            node.create_publisher,
            qos_profile=qos_profile_sensor_data,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._color = sensor(Image, "rgb/image_rect_color")
        self._depth = sensor(Image, "depth_registered/image_rect")
        self._info = sensor(CameraInfo, "rgb/camera_info")
        self._labels = sensor(Image, "segmentation/labels") if with_labels else None

    def publish(self, messages: CameraMessages) -> None:
        """Publish all messages of a frame."""
        self._info.publish(messages.info)
        self._color.publish(messages.color)
        self._depth.publish(messages.depth)
        if self._labels is not None and messages.labels is not None:
            self._labels.publish(messages.labels)


def declared(node: Node, kind: type[ConfigNodeT]) -> ConfigNodeT:
    """Declare every setting of a section as a typed, described, read-only parameter and read it.

    Raises:
        ConfigError: A value has the wrong type or is out of its range; the message names the parameter.
    """
    values = {}
    for leaf in config_fields(kind()):
        descriptor = describe(leaf)
        descriptor.read_only = True
        try:
            values[leaf.path] = node.declare_parameter(leaf.path, leaf.value, descriptor).value
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            raise ConfigError(f"parameter '{leaf.path}' ({leaf.doc}): {error}") from error
    return kind.from_mapping(nest(values))


def run(make_node: Callable[[], Node], arguments: list[str] | None = None) -> int:
    """Spin a node until shutdown and return the exit status; a ``CliposeError`` is logged as one line."""
    rclpy.init(args=arguments)
    try:
        with until_shutdown(rclpy.get_default_context()):
            node = make_node()
            rclpy.spin(node)
            node.destroy_node()
    except CliposeError as error:
        rclpy.logging.get_logger("clipose_ros").fatal(str(error))
        return 1
    finally:
        rclpy.try_shutdown()
    return 0
