"""The client asks a pose node over DDS, from threads, callbacks and coroutines of any executor."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection3DArray

from clipose_ros.client import (
    DetectedObjects,
    NodeNotActiveError,
    NodeNotFoundError,
    PoseClient,
    PoseClientError,
    PoseTimeoutError,
    WouldDeadlockError,
    connection,
)
from clipose_ros.decoding.messages import stamp_ns

GENEROUS_S = 60.0
SHORT_S = 0.2


class BrokenExecutor:
    """Executor of a context, whose spin fails within rclpy."""

    def __init__(self, context: rclpy.Context) -> None:
        self.context = context

    def spin(self) -> None:
        raise RuntimeError("failed to initialize wait set: the given context is not valid")


class Spun:
    """A user's node, spun in a thread by an executor."""

    def __init__(self, executor: Any) -> None:
        self.node, self.executor = Node("robot"), executor
        executor.add_node(self.node)
        self.thread = threading.Thread(target=self._spin)
        self.thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self.executor.spin()

    def stop(self) -> None:
        self.executor.shutdown()
        self.thread.join(GENEROUS_S)
        self.node.destroy_node()


@pytest.fixture
def spun(ros: Any) -> Iterator[Callable[[Any], Spun]]:
    """Spin nodes, each by an executor of its own."""
    started: list[Spun] = []

    def start(executor: Any) -> Spun:
        started.append(Spun(executor))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def client(ros: Any) -> Iterator[PoseClient]:
    """A client of the helper node, which nobody spins while a test blocks."""
    with PoseClient(ros.node) as opened:
        yield opened


def in_callback(ros: Any, camera: Any, node: Node, callback: Callable[[], Any]) -> Any:
    """Run a callback or coroutine once, in the executor of a node, while the camera publishes; return its result."""
    results: list[Any] = []

    async def run() -> None:
        if results:
            return
        try:
            result = callback()
            results.append(await result if hasattr(result, "__await__") else result)
        except PoseClientError as error:
            results.append(error)

    timer = node.create_timer(0.05, run)
    ros.wait_for(lambda: results, "the callback", camera.send)
    node.destroy_timer(timer)
    return results[0]


def check(detected: Any, node: Any) -> None:
    """Compare a result with the message of the same stamp."""
    assert isinstance(detected, DetectedObjects), detected
    assert [item.name for item in detected] == ["bowl_1", "mug_1"]
    node.ros.wait_for(lambda: message_of(detected, node), "the message of that stamp")
    message = message_of(detected, node)
    assert detected.frame_id == message.header.frame_id == "camera_optical"
    for item, detection in zip(detected, message.detections, strict=True):
        position = detection.bbox.center.position
        np.testing.assert_allclose(item.position, [position.x, position.y, position.z])
        assert item.score == detection.results[0].hypothesis.score


def wait_for_service(ros: Any) -> None:
    """Wait until the participant, which helper and client share, has discovered the pose node."""
    ready = ros.node.create_client(Trigger, "pose_node/detect_once")
    ros.wait_for(ready.service_is_ready, "the service")
    ros.node.destroy_client(ready)


def message_of(detected: DetectedObjects, node: Any) -> Any:
    return next((m for m in node.detections if stamp_ns(m.header.stamp) == detected.stamp_ns), None)


@pytest.mark.parametrize("enabled", [False, True])
def test_detect_once_gives_a_frame_after_the_request(ros, camera, start_node, client, enabled) -> None:
    node = start_node(enabled=enabled, tracking__min_hits=1 if enabled else 5)
    camera.wait_until_heard()
    for _ in range(3):
        begun_ns = camera.stamp_ns
        future = client.detect_once_async(GENEROUS_S)
        ros.wait_for(future.done, "the result", camera.send)
        check(future.result(), node)
        assert future.result().stamp_ns > begun_ns


@pytest.mark.parametrize("make", [SingleThreadedExecutor, MultiThreadedExecutor])
@pytest.mark.parametrize("form", ["blocking", "awaited"])
def test_callbacks_may_wait_in_any_executor(ros, camera, start_node, spun, make, form) -> None:
    node, robot = start_node(enabled=False), spun(make())
    camera.wait_until_heard()
    with PoseClient(robot.node) as client:
        ask = client.detect_once if form == "blocking" else client.detect_once_async
        check(in_callback(ros, camera, robot.node, lambda: ask(GENEROUS_S)), node)


def test_other_callbacks_run_while_one_awaits(ros, camera, start_node, spun) -> None:
    start_node(enabled=False)
    robot, ticks = spun(SingleThreadedExecutor()), []
    camera.wait_until_heard()
    with PoseClient(robot.node) as client:
        future = client.detect_once_async(GENEROUS_S)
        robot.node.create_timer(0.01, lambda: ticks.append(1))
        ros.wait_for(lambda: len(ticks) > 3, "callbacks while nothing is published")
        assert not future.done()
        ros.wait_for(future.done, "the result", camera.send)


def test_a_call_that_blocks_the_executor_of_the_pose_node_is_refused(ros, camera, start_node) -> None:
    node = start_node(enabled=False)
    camera.wait_until_heard()
    robot = Node("robot")
    node.executor.add_node(robot)
    with PoseClient(robot) as client:
        refused = in_callback(ros, camera, robot, lambda: client.detect_once(GENEROUS_S))
        assert isinstance(refused, WouldDeadlockError) and "await detect_once_async" in str(refused)
        check(in_callback(ros, camera, robot, lambda: client.detect_once_async(GENEROUS_S)), node)
        future = client.wait_for_async("mug", 0.1, GENEROUS_S)  # another thread may block
        ros.call(Trigger, "pose_node/detect_once", Trigger.Request(), each=camera.send)
        ros.wait_for(future.done, "the result", camera.send)
    node.executor.remove_node(robot)
    robot.destroy_node()


def test_wait_for_gives_the_objects_that_fit(ros, camera, start_node, client) -> None:
    start_node()
    camera.wait_until_heard()
    future = client.wait_for_async("bowl", 0.1, GENEROUS_S)
    ros.wait_for(future.done, "the result", camera.send)
    assert [item.category for item in future.result()] == ["bowl"]
    late = client.wait_for_async("laptop", 0.1, 1.0)
    ros.wait_for(late.done, "the timeout", camera.send)
    with pytest.raises(
        PoseTimeoutError, match=r"no 'laptop' with a score of 0.1 within 1 s, but \d+ frames with .*'mug'"
    ):
        late.result()


def test_in_frame_uses_the_transform_of_the_image(ros, camera, start_node, client) -> None:
    start_node(enabled=False)
    camera.wait_until_heard()
    in_base = client.in_frame("base")
    ros.wait_for(lambda: camera.tf.get_subscription_count() >= 1, "the subscription to TF")
    future = in_base.detect_once_async(GENEROUS_S)
    ros.wait_for(future.done, "the result", camera.send_with_tf)
    assert future.result().frame_id == "base" and len(future.result()) == 2
    missing = client.in_frame("moon\n").detect_once_async(2.0)
    ros.wait_for(missing.done, "the error", camera.send)
    with pytest.raises(PoseClientError, match=r"no transform on '/tf' from 'camera_optical' to 'moon\\n'"):
        missing.result()


def test_no_node_is_named(ros, client) -> None:
    with pytest.raises(NodeNotFoundError, match=r"'/pose_node/detect_once' within 0.2 s"):
        client.detect_once(SHORT_S)
    with pytest.raises(NodeNotFoundError):
        client.wait_for("mug", timeout_s=SHORT_S)


@pytest.mark.parametrize("method", ["detect_once", "wait_for"])
def test_a_node_that_is_not_active_is_named_with_its_state(ros, start_node, client, method) -> None:
    start_node(started=False)
    wait_for_service(ros)
    with pytest.raises(NodeNotActiveError, match=r"'/pose_node' is 'unconfigured'.*lifecycle set /pose_node configure"):
        getattr(client, method)(timeout_s=GENEROUS_S if method == "detect_once" else SHORT_S)


def test_without_frames_the_wait_ends(ros, start_node, client) -> None:
    start_node()
    wait_for_service(ros)
    with pytest.raises(PoseTimeoutError, match="has not replied within"):
        client.detect_once(SHORT_S)
    with pytest.raises(PoseTimeoutError, match="0 frames with no objects: check that it is enabled"):
        client.wait_for("mug", timeout_s=SHORT_S)


def test_the_reason_of_a_frame_that_fails_is_given(ros, camera, start_node, client) -> None:
    start_node(enabled=False)
    camera.wait_until_heard()

    def broken(messages: dict[str, Any]) -> None:
        messages["info"].p, messages["info"].k = [0.0] * 12, [0.0] * 9

    future = client.detect_once_async(GENEROUS_S)
    ros.wait_for(future.done, "the error", lambda: camera.send(broken))
    with pytest.raises(PoseClientError, match="could not process a frame: .*not calibrated"):
        future.result()


def test_other_messages_on_the_topic_do_no_harm(ros, camera, start_node, client) -> None:
    node = start_node(enabled=False)
    camera.wait_until_heard()
    publisher = ros.node.create_publisher(Detection3DArray, "pose_node/detections", 10)
    future = client.detect_once_async(GENEROUS_S)

    def disturb() -> None:
        publisher.publish(Detection3DArray())
        camera.send()

    ros.wait_for(future.done, "the result", disturb)
    check(future.result(), node)


def test_names_follow_namespace_and_remapping(ros) -> None:
    node = Node("robot", namespace="/arm", cli_args=["--ros-args", "-r", "poses/detect_once:=/table/detect_once"])
    with PoseClient(node, "poses") as client, pytest.raises(NodeNotFoundError, match="'/table/detect_once'"):
        client.detect_once(SHORT_S)
    with PoseClient(node) as client, pytest.raises(NodeNotFoundError, match="'/arm/pose_node/detect_once'"):
        client.detect_once(SHORT_S)
    node.destroy_node()


def test_closing_and_shutdown_end_waiting_calls() -> None:
    for end in (lambda client, context: client.close(), lambda client, context: rclpy.shutdown(context=context)):
        context = rclpy.Context()
        rclpy.init(context=context)
        node = Node("robot", context=context)
        client = PoseClient(node)
        future = client.detect_once_async(GENEROUS_S)
        end(client, context)
        done = threading.Event()
        future.add_done_callback(lambda _, done=done: done.set())
        assert done.wait(GENEROUS_S)
        with pytest.raises(PoseClientError, match="was closed, or ROS was shut down"):
            future.result()
        with pytest.raises(PoseClientError, match="make another client"):
            client.in_frame("base")
        client.close()
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def test_the_thread_of_the_client_ends_quietly_where_ros_shuts_down_within_rclpy() -> None:
    context = rclpy.Context()
    context.init()
    with pytest.raises(RuntimeError, match="wait set"):
        connection._spin(BrokenExecutor(context))
    context.try_shutdown()
    connection._spin(BrokenExecutor(context))
    assert not context.ok()
