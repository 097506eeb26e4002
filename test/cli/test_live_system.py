"""Processes, arguments and ROS domain of demo and benchmark."""

import os
from pathlib import Path

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node

from clipose_ros.cli.live_system import SilenceError, live_environment, live_system, ros_arguments
from clipose_ros.cli.node_settings import set_parameters
from clipose_ros.errors import ConfigError
from clipose_ros.resources import config_path
from clipose_ros.ros_tools.domains import reserved_domain


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the variables that a live system sets."""
    for name, value in live_environment().items():
        monkeypatch.setenv(name, value)


def test_ros_arguments_override_parameter_files() -> None:
    context = Context()
    rclpy.init(args=ros_arguments({"segmentation.backend": "yolo"}, config_path("demo.yaml")), context=context)
    try:
        node = Node("settings", context=context, automatically_declare_parameters_from_overrides=True)
        assert node.get_parameter("segmentation.backend").value == "yolo"
        assert node.get_parameter("tracking.frame").value == "world"
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


def test_set_parameters_reads_yaml_values() -> None:
    assert set_parameters(["a.b=0.5", "c=[x, y]", "d='1'"]) == {"a.b": 0.5, "c": ["x", "y"], "d": "1"}
    with pytest.raises(ConfigError, match="--set needs NAME=VALUE, got '=1'"):
        set_parameters(["=1"])


def test_live_system_reserves_a_domain_until_it_ends(
    tmp_path: Path, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROS_DOMAIN_ID")
    with live_system(tmp_path / "logs", debug_images=False) as system:
        domain_id = int(os.environ["ROS_DOMAIN_ID"])
        assert system.observer.context.get_domain_id() == domain_id
        with reserved_domain() as other:
            assert other != domain_id
    assert "ROS_DOMAIN_ID" not in os.environ


def test_live_system_keeps_the_domain_of_the_user(tmp_path: Path, environment: None, own_domain: int) -> None:
    with live_system(tmp_path, debug_images=False) as system:
        assert system.observer.context.get_domain_id() == own_domain
    assert os.environ["ROS_DOMAIN_ID"] == str(own_domain)


def test_live_system_reports_an_event_that_does_not_occur(
    tmp_path: Path, environment: None, own_domain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "silent.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), os.environ["PYTHONPATH"])))
    with live_system(tmp_path, debug_images=False) as system:
        camera = system.start_camera("silent")
        system.wait_until(lambda: "ready" in camera.tail(), "the start of the camera", 60.0)
        with pytest.raises(
            SilenceError, match=r"expected an image within 0.1 s(.|\n)*log lines of the camera(.|\n)*ready"
        ):
            system.wait_until(lambda: False, "an image", 0.1)
