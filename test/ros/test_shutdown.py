"""Exceptions of a shutdown are suppressed, others are raised."""

from __future__ import annotations

import threading

import pytest
import rclpy
from rclpy.executors import ExternalShutdownException

from clipose_ros.ros.shutdown import until_shutdown


def test_a_second_signal_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    context = rclpy.Context()
    context.init()
    monkeypatch.setattr("clipose_ros.ros.shutdown.time.sleep", interrupt)
    with until_shutdown(context):
        raise RuntimeError("Unable to convert call argument '0' to Python object")
    assert context.ok()
    context.try_shutdown()


def test_subclasses_of_other_packages_are_raised_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    context = rclpy.Context()
    context.init()
    monkeypatch.setattr("clipose_ros.ros.shutdown.time.sleep", lambda seconds: pytest.fail("waited"))
    with pytest.raises(RecursionError), until_shutdown(context):
        raise RecursionError("too deep")
    context.try_shutdown()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ExternalShutdownException()])
def test_exceptions_of_a_shutdown_are_suppressed(error: BaseException) -> None:
    context = rclpy.Context()
    context.init()
    reached = []
    with until_shutdown(context):
        reached.append(True)
        raise error
    context.try_shutdown()
    assert reached == [True]


def test_a_runtime_error_is_raised_only_while_ros_is_up() -> None:
    context = rclpy.Context()
    context.init()
    with pytest.raises(RuntimeError, match="a bug"), until_shutdown(context):
        raise RuntimeError("a bug")
    context.try_shutdown()
    with until_shutdown(context):
        raise RuntimeError("the given context is not valid")
    assert not context.ok()


def test_a_runtime_error_before_the_shutdown_of_its_signal_is_suppressed() -> None:
    """rclpy shuts down a context in a thread of its own, and a conversion that a signal breaks off raises before."""
    context = rclpy.Context()
    context.init()
    shutdown, reached = threading.Timer(0.1, context.try_shutdown), []
    with until_shutdown(context):
        shutdown.start()
        reached.append(context.ok())
        raise RuntimeError("Unable to convert call argument '0' to Python object")
    shutdown.join()
    assert reached == [True] and not context.ok()
