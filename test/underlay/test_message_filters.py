"""Synchronisers match what the documentation says they match."""

import itertools
import os
import time

import pytest
import rclpy
from hypothesis import given
from hypothesis import strategies as st
from message_filters import ApproximateTimeSynchronizer, SimpleFilter, Subscriber, TimeSynchronizer
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from std_msgs.msg import String

MS = 1_000_000


def image(stamp_ms, label=""):
    message = Image()
    message.header.frame_id = label
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ms * MS, 1_000_000_000)
    return message


def stamp_ms(message):
    return message.header.stamp.sec * 1000 + message.header.stamp.nanosec // MS


def play(arrivals, inputs, make):
    """Feed ``(input, stamp_ms)`` in order; returns the sets given out as stamps."""
    sources = [SimpleFilter() for _ in range(inputs)]
    synchronizer = make(sources)
    matched = []
    synchronizer.registerCallback(lambda *messages: matched.append(tuple(stamp_ms(each) for each in messages)))
    for index, stamp in arrivals:
        sources[index].signalMessage(image(stamp))
    return matched, synchronizer


def test_callback_gets_the_message_and_then_its_own_arguments():
    received = []
    source = SimpleFilter()
    assert source.registerCallback(lambda *args: received.append(args), "a", 1) == 0
    source.signalMessage("message")
    assert received == [("message", "a", 1)]


@given(st.permutations([(index, stamp) for index in range(3) for stamp in (10, 20, 30, 40)]))
def test_exact_matches_every_common_stamp_whatever_the_order(arrivals):
    matched, synchronizer = play(arrivals, 3, lambda sources: TimeSynchronizer(sources, 10))
    assert sorted(matched) == [(stamp,) * 3 for stamp in (10, 20, 30, 40)]
    assert all(not queue for queue in synchronizer.queues)


def test_exact_ignores_what_is_a_nanosecond_off():
    sources = [SimpleFilter(), SimpleFilter()]
    matched = []
    TimeSynchronizer(sources, 10).registerCallback(lambda *messages: matched.append(messages))
    off = image(10)
    off.header.stamp.nanosec += 1
    sources[0].signalMessage(image(10))
    sources[1].signalMessage(off)
    assert not matched


arrivals_of_three = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 200)), max_size=60)


@given(arrivals_of_three, st.integers(1, 40), st.integers(1, 10))
def test_approximate_sets_are_close_and_use_each_message_once(arrivals, slop_ms, queue_size):
    matched, synchronizer = play(
        arrivals, 3, lambda sources: ApproximateTimeSynchronizer(sources, queue_size, slop_ms / 1000)
    )
    assert all(max(stamps) - min(stamps) < slop_ms for stamps in matched)
    for index in range(3):
        sent = [stamp for source, stamp in arrivals if source == index]
        used = [stamps[index] for stamps in matched]
        assert all(used.count(stamp) <= sent.count(stamp) for stamp in used)
    assert all(len(queue) <= queue_size for queue in synchronizer.queues)
    left = itertools.product(*synchronizer.queues)
    newest = arrivals[-1][1] * MS if arrivals else None
    assert not any(max(each) - min(each) < slop_ms * MS for each in left if newest in each)


def test_approximate_takes_the_nearest_stamp():
    matched, _ = play([(1, 90), (1, 104), (0, 100)], 2, lambda sources: ApproximateTimeSynchronizer(sources, 10, 0.05))
    assert matched == [(100, 104)]


def test_approximate_slop_is_exclusive():
    def make(sources):
        return ApproximateTimeSynchronizer(sources, 10, 0.01)

    assert play([(0, 100), (1, 110)], 2, make)[0] == []
    assert play([(0, 100), (1, 109)], 2, make)[0] == [(100, 109)]


def test_oldest_is_dropped_beyond_the_queue_size():
    matched, _ = play([(0, 10), (0, 20), (0, 30), (1, 10), (1, 30)], 2, lambda sources: TimeSynchronizer(sources, 2))
    assert matched == [(30, 30)]


def test_time_that_jumps_back_goes_on_once_the_queues_are_cleared():
    matched, synchronizer = play(
        [(0, 900), (0, 910), (0, 5), (1, 5)], 2, lambda sources: ApproximateTimeSynchronizer(sources, 2, 0.01)
    )
    assert matched == []  # full of the future, the queue dropped the past at once
    for queue in synchronizer.queues:
        queue.clear()
    synchronizer.add(image(5), synchronizer.queues[0], 0)
    synchronizer.add(image(6), synchronizer.queues[1], 1)
    assert matched == [(5, 6)]


@pytest.mark.parametrize(("allowed", "expected"), [(False, 0), (True, 1)])
def test_headerless_messages_are_matched_only_when_allowed(allowed, expected):
    sources = [SimpleFilter(), SimpleFilter()]
    matched = []
    synchronizer = ApproximateTimeSynchronizer(sources, 10, 10.0, allow_headerless=allowed)
    synchronizer.registerCallback(lambda *messages: matched.append(messages))
    for source in sources:
        source.signalMessage(String(data="now"))
    assert len(matched) == expected


def test_arrival_time_replaces_the_stamp():
    matched, _ = play(
        [(0, 1), (1, 5000)], 2, lambda sources: ApproximateTimeSynchronizer(sources, 10, 10.0, sync_arrival_time=True)
    )
    assert matched == [(1, 5000)]


@pytest.fixture
def node():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=20 + os.getpid() % 10)
    node = rclpy.create_node("filters", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_subscriber_over_dds_passes_options_on(node):
    group = ReentrantCallbackGroup()
    subscriber = Subscriber(
        node,
        Image,
        "image",
        qos_profile=qos_profile_sensor_data,
        callback_group=group,
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )
    received = []
    subscriber.registerCallback(lambda message, tag: received.append((stamp_ms(message), tag)), "tag")
    publisher = node.create_publisher(Image, "image", qos_profile_sensor_data)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    end = time.monotonic() + 30
    while not received and time.monotonic() < end:
        publisher.publish(image(1234))
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    assert received[0] == (1234, "tag")
    assert subscriber.getTopic() == "image"
    assert subscriber.topic_name == "/image"  # the subscription's own
    assert subscriber.callback_group is group
    assert node.has_parameter("qos_overrides./image.subscription.depth")
