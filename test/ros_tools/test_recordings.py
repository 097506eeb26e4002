"""Recordings as a live camera, and a live camera as a recording, over DDS."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import rclpy
from bag_files import FRAME, START_NS, STEP_NS, Messages, make_frames, scene, scene_items, write_bag
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from clipose_ros.data.bags.recording import open_recording
from clipose_ros.decoding.images import read_color, read_depth
from clipose_ros.decoding.messages import INPUT_TOPICS
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.ros.conversions import ros_stamp
from clipose_ros.ros_tools.bag_player import BagPlayer, recorded_rate_hz
from clipose_ros.ros_tools.camera_publisher import CameraPublisher, camera_messages
from clipose_ros.ros_tools.topic_recorder import recorded_topics

GENEROUS_S = 60.0


@pytest.fixture
def ros():
    """rclpy with the given arguments, and a function that spins nodes until a condition holds."""

    def start(*arguments):
        rclpy.init(args=["--ros-args", *arguments] if arguments else None)

    def spin_until(nodes, condition, each=lambda: None):
        executor = SingleThreadedExecutor()
        for node in nodes:
            executor.add_node(node)
        end = time.monotonic() + GENEROUS_S
        while not condition():
            assert time.monotonic() < end
            each()
            executor.spin_once(timeout_sec=0.02)
        executor.shutdown()

    yield start, spin_until
    rclpy.try_shutdown()


def test_a_recording_is_played_as_a_camera(tmp_path, ros):
    start, spin_until = ros
    bag = write_bag(tmp_path / "bag", scene_items(4))
    start("-p", f"bag:={bag}", "-p", "rate_hz:=20.0")
    listener = rclpy.create_node("listener")
    got = {"color": [], "depth": [], "info": [], "labels": []}
    for name, kind in (("color", Image), ("depth", Image), ("info", CameraInfo), ("labels", Image)):
        listener.create_subscription(kind, getattr(INPUT_TOPICS, name), got[name].append, qos_profile_sensor_data)
    player = BagPlayer()
    spin_until([player, listener], lambda: player.published > 5 and all(got.values()))
    frame = scene(START_NS)
    np.testing.assert_array_equal(read_color(got["color"][-1], "color"), frame.rgb)
    np.testing.assert_array_equal(read_depth(got["depth"][-1], "depth"), frame.depth)
    assert got["color"][-1].header.frame_id == FRAME
    assert got["color"][-1].header.stamp.sec > 1_700_000_100  # of now
    player.destroy_node()
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]
    listener.destroy_node()


def test_the_player_ends_after_the_last_frame(tmp_path, ros):
    start, spin_until = ros
    start("-p", f"bag:={write_bag(tmp_path / 'bag', scene_items(4))}", "-p", "loop:=false", "-p", "rate_hz:=50.0")
    player = BagPlayer()
    spin_until([player], lambda: player.finished)
    assert player.published == 4
    player.destroy_node()


def test_the_player_names_what_is_wrong(tmp_path, ros):
    start, _ = ros
    start()
    with pytest.raises(ConfigError, match="bag:="):
        BagPlayer()
    rclpy.try_shutdown()
    start("-p", f"bag:={tmp_path}")
    with pytest.raises(DataError, match="no file of a recording"):
        BagPlayer()


def test_the_rate_is_that_of_the_recording(tmp_path):
    makers = Messages()
    items = [item for frame in make_frames(5) for item in makers.camera(frame)]
    assert recorded_rate_hz(open_recording(write_bag(tmp_path / "bag", items))) == pytest.approx(1e9 / STEP_NS)
    one = write_bag(tmp_path / "one", items[:3])
    assert recorded_rate_hz(open_recording(one)) == 30.0


def test_a_camera_is_recorded_and_read_back(tmp_path, ros):
    start, spin_until = ros
    start()
    node = rclpy.create_node("camera")
    camera = CameraPublisher(node, with_labels=True)
    sent = []

    def send():
        frame = scene(START_NS + len(sent) * STEP_NS)
        messages = camera_messages(frame)
        for message in (messages.color, messages.depth, messages.info, messages.labels):
            message.header = Header(stamp=ros_stamp(frame.stamp_ns), frame_id=FRAME)
        camera.publish(messages)
        sent.append(frame)

    with recorded_topics(tmp_path / "recording") as recorder:
        counts = recorder.written
        names = [recorder.resolve_topic_name(getattr(INPUT_TOPICS, n)) for n in ("color", "depth", "info", "labels")]
        spin_until([node], lambda: all(counts.get(name, 0) >= 3 for name in names), send)
    node.destroy_node()
    items = list(open_recording(tmp_path / "recording").frames(with_labels=True))
    usable = [item.frame for item in items if item.frame is not None]
    assert len(usable) >= 2
    np.testing.assert_array_equal(usable[-1].rgb, sent[0].rgb)
    np.testing.assert_array_equal(usable[-1].labels, sent[0].labels)
    with AnyReader([tmp_path / "recording"]) as reader:
        assert {connection.topic for connection in reader.connections} == set(names)
