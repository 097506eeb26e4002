"""Folders of the user: the cache, and the logs of ROS, without which ``rclpy.init`` raises an exception."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path


def ensure_ros_log_folder() -> None:
    """Set ``ROS_LOG_DIR`` to a temporary folder if ROS cannot write its logs in the home folder.

    ``rclpy.init`` would raise an exception.
    """
    if any(os.environ.get(name) for name in ("ROS_LOG_DIR", "ROS_HOME")) or is_writable("~/.ros/log"):
        return
    os.environ["ROS_LOG_DIR"] = tempfile.mkdtemp(prefix="clipose_ros_log_")
    logging.getLogger(__name__).warning(
        "logs of ROS go to %s, because the home folder cannot be written: set ROS_LOG_DIR", os.environ["ROS_LOG_DIR"]
    )


def user_cache() -> Path:
    """Return the folder of cached files of the user, which may not exist."""
    home = os.environ.get("HOME", "/nonexistent")  # Path.home() raises for users without an entry
    return Path(os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache")


def is_writable(folder: str | Path) -> bool:
    """Return True if files can be created in a folder; the folder is created if it is missing."""
    try:
        path = Path(folder).expanduser()
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return True
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return False
