"""Messages and topics of simulated cameras, their parameters, and how their programs end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter

from clipose_ros.config import ConfigNode, option
from clipose_ros.decoding.frames import read_frame
from clipose_ros.decoding.messages import FrameMessages, Topics
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.ros.conversions import ros_stamp
from clipose_ros.ros.node_process import declare_parameters, run_node
from clipose_ros.ros_tools.camera_publisher import CameraPublisher, camera_messages
from clipose_ros.types import CameraIntrinsics, RgbdFrame

NAMES = Topics("color", "depth", "info", "labels", "boxes")
INPUTS = ("/rgb/image_rect_color", "/depth_registered/image_rect", "/rgb/camera_info", "/segmentation/labels")


@dataclass(frozen=True)
class Settings(ConfigNode):
    """Settings of a node of these tests."""

    rate_hz: float = option(15.0, "Frames per second.", low=0.1, high=120.0)
    frame_id: str = option("camera", "TF frame of the images.")


def make_frame(labels: bool = True) -> RgbdFrame:
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 2.0, (12, 16)).astype(np.float32)
    depth[0], depth[1] = 0.0, -1.0
    return RgbdFrame(
        rng.integers(0, 255, (12, 16, 3), np.uint8),
        depth,
        CameraIntrinsics(20.0, 21.0, 7.5, 5.5, 16, 12),
        frame_id="camera_optical",
        labels=rng.integers(0, 9000, (12, 16)).astype(np.uint16) if labels else None,
    )


@pytest.mark.parametrize("labels", [True, False])
def test_messages_are_the_frame_and_share_one_header(labels: bool) -> None:
    frame = make_frame(labels)
    messages = camera_messages(frame)
    messages.header.stamp = ros_stamp(5_000_000_007)
    back = read_frame(FrameMessages(messages.color, messages.depth, messages.info, messages.labels), NAMES)
    assert (back.stamp_ns, back.frame_id, back.intrinsics) == (5_000_000_007, "camera_optical", frame.intrinsics)
    np.testing.assert_array_equal(back.rgb, frame.rgb)
    np.testing.assert_array_equal(back.depth[2:], frame.depth[2:])
    assert np.isnan(back.depth[:2]).all(), "invalid depth is NaN (REP-118)"
    assert (back.labels is None) == (not labels)
    if labels:
        np.testing.assert_array_equal(back.labels, frame.labels)
        assert messages.labels.header is messages.depth.header is messages.info.header is messages.header


@pytest.mark.parametrize("with_labels", [True, False])
def test_frames_are_published_with_sensor_qos(spin, listener, with_labels: bool) -> None:
    node = rclpy.create_node("camera")
    camera, messages = CameraPublisher(node, with_labels), camera_messages(make_frame())
    node.create_timer(0.02, lambda: camera.publish(messages))
    messages.header.stamp = ros_stamp(1_000_000_000)
    topics = INPUTS if with_labels else INPUTS[:3]
    spin(lambda: listener.stamps_of(*topics) == [1_000_000_000], node, listener)
    for topic in topics:
        (info,) = node.get_publishers_info_by_topic(topic)
        assert info.qos_profile.reliability.name == "BEST_EFFORT"
    assert node.count_publishers(INPUTS[3]) == with_labels and bool(listener.received[INPUTS[3]]) == with_labels
    np.testing.assert_array_equal(
        listener.received[INPUTS[0]][1_000_000_000].data, make_frame().rgb.ravel(), "the pixels arrive"
    )


def test_parameters_are_typed_described_and_read_only(spin) -> None:
    node = rclpy.create_node("settings", parameter_overrides=[Parameter("rate_hz", value=30.0)])
    assert declare_parameters(node, Settings) == Settings(rate_hz=30.0)
    descriptor = node.describe_parameter("rate_hz")
    assert descriptor.description == "Frames per second." and descriptor.read_only
    assert (descriptor.floating_point_range[0].from_value, descriptor.floating_point_range[0].to_value) == (0.1, 120.0)
    (result,) = node.set_parameters([Parameter("rate_hz", value=20.0)])
    assert not result.successful
    node.destroy_node()


@pytest.mark.parametrize("value", [0.0, "fast"])
def test_a_value_of_the_wrong_type_or_range_is_named(spin, value: float | str) -> None:
    node = rclpy.create_node("settings", parameter_overrides=[Parameter("rate_hz", value=value)])
    with pytest.raises(ConfigError, match=r"parameter 'rate_hz' \(Frames per second\)"):
        declare_parameters(node, Settings)
    node.destroy_node()


class ShuttingDownNode(Node):
    """Node that shuts ROS down as soon as it spins."""

    def __init__(self) -> None:
        super().__init__("shutting_down")
        self.create_timer(0.01, rclpy.shutdown)


def test_a_program_ends_with_status_0_when_ros_shuts_down() -> None:
    assert run_node(ShuttingDownNode, []) == 0
    assert not rclpy.ok()


def test_arguments_reach_the_node() -> None:
    names: list[str] = []

    def create() -> Node:
        node = ShuttingDownNode()
        names.append(node.get_fully_qualified_name())
        return node

    assert run_node(create, ["--ros-args", "-r", "__node:=camera", "-r", "__ns:=/robot"]) == 0
    assert names == ["/robot/camera"]


def test_an_error_of_the_package_ends_the_program_with_one_line_and_status_1(capfd) -> None:
    def fail() -> Node:
        raise DataError("'/nowhere' is no folder")

    assert run_node(fail, []) == 1
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "[FATAL]" in lines[0] and "'/nowhere' is no folder" in lines[0]
    assert not rclpy.ok()


def test_a_bug_is_raised() -> None:
    def crash() -> Node:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        run_node(crash, [])
    assert not rclpy.ok()
