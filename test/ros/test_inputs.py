"""Subscriptions over DDS: which messages form a set, time jumps, problems that are reported, and the end."""

from __future__ import annotations

import pytest
import rclpy
from sensor_msgs.msg import CameraInfo, Image

from clipose_ros.config import SyncConfig
from clipose_ros.ros.conversions import FrameMessages, ros_stamp, stamp_ns
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.inputs import InputCallbacks, InputSubscriptions, input_topics


class Inputs:
    """Subscriptions of a node in the helper's executor, with all that they passed on."""

    def __init__(self, ros, config: SyncConfig, with_labels: bool) -> None:
        self.ros = ros
        self.node = rclpy.create_node("inputs_test")
        self.diagnostics = NodeDiagnostics(self.node.get_logger())
        self.events: list[FrameMessages | str] = []
        callbacks = InputCallbacks(self.events.append, lambda: self.events.append("jump"))
        self.subscriptions = InputSubscriptions(self.node, config, with_labels, callbacks, self.diagnostics)
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
