"""Script of ``make env``: choice of the interpreter, missing packages, and reuse of environments."""

import importlib.util
import os
import sys
import threading
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "environment" / "make_env.py"
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def make_env():
    spec = importlib.util.spec_from_file_location("make_env", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Return a function that replaces PATH by a folder with the given programs."""

    def use(**programs):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name, text in programs.items():
            program = folder / name.replace("_", ".")
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return use


def test_running_python_is_chosen_if_supported(make_env, tools):
    tools(python3=f'exec {sys.executable} "$@"')
    assert make_env.choose_python("", None) == "python3"


def test_unsupported_python_is_skipped(make_env, tools):
    tools(python3="echo 3.14", python3_12="echo 3.12")
    assert make_env.choose_python("", None) == "python3.12"


@pytest.mark.parametrize("wanted", ["", "python3.14"])
def test_no_supported_python_exits_with_the_versions_found(make_env, tools, wanted):
    tools(python3="echo 3.14", python3_14="echo 3.14")
    with pytest.raises(SystemExit, match=r"3\.11 or 3\.12 or 3\.13.*= 3\.14[\s\S]*PYTHON="):
        make_env.choose_python(wanted, None)


def test_broken_python_is_skipped(make_env, tools):
    tools(python3="exit 1", python3_12="exit 127", python3_11="echo 3.11")
    assert make_env.choose_python("", None) == "python3.11"


def test_missing_tools_are_listed_as_debian_packages(make_env, tools):
    tools(
        bare="""case "$2" in
        *version_info*) echo 3.12;; *sysconfig*) echo /nowhere;; *find_spec*) echo ensurepip;; esac"""
    )
    assert make_env.missing_system_packages("bare", None) == [
        "python3.12-venv",
        "g++",
        "cmake",
        "make",
        "python3.12-dev",
    ]
    assert make_env.missing_system_packages("bare", "jazzy") == ["python3.12-venv"]


def test_running_environment_lacks_no_system_package(make_env):
    assert make_env.missing_system_packages(sys.executable, None) == []


@pytest.mark.parametrize(
    ("distribution", "prefix", "has_rclpy", "expected"),
    [
        ("jazzy", "/opt/ros/jazzy", True, "jazzy"),
        ("jazzy", "/opt/ros/jazzy", False, None),
        ("jazzy", "", True, None),
        ("", "/opt/ros/jazzy", True, None),
    ],
)
def test_distribution_is_used_only_if_complete(make_env, tools, monkeypatch, distribution, prefix, has_rclpy, expected):
    tools(python3="echo" if has_rclpy else "echo rclpy")
    monkeypatch.setenv("ROS_DISTRO", distribution)
    monkeypatch.setenv("AMENT_PREFIX_PATH", prefix)
    assert make_env.sourced_distribution() == expected


def test_missing_distribution_packages_exit_with_an_install_command(make_env, tools):
    tools(python3="echo vision_msgs tf_transformations")
    with pytest.raises(SystemExit, match="apt-get install ros-jazzy-vision-msgs ros-jazzy-tf-transformations"):
        make_env.check_distribution("jazzy")
    tools(python3="echo tf2_ros")
    with pytest.raises(SystemExit, match="ros-jazzy-tf2-ros-py$"):  # ros-jazzy-tf2-ros is the C++ one
        make_env.check_distribution("jazzy")


def test_folder_without_an_environment_is_not_touched(make_env, tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(SystemExit, match="VENV="):
        make_env.create_venv(sys.executable, tmp_path, None)
    assert (tmp_path / "thesis.txt").is_file()


def test_working_environment_is_kept(make_env, monkeypatch):
    monkeypatch.setattr(make_env, "step", lambda *_: pytest.fail("made anew"))
    make_env.create_venv(sys.executable, Path(sys.prefix), None)


def test_key_depends_on_python_distribution_and_requirements(make_env, tmp_path, monkeypatch):
    keys = {make_env.key_of(sys.executable, name) for name in (None, "jazzy", "humble")}
    assert len(keys) == 3
    assert make_env.key_of(sys.executable, None) in keys
    for name in ("environment", "underlay"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(make_env, "HERE", tmp_path / "environment")
    monkeypatch.setattr(make_env, "UNDERLAY", tmp_path / "underlay")
    monkeypatch.setattr(make_env, "__file__", str(tmp_path / "environment" / "make_env.py"))
    Path(make_env.__file__).touch()
    seen = {make_env.key_of(sys.executable, None)}
    for number, path in enumerate(
        ["environment/constraints.txt", "underlay/messages/a.msg", "underlay/python/a.py"], 2
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("changed")
        seen.add(make_env.key_of(sys.executable, None))
        assert len(seen) == number


def test_second_process_waits_for_the_first(make_env, tmp_path, capfd):
    order, entered = [], threading.Event()

    def second():
        entered.set()
        with make_env.locked(tmp_path / "venv"):
            order.append("second")

    thread = threading.Thread(target=second)
    with make_env.locked(tmp_path / "venv"):
        thread.start()
        entered.wait(30)
        while "another process" not in capfd.readouterr().out:
            os.sched_yield()
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_failed_step_exits_with_its_command(make_env):
    with pytest.raises(SystemExit, match=r"'false' failed \(status 1\)"):
        make_env.step("A step", "false")
