"""A camera and the pose node as processes of their own, and an observer of both in this one."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import rclpy
import rclpy.signals
import yaml
from rclpy.executors import SingleThreadedExecutor

from clipose_ros.cli.subprocesses import Subprocess
from clipose_ros.errors import CliposeError, ConfigError
from clipose_ros.resources import config_path
from clipose_ros.ros.shutdown import until_shutdown
from clipose_ros.ros_tools.observer import Observer

STARTUP_LIMIT_S = 600.0
"""Longest wait for the node's first answer: the camera may have much to render before."""
_POSE_NODE = ("-m", "clipose_ros.ros.pose_node")


class SilenceError(CliposeError):
    """The processes run, but what was waited for does not come; the message carries the node's last words."""


class LiveSystem:
    """Starts camera and node; whatever it started ends when its block is left.

    Args:
        folder: Where the processes write ``camera.log`` and ``pose_node.log``.
        observer: Sees what they publish.
        environment: Of both processes.
    """

    def __init__(self, folder: Path, observer: Observer, environment: Mapping[str, str]) -> None:
        self.observer = observer
        self._folder, self._environment = folder, environment
        self._stack = contextlib.ExitStack()
        self._children: list[Subprocess] = []

    def __enter__(self) -> LiveSystem:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def start_camera(self, module: str, *arguments: str) -> Subprocess:
        """Start a module that publishes images."""
        return self._start("camera", "-m", module, *arguments)

    def start_node(self, *arguments: str) -> Subprocess:
        """Start the pose node."""
        return self._start("pose node", *_POSE_NODE, *arguments)

    def check(self) -> None:
        """Do nothing while all of them run.

        Raises:
            SubprocessDiedError: One has ended.
        """
        for child in self._children:
            child.check()

    def wait_until(self, condition: Callable[[], bool], what: str, limit_s: float = STARTUP_LIMIT_S) -> None:
        """Wait until something shows, as long as all processes run.

        Raises:
            SubprocessDiedError: One has ended.
            SilenceError: The time is up.
        """
        end = time.monotonic() + limit_s
        while not condition():
            self.check()
            if time.monotonic() >= end:
                last = self._children[-1]
                raise SilenceError(
                    f"waited {limit_s:g} s in vain for {what}. Last words of the {last.name}:\n{last.tail(6)}"
                )
            time.sleep(0.02)

    def _start(self, name: str, *arguments: str) -> Subprocess:
        log = self._folder / f"{name.replace(' ', '_')}.log"
        child = Subprocess(name, [sys.executable, *arguments], self._environment, log)
        self._children.append(self._stack.enter_context(child))
        return child


@contextlib.contextmanager
def live_system(folder: Path, pictures: bool = True) -> Iterator[LiveSystem]:
    """A system with nothing started yet.

    Args:
        folder: Where the processes' logs go; made if it is not there.
        pictures: Whether to subscribe to the annotated image, which the node draws only then.
    """
    environment = live_environment()
    os.environ.update(environment)
    folder.mkdir(parents=True, exist_ok=True)
    with _observing(pictures) as observer, LiveSystem(folder, observer, environment) as system:
        yield system


def live_environment() -> dict[str, str]:
    """Of all three processes: room for images in shared memory, and a domain of its own where none was chosen.

    Camera, node and this process share the cores: threads that spin while they wait for each other would slow the
    network tenfold on a busy machine, so they sleep.
    """
    environment = {
        "FASTDDS_DEFAULT_PROFILES_FILE": str(config_path("fastdds.xml")),
        "ROS_DOMAIN_ID": str(random.randint(60, 101)),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUNBUFFERED": "1",
    }
    return environment | dict(os.environ)


def ros_arguments(parameters: Mapping[str, Any], *files: Path) -> list[str]:
    """Parameters, and files of them, as a node's arguments. JSON is YAML, so no string can be mistaken for a number.

    Of what is said twice the later holds: files in their order, then the parameters.
    """
    pairs = [("--params-file", str(file)) for file in files]
    pairs += [("-p", f"{name}:={json.dumps(value)}") for name, value in parameters.items()]
    return ["--ros-args", *(argument for pair in pairs for argument in pair)]


def set_parameters(entries: Sequence[str]) -> dict[str, Any]:
    """Parameters of ``NAME=VALUE`` entries, values read as YAML."""
    parameters = {}
    for entry in entries:
        name, sign, value = entry.partition("=")
        if not (name and sign):
            raise ConfigError(f"--set needs NAME=VALUE, got '{entry}'")
        parameters[name] = yaml.safe_load(value)
    return parameters


@contextlib.contextmanager
def _observing(pictures: bool) -> Iterator[Observer]:
    """The observing node, spinning in a thread of its own."""
    # Signals stay ours: children must end before ROS does.
    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    observer, executor = Observer(pictures=pictures), SingleThreadedExecutor()
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
