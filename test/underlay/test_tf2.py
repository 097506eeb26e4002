"""The tree of frames answers as the distribution's does: composition, interpolation, and why it cannot."""

import os
import time

import numpy as np
import pytest
import rclpy
import tf2_ros
import tf_transformations as tf
from geometry_msgs.msg import TransformStamped
from hypothesis import given
from hypothesis import strategies as st
from rclpy.clock import Clock
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.time import Time
from tf2_msgs.msg import TFMessage

poses = st.builds(
    lambda t, q: tf.translation_matrix(t) @ tf.quaternion_matrix(tf.unit_vector(q)),
    st.tuples(*[st.floats(-3.0, 3.0)] * 3),
    st.tuples(*[st.floats(-1.0, 1.0)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
)


def stamped(parent, child, stamp, matrix=None, x=0.0):
    message = TransformStamped()
    message.header.frame_id, message.child_frame_id = parent, child
    message.header.stamp = Time(nanoseconds=round(stamp * 1e9)).to_msg()
    matrix = tf.translation_matrix((x, 0, 0)) if matrix is None else matrix
    moved, turned = message.transform.translation, message.transform.rotation
    moved.x, moved.y, moved.z = (float(value) for value in matrix[:3, 3])
    turned.x, turned.y, turned.z, turned.w = (float(value) for value in tf.quaternion_from_matrix(matrix))
    return message


def as_matrix(message):
    moved, turned = message.transform.translation, message.transform.rotation
    rotation = tf.quaternion_matrix((turned.x, turned.y, turned.z, turned.w))
    return tf.translation_matrix((moved.x, moved.y, moved.z)) @ rotation


def at(seconds):
    return Time(nanoseconds=round(seconds * 1e9))


def buffer_of(*transforms, static=()):
    buffer = tf2_ros.Buffer()
    for each in transforms:
        buffer.set_transform(each, "test")
    for each in static:
        buffer.set_transform_static(each, "test")
    return buffer


@given(poses, poses, poses)
def test_neighbours_cancel_along_the_way(T_map_base, T_base_arm, T_base_camera):
    buffer = buffer_of(
        stamped("map", "base", 1, T_map_base),
        static=[stamped("base", "arm", 0, T_base_arm), stamped("base", "camera", 0, T_base_camera)],
    )
    found = buffer.lookup_transform("map", "camera", at(1))
    assert (found.header.frame_id, found.child_frame_id) == ("map", "camera")
    np.testing.assert_allclose(as_matrix(found), T_map_base @ T_base_camera, atol=1e-9)
    sideways = as_matrix(buffer.lookup_transform("arm", "camera", at(77)))  # static alone: any time
    np.testing.assert_allclose(sideways, np.linalg.inv(T_base_arm) @ T_base_camera, atol=1e-9)
    down = as_matrix(buffer.lookup_transform("camera", "map", Time()))
    np.testing.assert_allclose(down, np.linalg.inv(T_map_base @ T_base_camera), atol=1e-9)


@given(st.floats(0.0, 1.0), st.floats(0.01, 3.0))
def test_between_two_stamps_motion_is_even(fraction, angle):
    start, end = np.identity(4), tf.translation_matrix((2, 0, 0)) @ tf.euler_matrix(0, 0, angle)
    buffer = buffer_of(stamped("map", "base", 10, start), stamped("map", "base", 12, end))
    matrix = as_matrix(buffer.lookup_transform("map", "base", at(10 + 2 * fraction)))
    np.testing.assert_allclose(matrix[0, 3], 2 * fraction, atol=1e-6)
    np.testing.assert_allclose(tf.euler_from_matrix(matrix)[2], angle * fraction, atol=1e-6)


@given(st.permutations([1, 2, 3, 4]))
def test_order_of_arrival_does_not_matter(order):
    buffer = buffer_of(*(stamped("map", "base", stamp, x=float(stamp)) for stamp in order))
    assert buffer.lookup_transform("map", "base", at(2.5)).transform.translation.x == pytest.approx(2.5)
    assert buffer.lookup_transform("map", "base", Time()).transform.translation.x == 4


def test_time_zero_is_the_latest_common_time():
    buffer = buffer_of(
        *(stamped("map", "base", stamp, x=float(stamp)) for stamp in (1, 2, 3)),
        *(stamped("base", "camera", stamp) for stamp in (1, 2)),
    )
    found = buffer.lookup_transform("map", "camera", Time())
    assert found.header.stamp.sec == 2 and found.transform.translation.x == 2
    assert buffer.get_latest_common_time("map", "camera") == at(2)


@pytest.mark.parametrize("stamp", [0.5, 3.5])
def test_outside_what_is_known_is_extrapolation(stamp):
    buffer = buffer_of(stamped("map", "base", 1), stamped("map", "base", 3), static=[stamped("base", "camera", 0)])
    with pytest.raises(tf2_ros.ExtrapolationException, match="base"):
        buffer.lookup_transform("map", "camera", at(stamp))
    assert not buffer.can_transform("camera", "map", at(stamp))


def test_one_sample_holds_at_its_stamp_alone():
    buffer = buffer_of(stamped("map", "base", 1))
    buffer.lookup_transform("map", "base", at(1))
    with pytest.raises(tf2_ros.ExtrapolationException):
        buffer.lookup_transform("map", "base", at(1.001))


def test_motion_above_the_common_parent_does_not_matter():
    buffer = buffer_of(stamped("map", "base", 1), static=[stamped("base", "a", 0), stamped("base", "b", 0, x=1.0)])
    assert buffer.lookup_transform("a", "b", at(50)).transform.translation.x == 1


def test_unknown_and_unconnected_frames_are_told_apart():
    buffer = buffer_of(static=[stamped("map", "base", 0), stamped("other", "thing", 0)])
    with pytest.raises(tf2_ros.LookupException, match="nowhere"):
        buffer.lookup_transform("map", "nowhere", Time())
    with pytest.raises(tf2_ros.ConnectivityException):
        buffer.lookup_transform("map", "thing", Time())
    with pytest.raises(tf2_ros.InvalidArgumentException):
        buffer.lookup_transform("/map", "base", Time())
    for kind in ("Lookup", "Connectivity", "Extrapolation", "InvalidArgument"):
        assert issubclass(getattr(tf2_ros, f"{kind}Exception"), tf2_ros.TransformException)


def test_reason_comes_with_the_answer():
    possible, reason = tf2_ros.Buffer().can_transform("map", "base", Time(), return_debug_tuple=True)
    assert not possible and "map" in reason


def test_old_transforms_are_forgotten():
    buffer = tf2_ros.Buffer(cache_time=Duration(seconds=2))
    for stamp in range(1, 11):
        buffer.set_transform(stamped("map", "base", stamp), "test")
    buffer.lookup_transform("map", "base", at(8.5))
    with pytest.raises(tf2_ros.ExtrapolationException):
        buffer.lookup_transform("map", "base", at(7))


@pytest.mark.parametrize(
    "fault",
    [
        {"child_frame_id": "map"},
        {"child_frame_id": ""},
        {"translation": float("nan")},
        {"w": 0.5},
    ],
)
def test_unusable_transforms_are_ignored(fault):
    transform = stamped("map", "base", 1)
    transform.child_frame_id = fault.get("child_frame_id", "base")
    transform.transform.translation.x = fault.get("translation", 0.0)
    transform.transform.rotation.w = fault.get("w", 1.0)
    assert not buffer_of(transform).can_transform("map", "base", Time())


def test_clearing_keeps_static_transforms():
    buffer = buffer_of(stamped("map", "base", 1), static=[stamped("base", "camera", 0)])
    buffer.clear()
    assert buffer.can_transform("base", "camera", at(5))
    assert not buffer.can_transform("map", "base", at(1))


def test_frame_hung_elsewhere_is_followed():
    buffer = buffer_of(
        stamped("table", "mug", 1, x=1.0), stamped("hand", "mug", 2, x=2.0), static=[stamped("table", "hand", 0, x=5.0)]
    )
    assert buffer.lookup_transform("table", "mug", at(1.5)).transform.translation.x == 1
    assert buffer.lookup_transform("table", "mug", at(2)).transform.translation.x == 7


def test_two_times_meet_in_the_fixed_frame():
    buffer = buffer_of(*(stamped("odom", "base", stamp, x=float(stamp)) for stamp in (1, 2)))
    moved = buffer.lookup_transform_full("base", at(2), "base", at(1), "odom")
    assert moved.transform.translation.x == pytest.approx(-1)


def test_waiting_ends_when_the_time_is_up():
    with pytest.raises(tf2_ros.LookupException):
        tf2_ros.Buffer().lookup_transform("map", "base", Time(), Duration(nanoseconds=30_000_000))


def test_storing_returns_nothing_as_in_every_distribution():
    buffer = tf2_ros.Buffer()
    assert buffer.set_transform(stamped("map", "base", 1), "test") is None
    assert buffer.set_transform_static(stamped("map", "arm", 1), "test") is None


def test_future_gets_the_transform_when_it_comes():
    buffer = tf2_ros.Buffer()
    future = buffer.wait_for_transform_async("map", "base", at(1))
    assert not future.done()
    buffer.set_transform(stamped("map", "base", 1, x=3.0), "test")
    assert future.result().transform.translation.x == 3


@pytest.fixture
def ros():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=20 + os.getpid() % 10)
    sender, listener = (rclpy.create_node(name, context=context) for name in ("sender", "listener"))
    yield sender, listener
    sender.destroy_node()
    listener.destroy_node()
    rclpy.shutdown(context=context)


def test_transforms_arrive_over_dds_late_listeners_included(ros):
    sender, receiver = ros
    static = tf2_ros.StaticTransformBroadcaster(sender)
    static.sendTransform(stamped("base", "camera", 0, x=1.0))
    static.sendTransform([stamped("base", "arm", 0, x=2.0)])
    buffer = tf2_ros.Buffer(node=receiver)
    listener = tf2_ros.TransformListener(buffer, receiver, spin_thread=True)
    moving = tf2_ros.TransformBroadcaster(sender)
    end = time.monotonic() + 30
    while not moving.pub_tf.get_subscription_count() and time.monotonic() < end:
        Clock().sleep_for(Duration(nanoseconds=10_000_000))
    moving.sendTransform([stamped("map", "base", 1), stamped("map", "base", 2, x=10.0)])
    found = buffer.lookup_transform("map", "camera", at(1.5), Duration(seconds=30))
    assert found.transform.translation.x == pytest.approx(6)
    assert buffer.lookup_transform("arm", "camera", Time(), Duration(seconds=30)).transform.translation.x == -1
    listener.unregister()


def test_one_message_carries_all_transforms_of_a_call(ros):
    sender, receiver = ros
    received = []
    receiver.create_subscription(TFMessage, "/tf", received.append, 10)
    broadcaster = tf2_ros.TransformBroadcaster(sender)
    executor = SingleThreadedExecutor(context=receiver.context)
    executor.add_node(receiver)
    end = time.monotonic() + 30
    while not received and time.monotonic() < end:
        broadcaster.sendTransform([stamped("map", "a", 1), stamped("map", "b", 1)])
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    assert [each.child_frame_id for each in received[0].transforms] == ["a", "b"]
