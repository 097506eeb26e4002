"""The launch file of the demo starts a camera and a pose node with matching settings."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from clipose_ros.config import PoseNodeConfig, config_fields
from clipose_ros.ros_tools.synthetic_camera import SyntheticCameraConfig


def nodes(result) -> dict:
    return {node.named["executable"]: node for node in result.nodes}


def settings(path: str) -> dict:
    return yaml.safe_load(Path(path).read_text())["/**"]["ros__parameters"]


def test_starts_camera_and_node_with_what_exists(launched):
    started = nodes(launched("demo.launch.py"))
    assert set(started) == {"synthetic_camera", "pose_node"}
    assert all(node.named["package"] == "clipose_ros" for node in started.values())
    path, detector, rendered = started["pose_node"].named["parameters"]
    config = PoseNodeConfig.from_mapping(settings(path))
    camera = SyntheticCameraConfig()
    assert PoseNodeConfig.from_mapping(settings(detector)).segmentation.backend == "yolo"
    assert settings(rendered)["segmentation"]["score_threshold"] < settings(detector)["segmentation"]["score_threshold"]
    assert config.tracking.frame == camera.world_frame, "the camera moves: smoothing needs the frame that does not"


def test_the_cameras_labels_can_take_the_detectors_place(launched):
    (path,) = nodes(launched("demo.launch.py", shipped_detector="false"))["pose_node"].named["parameters"]
    assert PoseNodeConfig.from_mapping(settings(path)).segmentation.backend == "labels"


def test_grasps_are_planned_if_wanted(launched):
    started = nodes(launched("demo.launch.py", grasps="true"))
    assert set(started) == {"synthetic_camera", "pose_node", "grasp_node"}


def test_arguments_are_the_cameras_own_settings_and_defaults(launched):
    result = launched("demo.launch.py", seed="7", rate_hz="12.5")
    (parameters,) = nodes(result)["synthetic_camera"].named["parameters"]
    values = {name: result.value(value) for name, value in parameters.items()}
    assert (values["seed"], values["rate_hz"]) == (7, 12.5)
    known = {leaf.path: leaf.value for leaf in config_fields(SyntheticCameraConfig())}
    defaults = {name: named["default_value"] for name, named in result.arguments.items() if name in known}
    assert {*result.arguments} - {*defaults} == {"shipped_detector", "grasps"}
    assert {name: type(known[name])(text) for name, text in defaults.items()} == {
        name: known[name] for name in defaults
    }
    assert all(named["description"].endswith(".") for named in result.arguments.values())


def test_images_get_the_room_they_need(launched, monkeypatch):
    variables = {}

    def note(name, value):
        return variables.update({name: value})

    monkeypatch.setattr(sys.modules["launch.actions"], "SetEnvironmentVariable", note)
    launched("demo.launch.py")
    assert Path(variables["FASTDDS_DEFAULT_PROFILES_FILE"]).is_file()
    assert variables["FASTRTPS_DEFAULT_PROFILES_FILE"] == variables["FASTDDS_DEFAULT_PROFILES_FILE"]
    assert variables["OMP_WAIT_POLICY"] == "PASSIVE"
