"""Subscriptions over DDS: which messages form a set, time jumps, problems that are reported, and the end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import rclpy
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rclpy.utilities import get_rmw_implementation_identifier
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from clipose_ros.config import SyncConfig
from clipose_ros.decoding.messages import FrameMessages, stamp_ns
from clipose_ros.ros.clock_check import describe_missing_clock, describe_other_clock
from clipose_ros.ros.conversions import ros_stamp
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.inputs import InputCallbacks, InputSubscriptions, input_topics

SECOND_NS = 1_000_000_000


class Inputs:
    """Subscriptions of a node in the helper's executor, with all that they passed on."""

    def __init__(self, ros, config: SyncConfig, with_labels: bool) -> None:
        self.ros = ros
        self.node = rclpy.create_node("inputs_test")
        self.diagnostics = NodeDiagnostics(self.node.get_logger())
        self.events: list[FrameMessages | str] = []
        callbacks = InputCallbacks(self.events.append, lambda: self.events.append("jump"))
        self.subscriptions = InputSubscriptions(
            self.node, config, "labels" if with_labels else "", callbacks, self.diagnostics
        )
        ros.executor.add_node(self.node)

    @property
    def sets(self) -> list[FrameMessages]:
        return [event for event in self.events if isinstance(event, FrameMessages)]

    def problem(self) -> str:
        """The last problem in the diagnostics."""
        values = self.diagnostics.status("inputs", "cpu", {"state": "active"}).values
        return next(value.value for value in values if value.key == "last_problem")

    def stop(self) -> None:
        self.ros.executor.remove_node(self.node)
        self.node.destroy_node()


@pytest.fixture
def start_inputs(ros):
    """Makes subscriptions; settings of ``SyncConfig`` are given by name."""
    started = []

    def start(with_labels: bool = True, **settings) -> Inputs:
        started.append(Inputs(ros, SyncConfig(**settings), with_labels))
        return started[-1]

    yield start
    for inputs in started:
        inputs.stop()


def stamps(messages: FrameMessages) -> list[int]:
    present = (messages.color, messages.depth, messages.info, messages.labels)
    return [stamp_ns(message.header.stamp) for message in present if message is not None]


@pytest.mark.parametrize("exact", [False, True])
def test_a_set_holds_the_messages_of_one_frame(ros, camera, start_inputs, exact):
    inputs = start_inputs(exact=exact)
    ros.wait_for(lambda: len(inputs.sets) >= 5, "five sets", camera.send)
    for messages in inputs.sets:
        assert isinstance(messages.color, Image) and messages.color.encoding == "rgb8"
        assert messages.depth.encoding == messages.labels.encoding == "16UC1" and isinstance(messages.info, CameraInfo)
        assert len(set(stamps(messages))) == 1
    times = [stamps(messages)[0] for messages in inputs.sets]
    assert times == sorted(set(times)) and set(times) <= set(camera.sent)


def test_labels_are_subscribed_to_only_if_they_are_read(ros, camera, start_inputs):
    inputs = start_inputs(with_labels=False)
    ros.wait_for(lambda: inputs.sets, "a set", lambda: camera.send(leave_out=["labels"]))
    assert inputs.sets[0].labels is None and len(stamps(inputs.sets[0])) == 3
    assert camera.labels.get_subscription_count() == 0


def test_an_incomplete_frame_forms_no_set(ros, camera, start_inputs):
    inputs = start_inputs()
    ros.wait_for(lambda: inputs.sets, "a set", camera.send)
    incomplete = [camera.send(leave_out=[name]) for name in ("color", "depth", "info", "labels")]
    count = len(inputs.sets)
    ros.wait_for(lambda: len(inputs.sets) > count + 1, "later sets", camera.send)
    assert not {stamp for messages in inputs.sets for stamp in stamps(messages)} & set(incomplete)


def test_names_follow_remappings_and_the_transport(ros):
    arguments = ["--ros-args", "-r", "rgb/image_rect_color:=/front/color", "-r", "__ns:=/robot"]
    node = rclpy.create_node("names_test", cli_args=arguments)
    raw, compressed = input_topics(node, False), input_topics(node, True)
    node.destroy_node()
    assert (raw.color, compressed.color) == ("/front/color", "/front/color/compressed")
    assert raw.depth == compressed.depth == "/robot/depth_registered/image_rect"
    assert (raw.info, raw.labels) == ("/robot/rgb/camera_info", "/robot/segmentation/labels")
    assert raw.boxes == "/robot/segmentation/detections"


def test_a_time_jump_is_reported_before_the_first_set_of_the_new_time(ros, camera, start_inputs):
    inputs = start_inputs()
    ros.wait_for(lambda: len(inputs.sets) >= 2, "sets", camera.send)
    camera.stamp_ns -= 500_000_000_000
    restart_ns = camera.stamp_ns
    ros.wait_for(lambda: "jump" in inputs.events, "the time jump", camera.send)
    jump = inputs.events.index("jump")
    assert all(stamps(event)[0] > restart_ns + 400_000_000_000 for event in inputs.events[:jump])
    ros.wait_for(lambda: len(inputs.events) > jump + 2, "sets of the new time", camera.send)
    later = [event for event in inputs.events[jump:] if isinstance(event, FrameMessages)]
    assert all(restart_ns < stamp < restart_ns + 400_000_000_000 for event in later for stamp in stamps(event))
    assert "jumped back by" in inputs.problem()


def test_a_single_stamp_of_the_future_leaves_out_its_message_only(ros, camera, start_inputs):
    inputs = start_inputs()
    ros.wait_for(lambda: len(inputs.sets) >= 2, "sets", camera.send)
    camera.send(lambda messages: setattr(messages["depth"].header, "stamp", ros_stamp(camera.stamp_ns + 10**13)))
    ros.wait_for(lambda: "jumped ahead by" in inputs.problem(), "the report")
    count = len(inputs.sets)
    ros.wait_for(lambda: len(inputs.sets) > count + 2, "sets", camera.send)
    assert "jump" not in inputs.events


def test_a_message_without_a_stamp_is_reported_and_left_out(ros, camera, start_inputs):
    inputs = start_inputs()

    def without_stamp(messages):
        messages["depth"].header.stamp = ros_stamp(0)

    topic = inputs.subscriptions.topics.depth
    ros.wait_for(lambda: inputs.problem().startswith(f"'{topic}' has the stamp 0 s"), "the report",
                 lambda: camera.send(without_stamp))  # fmt: skip
    assert not inputs.sets


def test_check_names_a_silent_topic(ros, camera, start_inputs):
    inputs = start_inputs(timeout_s=0.5)
    topic = inputs.subscriptions.topics.depth

    def is_reported() -> bool:
        inputs.subscriptions.check()
        return inputs.problem().startswith(f"nothing on '{topic}' for")

    ros.wait_for(is_reported, "the report", lambda: camera.send(leave_out=["depth"]))


def test_closed_inputs_pass_nothing_on_and_unsubscribe(ros, camera, start_inputs):
    inputs = start_inputs()
    ros.wait_for(lambda: inputs.sets, "a set", camera.send)
    camera.send()  # perhaps on its way when the inputs close
    inputs.subscriptions.close()
    count = len(inputs.events)
    ros.wait_for(lambda: camera.color.get_subscription_count() == 0, "the end of the subscriptions", camera.send)
    assert len(inputs.events) == count


def test_publishers_of_a_silent_topic_are_described(ros, camera, start_inputs):
    inputs = start_inputs(timeout_s=0.5)
    topics = inputs.subscriptions.topics

    def await_report(*words: str, leave_out: tuple[str, ...] = ()) -> None:
        def is_reported() -> bool:
            inputs.subscriptions.check()
            return all(word in inputs.problem() for word in words)

        ros.wait_for(is_reported, f"a report with {words}", lambda: camera.send(leave_out=leave_out))

    await_report(f"nothing on '{topics.depth}'", "other topics arrive", "PROFILES_FILE=", leave_out=("depth",))
    ros.node.destroy_publisher(camera.depth)
    await_report(f"nothing on '{topics.depth}'", "no publisher", "remapped", leave_out=("depth",))
    context = rclpy.Context()  # a participant has one type per topic
    context.init()
    other = rclpy.create_node("other_type", context=context)
    other.create_publisher(CameraInfo, topics.depth, 1)
    await_report(f"nothing on '{topics.depth}'", "sensor_msgs/msg/CameraInfo, not as sensor_msgs/msg/Image",
                 leave_out=("depth",))  # fmt: skip
    other.destroy_node()
    context.shutdown()


def test_a_publisher_that_offers_too_little_is_told(ros, camera):
    topic = ros.node.resolve_topic_name("depth_registered/image_rect")
    name = f"qos_overrides.{topic}.subscription.reliability"
    node = rclpy.create_node("qos_test", parameter_overrides=[Parameter(name, value="reliable")])
    ros.node.destroy_publisher(camera.depth)
    camera.depth = ros.node.create_publisher(Image, topic, qos_profile_sensor_data)
    diagnostics = NodeDiagnostics(node.get_logger())
    callbacks = InputCallbacks(lambda messages: None, lambda: None)
    inputs = InputSubscriptions(node, SyncConfig(timeout_s=0.5), "", callbacks, diagnostics)
    ros.executor.add_node(node)

    def is_reported() -> bool:
        inputs.check()
        values = diagnostics.status("inputs", "cpu", {"state": "active"}).values
        return any(f"nothing on '{topic}'" in v.value and "requests reliable" in v.value for v in values)

    ros.wait_for(is_reported, "the report", camera.send)
    ros.executor.remove_node(node)
    node.destroy_node()


def test_simulated_time_that_never_comes_is_told(ros, camera):
    node = rclpy.create_node("clock_test", parameter_overrides=[Parameter("use_sim_time", value=True)])
    assert "'/clock'" in (describe_missing_clock(node) or "") and describe_other_clock(node, 10**18) is None
    clock = ros.node.create_publisher(Clock, "/clock", 10)
    ros.executor.add_node(node)
    ros.wait_for(lambda: describe_missing_clock(node) is None, "the clock",
                 lambda: clock.publish(Clock(clock=ros_stamp(1000 * SECOND_NS))))  # fmt: skip
    assert describe_other_clock(node, 1001 * SECOND_NS) is None
    hint = describe_other_clock(node, 1_795_000_000 * SECOND_NS)
    assert hint is not None and "1795000000.000 s" in hint and "1000.000 s" in hint and "use_sim_time to false" in hint
    ros.node.destroy_publisher(clock)
    ros.executor.remove_node(node)
    node.destroy_node()


def test_stamps_of_a_recording_are_recognised_by_their_age(ros):
    now_ns = ros.node.get_clock().now().nanoseconds
    assert describe_other_clock(ros.node, now_ns) is None
    hint = describe_other_clock(ros.node, now_ns - 86_400 * SECOND_NS)
    assert hint is not None and "86400 s before" in hint and "use_sim_time to true" in hint and "--clock" in hint


STOCK_CAMERA = """
import time
import numpy as np, rclpy
from clipose_ros.ros_tools.camera_publisher import CameraPublisher, camera_messages
from clipose_ros.types import CameraIntrinsics, RgbdFrame
rclpy.init()
publisher = CameraPublisher(rclpy.create_node("stock_camera"), False)
size = 480, 640
frame = RgbdFrame(np.zeros((*size, 3), np.uint8), np.ones(size, np.float32), CameraIntrinsics(600.0, 600.0, 320.0, 240.0, 640, 480))
messages = camera_messages(frame)
while True:
    now = time.time_ns()
    messages.header.stamp.sec, messages.header.stamp.nanosec = divmod(now, 10**9)
    publisher.publish(messages)
    time.sleep(0.03)
"""  # noqa: E501 - a program, not prose


@pytest.mark.skipif("fastrtps" not in get_rmw_implementation_identifier(), reason="the default segment is of Fast DDS")
def test_images_lost_in_small_shared_memory_are_called_that(ros, start_inputs):
    inputs = start_inputs(with_labels=False)
    environment = {name: value for name, value in os.environ.items() if not name.endswith("DEFAULT_PROFILES_FILE")}
    process = subprocess.Popen([sys.executable, "-c", STOCK_CAMERA], env=environment)

    def is_reported() -> bool:
        inputs.subscriptions.check()
        return inputs.problem().startswith("messages are lost")

    try:
        ros.wait_for(is_reported, "the report")
    finally:
        process.kill()
        process.wait()
    profile = re.search(r"export FASTDDS_DEFAULT_PROFILES_FILE=(\S+)", inputs.problem())
    assert profile is not None and Path(profile[1]).is_file() and "rmw_fastrtps" in inputs.problem()
    assert int(inputs.diagnostics.counters()["messages_lost"]) > 0


def test_two_publishers_of_a_topic_are_named_as_the_cause_of_jumps(ros, camera, start_inputs):
    inputs = start_inputs()
    topic = inputs.subscriptions.topics.color
    ros.node.create_publisher(Image, topic, 1)
    ros.wait_for(lambda: inputs.sets, "a set", camera.send)
    ros.wait_for(lambda: inputs.node.count_publishers(topic) == 2, "the second publisher")
    camera.stamp_ns -= 500_000_000_000
    ros.wait_for(
        lambda: "jumped back by" in inputs.problem(), "the report", lambda: camera.send(leave_out=("depth", "info"))
    )
    assert "2 publishers" in inputs.problem() and "stop all but one" in inputs.problem()
