"""Lookup of TF transforms over DDS: static and moving ones, missing ones, and a time that jumps back."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from clipose_ros.errors import FrameError
from clipose_ros.geometry.se3 import exp_so3, make_transform, quat_xyzw_from_rotation
from clipose_ros.ros.conversions import ros_stamp
from clipose_ros.ros.transforms import Transforms, _BoundedBuffer

START_NS = 1_000 * 1_000_000_000
SECOND_NS = 1_000_000_000
STATIC = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def node(ros):
    made = rclpy.create_node("transforms_test")
    ros.executor.add_node(made)
    yield made
    ros.executor.remove_node(made)
    made.destroy_node()


def transform_message(T_base_camera: np.ndarray, stamp_ns: int, child: str = "camera") -> TFMessage:
    stamped = TransformStamped(child_frame_id=child)
    stamped.header.frame_id, stamped.header.stamp = "base", ros_stamp(stamp_ns)
    t, q = stamped.transform.translation, stamped.transform.rotation
    t.x, t.y, t.z = T_base_camera[:3, 3].tolist()
    q.x, q.y, q.z, q.w = quat_xyzw_from_rotation(T_base_camera[:3, :3]).tolist()
    return TFMessage(transforms=[stamped])


def look_up(transforms: Transforms, stamp_ns: int, timeout_s: float = 0.0) -> np.ndarray | None:
    """Return the transform, or None while TF lacks it."""
    try:
        return transforms.lookup("base", "camera", stamp_ns, timeout_s, "tracking.frame")
    except FrameError:
        return None


def test_a_frame_in_itself_is_the_identity_without_tf(ros, node):
    transforms = Transforms(node, "", "")
    np.testing.assert_array_equal(transforms.lookup("camera", "camera", START_NS, 0.0, "tracking.frame"), np.eye(4))
    ros.wait_for(lambda: "transforms_test" in ros.node.get_node_names(), "discovery of the node")
    assert ros.node.count_subscribers("/tf") == ros.node.count_subscribers("/tf_static") == 0
    transforms.close()


def test_a_static_transform_holds_at_every_stamp_and_survives_clear(ros, node):
    expected = make_transform(exp_so3([0.4, -0.9, 1.3]), [0.5, -0.2, 1.1])
    publisher = ros.node.create_publisher(TFMessage, "/tf_static", STATIC)
    publisher.publish(transform_message(expected, START_NS))
    transforms = Transforms(node, "base", "")
    ros.wait_for(lambda: look_up(transforms, START_NS) is not None, "the transform")
    for stamp_ns in (1, START_NS, START_NS + 3600 * SECOND_NS):
        np.testing.assert_allclose(look_up(transforms, stamp_ns), expected, atol=1e-9)
    transforms.clear()
    np.testing.assert_allclose(look_up(transforms, START_NS), expected, atol=1e-9)
    transforms.close()


def test_a_moving_transform_is_interpolated_at_the_stamp(ros, node):
    publisher = ros.node.create_publisher(TFMessage, "/tf", 10)
    transforms = Transforms(node, "base")

    def publish():
        for second in (0, 1):
            T = make_transform(exp_so3([0.0, 0.0, 0.4 * second]), [2.0 * second, 0.0, 0.0])
            publisher.publish(transform_message(T, START_NS + second * SECOND_NS))

    ros.wait_for(lambda: look_up(transforms, START_NS + SECOND_NS) is not None, "both transforms", publish)
    halfway = make_transform(exp_so3([0.0, 0.0, 0.2]), [1.0, 0.0, 0.0])
    np.testing.assert_allclose(look_up(transforms, START_NS + SECOND_NS // 2), halfway, atol=1e-9)
    assert look_up(transforms, START_NS + 2 * SECOND_NS) is None, "nothing is extrapolated"
    transforms.close()


def test_a_missing_transform_is_named_with_its_parameter_and_a_remedy(ros, node):
    transforms = Transforms(node, "base")
    with pytest.raises(FrameError, match=r"'camera' to 'base' \(publish\.target_frame\).*set publish\.target_frame"):
        transforms.lookup("base", "camera", START_NS, 0.0, "publish.target_frame")
    transforms.close()


def test_lookup_waits_for_a_transform_that_arrives_within_the_timeout(ros, node):
    """The lookup runs in a thread, as that of the worker, while the executor receives the transform."""
    publisher = ros.node.create_publisher(TFMessage, "/tf", 10)
    transforms = Transforms(node, "base")
    found: list[np.ndarray | None] = []
    thread = threading.Thread(target=lambda: found.append(look_up(transforms, START_NS, timeout_s=30.0)))
    thread.start()
    ros.wait_for(lambda: found, "the lookup", lambda: publisher.publish(transform_message(np.eye(4), START_NS)))
    thread.join()
    np.testing.assert_allclose(found[0], np.eye(4), atol=1e-12)
    transforms.close()


def test_a_lookup_ends_in_time_whatever_else_arrives(ros, node) -> None:
    """Something is stored during each attempt, as by a flood."""
    transforms = Transforms(node, "base")
    look, attempts = transforms._buffer.lookup_transform, []

    def attempt(*arguments):
        attempts.append(time.monotonic())
        transforms._buffer.set_transform(transform_message(np.eye(4), START_NS, "other").transforms[0], "test")
        return look(*arguments)

    transforms._buffer.lookup_transform = attempt
    started_s = time.monotonic()
    assert look_up(transforms, START_NS, timeout_s=0.1) is None
    # The last attempt but one may begin in time and end later; the very last one describes other clocks.
    assert len(attempts) > 2
    assert attempts[-2] - started_s < 5.0
    transforms.close()


def test_a_buffer_tells_of_transforms_stored_since_a_count() -> None:
    buffer = _BoundedBuffer(pytest.fail)
    count, message = buffer.count, transform_message(np.eye(4), START_NS).transforms[0]
    assert not buffer.wait_for_next(count, 0.01) and not buffer.wait_for_next(count, -1.0)
    buffer.set_transform(message, "test")
    assert buffer.wait_for_next(count, 0.0), "one that is stored before the wait is not missed"
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(buffer.wait_for_next(count + 1, 30.0)))
    thread.start()
    buffer.set_transform_static(message, "test")
    thread.join()
    assert found == [True]


def test_after_clear_transforms_of_an_earlier_time_are_accepted(ros, node):
    publisher = ros.node.create_publisher(TFMessage, "/tf", 10)
    transforms = Transforms(node, "base")
    late, early = START_NS + 500 * SECOND_NS, START_NS
    ros.wait_for(
        lambda: look_up(transforms, late) is not None,
        "the late transform",
        lambda: publisher.publish(transform_message(np.eye(4), late)),
    )
    transforms.clear()
    assert look_up(transforms, late) is None
    ros.wait_for(
        lambda: look_up(transforms, early) is not None,
        "the early transform",
        lambda: publisher.publish(transform_message(np.eye(4), early)),
    )
    transforms.close()


def test_close_unsubscribes(ros, node):
    transforms = Transforms(node, "base")
    ros.wait_for(lambda: ros.node.count_subscribers("/tf") == 1, "the subscription")
    transforms.close()
    ros.wait_for(lambda: ros.node.count_subscribers("/tf") == 0, "its end")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: setattr(t.transform.translation, "x", float("nan")), "finite"),
        (lambda t: setattr(t.transform.translation, "z", 1.7e308), "finite"),
        (lambda t: setattr(t.transform.rotation, "w", 2.0), "length 1"),
        (lambda t: setattr(t.header.stamp, "nanosec", 4_000_000_000), "stamp"),
        (lambda t: setattr(t, "child_frame_id", "camera" + "x" * 100_000), "255"),
        (lambda t: setattr(t, "child_frame_id", "base"), "two frames"),
    ],
)
def test_unusable_transforms_are_ignored_and_reported(ros, node, capfd, change, words):
    publisher, reported = ros.node.create_publisher(TFMessage, "/tf", 10), []
    transforms = Transforms(node, "base", report=reported.append)
    spoilt, right = transform_message(np.eye(4), START_NS), transform_message(np.eye(4), START_NS)
    change(spoilt.transforms[0])

    def publish():
        publisher.publish(spoilt)
        publisher.publish(right)

    ros.wait_for(lambda: reported and look_up(transforms, START_NS) is not None, "both transforms", publish)
    assert words in reported[0] and len(reported[0]) < 500
    assert "x" * 1000 not in capfd.readouterr().err
    transforms.close()


def test_transforms_of_another_clock_are_called_that_with_both_stamps(ros, node):
    publisher = ros.node.create_publisher(TFMessage, "/tf", 10)
    transforms = Transforms(node, "base")
    image_ns = 1_795_000_000 * SECOND_NS

    def text() -> str:
        with pytest.raises(FrameError) as caught:
            transforms.lookup("base", "camera", image_ns, 0.0, "tracking.frame")
        return str(caught.value)

    ros.wait_for(lambda: "different clocks" in text(), "the cause",
                 lambda: publisher.publish(transform_message(np.eye(4), START_NS)))  # fmt: skip
    assert "1000.000 s" in text() and "1795000000.000 s" in text() and "use_sim_time" in text()
    with pytest.raises(FrameError) as caught:
        transforms.lookup("base", "camera", START_NS + SECOND_NS, 0.0, "tracking.frame")
    assert "clocks" not in str(caught.value)
    transforms.close()
