"""Folder of the cache, and home folders that cannot be written: the logs of ROS go elsewhere."""

import os
import subprocess
import sys

import pytest

from clipose_ros.user_folders import ensure_ros_log_folder, is_writable, user_cache


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Set a home folder that is a file: even root cannot write into it."""
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("ROS_LOG_DIR", "ROS_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def test_folders_are_tried_by_writing(tmp_path, home):
    assert is_writable(tmp_path / "a" / "b") and not list((tmp_path / "a" / "b").iterdir())
    assert not is_writable(home) and not is_writable("~/.cache")


def test_given_log_folder_is_kept(home, monkeypatch):
    monkeypatch.setenv("ROS_LOG_DIR", "/given")
    ensure_ros_log_folder()
    assert os.environ["ROS_LOG_DIR"] == "/given"


def test_ros_starts_without_a_home_folder(home):
    program = "from clipose_ros.user_folders import ensure_ros_log_folder as e; e(); import rclpy; rclpy.init()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "logs of ROS go to" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("cache", "expected"), [("/fast/cache", "/fast/cache"), ("", "/somebody/.cache"), (None, "/somebody/.cache")]
)
def test_cache_is_that_of_the_desktop_or_in_the_home_folder(cache, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/somebody")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if cache is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert str(user_cache()) == expected
