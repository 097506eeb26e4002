"""Checks of the distribution, the middleware and shared memory."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from clipose_ros.doctor import middleware
from clipose_ros.doctor.middleware import check_distribution, check_middleware, check_shared_memory
from clipose_ros.doctor.row import Row, State
from clipose_ros.resources import config_path


def wheels(monkeypatch: pytest.MonkeyPatch, *names: str | None) -> None:
    installed = [SimpleNamespace(metadata={"Name": name}) for name in names]
    monkeypatch.setattr(middleware.importlib.metadata, "distributions", lambda: installed)


@pytest.mark.parametrize(
    ("sourced", "wheel", "state", "text"),
    [
        ("jazzy", None, State.OK, "jazzy, sourced"),
        ("", "ros-kilted-rclpy", State.OK, "kilted, from wheels"),
        ("jazzy", "ros-kilted-rclpy", State.PROBLEM, "'jazzy' is sourced, and the wheels of 'kilted'"),
        ("foxy", None, State.HINT, "foxy"),
        ("", None, State.HINT, "unknown"),
    ],
)
def test_the_distribution_is_told(monkeypatch, sourced, wheel, state, text) -> None:
    monkeypatch.setenv("ROS_DISTRO", sourced)
    monkeypatch.setattr(middleware, "has_module", lambda name: True)
    wheels(monkeypatch, wheel, "ros-kilted-rclpy-tools")
    (row,) = check_distribution()
    assert row.state is state and text in row.found


def test_without_rclpy_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "has_module", lambda name: False)
    rows = [*check_distribution(), *check_middleware()]
    assert [row.state for row in rows] == [State.UNKNOWN] * 2
    assert all("setup.bash" in row.advice for row in rows)


def test_missing_messages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "has_module", lambda name: name != "vision_msgs")
    assert [row.found for row in check_distribution() if row.state is State.PROBLEM] == ["missing: vision_msgs"]


def profile_row(monkeypatch: pytest.MonkeyPatch, value: str | None) -> Row:
    monkeypatch.setattr("rclpy.utilities.get_rmw_implementation_identifier", lambda: "rmw_fastrtps_cpp")
    for name in middleware.PROFILE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv(middleware.PROFILE_VARIABLES[1], value)
    rmw, profile = check_middleware()
    assert rmw.state is State.OK and rmw.found.startswith("rmw_fastrtps_cpp")
    return profile


def test_the_profile_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bad.xml").write_bytes(b"<dds>\x00\xff")
    assert profile_row(monkeypatch, None).state is State.HINT
    assert profile_row(monkeypatch, str(config_path("fastdds.xml"))).state is State.OK
    for path in (tmp_path / "bad.xml", tmp_path / "none.xml", tmp_path):
        row = profile_row(monkeypatch, str(path))
        assert row.state is State.PROBLEM and "cannot be read" in row.found and "fastdds.xml" in row.advice


def test_little_shared_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def stats(size_mb: int, free_mb: int) -> State:
        values = SimpleNamespace(f_frsize=10**6, f_blocks=size_mb, f_bavail=free_mb)
        monkeypatch.setattr(os, "statvfs", lambda path: values)
        (row,) = check_shared_memory()
        return row.state

    assert [stats(1000, 900), stats(64, 60), stats(1000, 1)] == [State.OK, State.HINT, State.PROBLEM]
