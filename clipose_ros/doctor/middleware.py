"""Checks of the distribution, the middleware and its shared memory."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from clipose_ros.doctor.installation import has_module
from clipose_ros.doctor.row import Row, State
from clipose_ros.resources import config_path
from clipose_ros.ros.main import find_memory_fault

DISTRIBUTIONS = ("humble", "jazzy", "kilted", "lyrical")
ROS_MODULES = (
    "rclpy", "cv_bridge", "message_filters", "tf2_ros", "tf_transformations", "lifecycle_msgs", "sensor_msgs",
    "std_srvs", "vision_msgs", "visualization_msgs",
)  # fmt: skip
SOURCE_ROS = "source /opt/ros/<distribution>/setup.bash, or use the Python of make env (docs/install.md)"
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
_DISCOVERY_VARIABLES = ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS")
_LOAD_S = 60.0
_SHARED_MEMORY = Path("/dev/shm")
_USUAL_MB = 128.0
"""Size of shared memory that a few processes with the profile of this package can fill; Docker gives 64 MB."""
_WHEEL = re.compile(r"ros-([a-z]+)-rclpy")


def check_distribution() -> Iterator[Row]:
    """Check which ROS 2 distribution provides the packages, and that none is missing."""
    sourced = os.environ.get("ROS_DISTRO", "")
    names = (str(item.metadata["Name"] or "").lower() for item in importlib.metadata.distributions())
    wheels = next((match[1] for name in names if (match := _WHEEL.fullmatch(name))), "")
    missing = [name for name in ROS_MODULES if not has_module(name)]
    if "rclpy" in missing:
        yield Row("distribution", State.UNKNOWN, f"no rclpy; ROS_DISTRO is '{sourced}'", SOURCE_ROS)
        return
    if sourced and wheels:
        found = f"'{sourced}' is sourced, and the wheels of '{wheels}' are installed, too"
        advice = "use one: a new shell without setup.bash, or a Python without the wheels (docs/install.md)"
        yield Row("distribution", State.PROBLEM, found, advice)
    else:
        name = sourced or wheels or "unknown"
        found = f"{name}, {'from wheels' if wheels else 'sourced'}"
        is_known = name in DISTRIBUTIONS
        advice = "" if is_known else f"supported are {', '.join(DISTRIBUTIONS)}"
        yield Row("distribution", State.OK if is_known else State.HINT, found, advice)
    if missing:
        advice = "rosdep install --from-paths src --ignore-src, or make env"
        yield Row("ROS packages", State.PROBLEM, f"missing: {', '.join(missing)}", advice)


def check_middleware() -> Iterator[Row]:
    """Check the middleware, and for Fast DDS its profile."""
    settings = [f"{name}={os.environ[name]}" for name in _DISCOVERY_VARIABLES if name in os.environ]
    if not has_module("rclpy"):
        yield Row("rmw", State.UNKNOWN, f"no rclpy; {', '.join(settings)}", SOURCE_ROS)
        return
    fault = find_rclpy_fault()
    if fault is not None:
        chosen = os.environ.get("RMW_IMPLEMENTATION", "")
        advice = "install the middleware that RMW_IMPLEMENTATION names, or unset it; source the distribution again"
        yield Row("rmw", State.PROBLEM, f"rclpy cannot be loaded with RMW_IMPLEMENTATION='{chosen}': {fault}", advice)
        return
    from rclpy.utilities import get_rmw_implementation_identifier

    rmw = str(get_rmw_implementation_identifier())
    yield Row("rmw", State.OK, ", ".join([rmw, *settings]))
    if "fastrtps" in rmw:
        yield _check_profile()


@functools.cache
def find_rclpy_fault() -> str | None:
    """Return why rclpy cannot be loaded; None if it can.

    A process of its own loads it: without the chosen middleware, rcl ends the process.
    """
    command = [sys.executable, "-c", "from rclpy.utilities import get_rmw_implementation_identifier as f; f()"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LOAD_S, errors="replace", check=False)
    except subprocess.TimeoutExpired:
        return f"it does not end within {_LOAD_S:g} s"
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


def check_shared_memory() -> Iterator[Row]:
    """Check the memory that the node and Fast DDS need."""
    fault = find_memory_fault()
    if fault is not None:
        yield Row("shared memory", State.PROBLEM, fault.partition(": ")[0], fault.partition(": ")[2])
        return
    if not _SHARED_MEMORY.is_dir():
        yield Row("shared memory", State.HINT, f"'{_SHARED_MEMORY}' does not exist", "images pass through UDP sockets")
        return
    stats = os.statvfs(_SHARED_MEMORY)
    size_mb, free_mb = (count * stats.f_frsize * 1e-6 for count in (stats.f_blocks, stats.f_bavail))
    found = f"'{_SHARED_MEMORY}' has {size_mb:.0f} MB, {free_mb:.0f} MB free"
    if size_mb < _USUAL_MB:
        yield Row("shared memory", State.HINT, found, "enlarge it for images (--shm-size=512m of docker)")
    else:
        yield Row("shared memory", State.OK, found)


def _check_profile() -> Row:
    """Check the files that the environment variables of Fast DDS name."""
    named = {name: os.environ[name] for name in PROFILE_VARIABLES if os.environ.get(name)}
    advice = f"export {PROFILE_VARIABLES[0]}={config_path('fastdds.xml')} where the camera driver is started"
    if not named:
        return Row("Fast DDS profile", State.HINT, "not set in this shell", f"if images get lost, {advice}")
    for name, path in named.items():
        try:
            ElementTree.parse(path)
        except (OSError, ElementTree.ParseError) as error:
            return Row("Fast DDS profile", State.PROBLEM, f"{name}={path} cannot be read: {error}", advice)
    return Row("Fast DDS profile", State.OK, ", ".join(f"{name}={path}" for name, path in named.items()))
