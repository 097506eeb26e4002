"""No message and no request ends the node; each costs itself only, and is counted."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.executors import ExternalShutdownException
from rclpy.logging import get_logger
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from vision_msgs.msg import Detection3DArray

from clipose_ros.ros import callback_guard
from clipose_ros.ros.callback_guard import CallbackGuard
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.worker import ExceptionRelay

GENEROUS_S = 60.0
INVALID_STAMPS = [(-1, 4_000_000_000), (-4, 4_294_967_295), (2**31 - 1, 4_294_967_295), (5, 10**9), (0, 0)]


def detects_again(ros, camera, node) -> None:
    """Wait until a frame that is sent now is published."""
    before = len(node.detections)
    ros.wait_for(lambda: len(node.detections) > before, "poses of valid frames", camera.send)
    assert node.error is None


@pytest.mark.parametrize("stamp", INVALID_STAMPS)
def test_a_stamp_that_is_no_time_costs_its_message(ros, camera, start_node, stamp):
    node = start_node()
    camera.wait_until_heard()
    camera.info.publish(CameraInfo(header=Header(stamp=Time(sec=stamp[0], nanosec=stamp[1]))))
    ros.wait_for(lambda: f"{stamp[0]} s {stamp[1]} ns" in node.value("problem.stamp"), "the reason")
    detects_again(ros, camera, node)


def test_stamps_that_are_no_time_in_whole_sets(ros, camera, start_node):
    node = start_node()
    camera.wait_until_heard()

    def spoil(messages):
        for message in messages.values():
            message.header.stamp.nanosec = 4_294_967_295

    for _ in range(5):
        camera.send(spoil)
    detects_again(ros, camera, node)
    assert {d.header.stamp.nanosec < 10**9 for d in node.detections} == {True}


@pytest.mark.parametrize("kind", [SetParameters, SetParametersAtomically])
def test_a_parameter_of_no_type_is_refused(ros, start_node, kind):
    node = start_node()
    unusable = Parameter(name="tracking.gate_m", value=ParameterValue(type=255))
    usable = Parameter(name="enabled", value=ParameterValue(type=1, bool_value=True))
    name = "pose_node/set_parameters" + ("_atomically" if kind is SetParametersAtomically else "")
    reply = ros.call(kind, name, kind.Request(parameters=[usable, unusable, usable]))
    results = [reply.result] if kind is SetParametersAtomically else reply.results
    assert not results[-1].successful and "255" in results[-1].reason
    assert len(results) == (1 if kind is SetParametersAtomically else 3)
    assert node.error is None and ros.call(Trigger, "pose_node/reset", Trigger.Request()).success


def test_a_clock_that_is_no_time_is_left_out(ros, camera, start_node):
    node = start_node(use_sim_time=True)
    clock = ros.node.create_publisher(Clock, "/clock", 10)
    ros.wait_for(clock.get_subscription_count, "the subscription to the clock")
    stamps = itertools.cycle(INVALID_STAMPS[:3])

    def tick():
        sec, nanosec = next(stamps)
        clock.publish(Clock(clock=Time(sec=sec, nanosec=nanosec)))

    ros.wait_for(lambda: node.value("problem.callback./clock"), "the reason", tick)
    camera.wait_until_heard()
    detects_again(ros, camera, node)


def test_a_long_frame_id_is_refused_and_cut_in_the_report(ros, camera, start_node):
    node = start_node()
    camera.wait_until_heard()

    def lengthen(messages):
        for message in messages.values():
            message.header.frame_id = "camera\n[FATAL] forged" + "x" * 100_000

    ros.wait_for(
        lambda: "100021 characters" in node.value("problem.frame"), "the reason", lambda: camera.send(lengthen)
    )
    assert len(node.value("problem.frame")) < 500 and "\n" not in node.value("last_problem")
    detects_again(ros, camera, node)
    assert {detection.header.frame_id for detection in node.detections} == {"camera_optical"}


def test_twenty_callers_at_once_are_all_answered(ros, camera, start_node):
    node = start_node()
    camera.wait_until_heard()
    requests = {
        "enable": (SetBool, SetBool.Request(data=True)),
        "reset": (Trigger, Trigger.Request()),
        "detect_once": (Trigger, Trigger.Request()),
        "get_parameters": (GetParameters, GetParameters.Request(names=["enabled"])),
    }
    # Every client receives the replies to all, and would lose its own among them at the default depth.
    qos = QoSProfile(depth=100)
    clients = [
        (ros.node.create_client(kind, f"pose_node/{name}", qos_profile=qos), request)
        for name, (kind, request) in requests.items()
        for _ in range(20)
    ]
    ros.wait_for(lambda: all(client.service_is_ready() for client, _ in clients), "the services")
    busy, done = threading.Event(), threading.Event()
    timer = node.node.create_timer(0.01, lambda: (timer.cancel(), busy.set(), done.wait(GENEROUS_S)))
    assert busy.wait(GENEROUS_S)  # all requests wait in their queues, as when a callback takes long
    futures = [client.call_async(request) for client, request in clients]
    done.set()
    ros.wait_for(lambda: all(future.done() for future in futures), "all replies", camera.send)
    for client, _ in clients:
        ros.node.destroy_client(client)


def test_the_log_is_throttled_by_kind_and_its_lines_are_short(ros_context, capfd):
    diagnostics = NodeDiagnostics(get_logger("throttled"))
    for number in range(200):
        diagnostics.warning("frame", f"{chr(97 + number % 26) * (1 + number)}\n[FATAL] forged \x1b[31m")
        diagnostics.exception("callback", "a message", ValueError("\n[FATAL] forged" + "x" * 10_000 * number))
    lines = [line for line in capfd.readouterr().err.splitlines() if line]
    assert sum("[WARN]" in line for line in lines) == 1 and len(lines) <= 4
    assert max(map(len, lines)) < 1200 and not any(line.startswith("[FATAL]") or "\x1b" in line for line in lines)
    assert diagnostics.status("", "", {"state": ""}).values[-2].value.startswith("200 times")


def test_an_exception_in_any_callback_of_the_node_is_reported(ros, camera, start_node):
    node = start_node()

    def crash(_):
        raise KeyError("x" * 5000)

    node.node.create_subscription(Detection3DArray, "anything", crash, 10)
    publisher = ros.node.create_publisher(Detection3DArray, "anything", 10)
    ros.wait_for(publisher.get_subscription_count, "the subscription")
    ros.wait_for(
        lambda: node.value("problem.callback.anything"), "the report", lambda: publisher.publish(Detection3DArray())
    )
    camera.wait_until_heard()
    detects_again(ros, camera, node)
    assert np.isfinite(float(node.value("frames_processed")))


class FailingExecutor:
    """Raises outside of callbacks, as where a middleware cannot take a message."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def spin_once(self) -> None:
        raise self.error


def test_an_exception_outside_of_callbacks_is_reported(ros):
    diagnostics, relay = NodeDiagnostics(get_logger("guard_test")), ExceptionRelay(ros.node)
    guard = CallbackGuard(ros.node.context, lambda: diagnostics)
    for _ in range(3):
        guard.spin_once(FailingExecutor(RuntimeError("failed to take message")), relay)
    status = diagnostics.status("", "", {"state": ""})
    (problem,) = [pair.value for pair in status.values if pair.key == "problem.callback.executor"]
    assert problem.startswith("3 times") and "failed to take message" in problem
    with pytest.raises(ExternalShutdownException):
        guard.spin_once(FailingExecutor(ExternalShutdownException()), relay)


def test_a_broken_executor_and_relayed_exceptions_end_the_node(ros, monkeypatch):
    diagnostics, relay = NodeDiagnostics(get_logger("guard_test")), ExceptionRelay(ros.node)
    guard = CallbackGuard(ros.node.context, lambda: diagnostics)
    monkeypatch.setattr(callback_guard, "_MAX_FAILURES", 2)
    executor = FailingExecutor(RuntimeError("failed to take message"))
    guard.spin_once(executor, relay)
    guard.spin_once(executor, relay)
    with pytest.raises(RuntimeError, match="failed to take"):
        guard.spin_once(executor, relay)
    relay.error = ZeroDivisionError("a bug in a transition")
    with pytest.raises(ZeroDivisionError):
        guard.spin_once(executor, relay)
    relay.error = None
