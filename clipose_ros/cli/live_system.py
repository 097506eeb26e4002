"""A camera process, a pose node process and an observer node in this process."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import rclpy
import rclpy.signals
from rclpy.executors import SingleThreadedExecutor

from clipose_ros.cli.subprocesses import Subprocess
from clipose_ros.errors import CliposeError
from clipose_ros.resources import config_path
from clipose_ros.ros.shutdown import until_shutdown
from clipose_ros.ros_tools.domains import environment_domain
from clipose_ros.ros_tools.observer import Observer
from clipose_ros.user_folders import ensure_ros_log_folder

STARTUP_LIMIT_S = 600.0
"""Longest wait for the first answer of the node, seconds; includes the rendering time of the camera."""
POSE_NODE = ("-m", "clipose_ros.ros.pose_node")
"""Arguments of the Python interpreter that run the pose node."""


class SilenceError(CliposeError):
    """An expected event did not occur in time although all processes run; the message ends with the last log lines."""


class LiveSystem:
    """Context manager that starts camera and pose node and stops both on exit.

    Args:
        folder: Folder for the logs ``camera.log`` and ``pose_node.log``.
        observer: Node that subscribes to the topics of both processes.
        environment: Environment variables of both processes.
    """

    def __init__(self, folder: Path, observer: Observer, environment: Mapping[str, str]) -> None:
        self.observer = observer
        self._folder, self._environment = folder, environment
        self._stack = contextlib.ExitStack()
        self._processes: list[Subprocess] = []

    def __enter__(self) -> LiveSystem:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def start_camera(self, module: str, *arguments: str) -> Subprocess:
        """Start a module that publishes images."""
        return self._start("camera", "-m", module, *arguments)

    def start_node(self, *arguments: str) -> Subprocess:
        """Start the pose node."""
        return self._start("pose node", *POSE_NODE, *arguments)

    def start_view(self, port: int) -> Subprocess:
        """Start the live view of the pose node in the browser; its log begins with the address to open."""
        return self._start("view", "-m", "clipose_ros.cli.view", "--port", str(port))

    def check(self) -> None:
        """Check that all processes run.

        Raises:
            SubprocessDiedError: A process has ended.
        """
        for process in self._processes:
            process.check()

    def wait_until(self, condition: Callable[[], bool], event: str, limit_s: float = STARTUP_LIMIT_S) -> None:
        """Wait until a condition holds.

        Args:
            condition: Condition, evaluated about 50 times per second.
            event: Description of the expected event for the error message.
            limit_s: Longest wait, seconds.

        Raises:
            SubprocessDiedError: A process has ended.
            SilenceError: The condition did not hold within ``limit_s``.
        """
        end = time.monotonic() + limit_s
        while not condition():
            self.check()
            if time.monotonic() >= end:
                last = self._processes[-1]
                raise SilenceError(
                    f"expected {event} within {limit_s:g} s, got none. Last log lines of the {last.name}:\n"
                    f"{last.tail(6)}"
                )
            time.sleep(0.02)

    def _start(self, name: str, *arguments: str) -> Subprocess:
        log = self._folder / f"{name.replace(' ', '_')}.log"
        process = Subprocess(name, [sys.executable, *arguments], self._environment, log)
        self._processes.append(self._stack.enter_context(process))
        return process


@contextlib.contextmanager
def live_system(folder: Path, debug_images: bool = True) -> Iterator[LiveSystem]:
    """Create an observer and a system in which no process is started yet.

    All processes use the ROS domain of ``ROS_DOMAIN_ID``. If the variable is not set, a domain is reserved that no
    other program of this package uses.

    Args:
        folder: Folder for the logs of the processes, created if missing.
        debug_images: Whether to subscribe to the annotated image, which the node draws only for subscribers.

    Raises:
        DomainError: ``ROS_DOMAIN_ID`` is not set, and all domains are reserved.
    """
    os.environ.update(live_environment())
    folder.mkdir(parents=True, exist_ok=True)
    with (
        environment_domain(os.environ),
        _spinning_observer(debug_images) as observer,
        LiveSystem(folder, observer, dict(os.environ)) as system,
    ):
        yield system


_FASTRTPS_DISTRIBUTIONS = ("humble", "iron", "jazzy")


def live_environment() -> dict[str, str]:
    """Return the environment variables of all three processes; variables that are set keep their values.

    The profile of Fast DDS sets a shared memory segment that is large enough for images. The OpenMP wait policy is
    passive because camera, node and this process share the cores: threads that spin while waiting slow the network
    down tenfold on a busy machine.
    """
    ensure_ros_log_folder()
    # Fast DDS of later distributions warns of the earlier name, that of earlier ones knows no other.
    variable = "FASTRTPS" if os.environ.get("ROS_DISTRO") in _FASTRTPS_DISTRIBUTIONS else "FASTDDS"
    environment = {
        f"{variable}_DEFAULT_PROFILES_FILE": str(config_path("fastdds.xml")),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUNBUFFERED": "1",
    }
    return environment | dict(os.environ)


def ros_arguments(parameters: Mapping[str, Any], *files: Path) -> list[str]:
    """Return command line arguments that set the parameters of a ROS node.

    A later value replaces an earlier one: files in their order, then ``parameters``.

    Args:
        parameters: Value by name of the parameter.
        *files: ROS parameter files.

    Returns:
        ``--ros-args`` and the arguments after it.
    """
    pairs = [("--params-file", str(file)) for file in files]
    # JSON is valid YAML with quoted strings, so the string "1" stays a string
    pairs += [("-p", f"{name}:={json.dumps(value)}") for name, value in parameters.items()]
    return ["--ros-args", *(argument for pair in pairs for argument in pair)]


@contextlib.contextmanager
def _spinning_observer(debug_images: bool) -> Iterator[Observer]:
    """Create the observer node and spin it in a separate thread."""
    # ROS must not handle signals: the subprocesses are stopped before ROS shuts down.
    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    observer, executor = Observer(debug_images=debug_images), SingleThreadedExecutor()
    executor.add_node(observer)

    def spin() -> None:
        with until_shutdown(observer.context):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield observer
    finally:
        executor.shutdown()
        thread.join()
        observer.destroy_node()
        rclpy.try_shutdown()
