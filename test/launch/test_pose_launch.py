"""Arguments of the launch file override the parameters file; empty ones do not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from clipose_ros.config import PoseNodeConfig, config_fields
from clipose_ros.ros.grasp_config import GraspNodeConfig

NAMES = {leaf.path for leaf in config_fields(PoseNodeConfig())} | {"use_sim_time"}


def overrides(launched_file) -> dict:
    parameters = launched_file.nodes[0].named["parameters"][1:]
    return {name: launched_file.value(value) for each in parameters for name, value in each.items()}


def test_starts_the_one_node_with_the_shipped_parameters(launched):
    result = launched("pose.launch.py")
    (node,) = result.nodes
    assert (node.named["package"], node.named["executable"], node.named["name"]) == (
        "clipose_ros",
        "pose_node",
        "pose_node",
    )
    assert result.value(node.named["namespace"]) == "" and node.named["output"] == "screen"
    path = Path(result.value(node.named["parameters"][0]))
    assert path.name == "pose.yaml" and yaml.safe_load(path.read_text())["/**"]["ros__parameters"]
    assert overrides(result) == {}


@pytest.mark.parametrize(
    ("argument", "given", "parameter", "value"),
    [
        ("model", "/models/mine.safetensors", "network.model", "/models/mine.safetensors"),
        ("device", "cuda:1", "network.device", "cuda:1"),
        ("engine", "cpu_int8", "network.engine", "cpu_int8"),
        ("max_passes", "1", "network.tta.max_passes", 1),
        ("segmentation_backend", "labels", "segmentation.backend", "labels"),
        ("segmentation_backend", "color_blobs", "segmentation.backend", "color_blobs"),
        ("segmentation_model", "yolo11n-seg.pt", "segmentation.model", "yolo11n-seg.pt"),
        ("target_frame", "base_link", "publish.target_frame", "base_link"),
        ("tracking_frame", "odom", "tracking.frame", "odom"),
        ("tf_prefix", "robot1/", "publish.tf_prefix", "robot1/"),
        ("autostart", "false", "autostart", False),
        ("use_sim_time", "true", "use_sim_time", True),
    ],
)
def test_arguments_override_the_parameters_file(launched, argument, given, parameter, value):
    assert overrides(launched("pose.launch.py", **{argument: given})) == {parameter: value}
    assert parameter in NAMES


def test_the_shipped_detector_comes_between_parameters_file_and_arguments(launched):
    result = launched("pose.launch.py", shipped_detector="true", device="cpu")
    first, detector, last = result.nodes[0].named["parameters"]
    assert Path(result.value(first)).name == "pose.yaml"
    settings = yaml.safe_load(Path(detector).read_text())["/**"]["ros__parameters"]
    assert PoseNodeConfig.from_mapping(settings).segmentation.model == "clipose_segmenter"
    assert {name: result.value(value) for name, value in last.items()} == {"network.device": "cpu"}


def test_topics_are_remapped(launched):
    result = launched("pose.launch.py", rgb_topic="/front/color", namespace="robot1")
    remappings = {source: result.value(target) for source, target in result.nodes[0].named["remappings"]}
    assert remappings == {
        "rgb/image_rect_color": "/front/color",
        "rgb/camera_info": "rgb/camera_info",
        "depth_registered/image_rect": "depth_registered/image_rect",
        "segmentation/labels": "segmentation/labels",
        "segmentation/detections": "segmentation/detections",
    }
    assert result.value(result.nodes[0].named["namespace"]) == "robot1"


def test_the_debug_image_gets_the_room_it_needs_and_a_profile_of_the_user_is_kept(launched, monkeypatch):
    names = {"FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"}
    for name in names:
        monkeypatch.delenv(name, raising=False)
    profile = launched("pose.launch.py").nodes[0].named["additional_env"]
    assert set(profile) == names and all(Path(path).is_file() for path in profile.values())
    for name in names:
        with monkeypatch.context() as patch:
            patch.setenv(name, "/mine.xml")
            assert launched("pose.launch.py").nodes[0].named["additional_env"] == {}


def test_every_argument_is_described(launched):
    for name, named in launched("pose.launch.py").arguments.items():
        assert named["description"].endswith("."), name


def test_an_argument_under_its_earlier_name_fails_with_the_present_name(launched):
    with pytest.raises(RuntimeError, match="'looks' is now called 'max_passes': use max_passes:=2"):
        launched("pose.launch.py", undeclared={"looks": "2"})


def test_the_grasp_node_is_started_if_wanted_and_reads_the_same_depth(launched):
    assert len(launched("pose.launch.py").nodes) == 1
    result = launched("pose.launch.py", grasps="true", robot_frame="base", depth_topic="/front/depth", namespace="left")
    pose, grasp = result.nodes
    assert grasp.named["executable"] == grasp.named["name"] == "grasp_node"
    assert result.value(grasp.named["namespace"]) == result.value(pose.named["namespace"]) == "left"
    (parameters,) = grasp.named["parameters"]
    assert {name: result.value(value) for name, value in parameters.items()} == {"robot_frame": "base"}
    assert set(parameters) <= {field.path for field in config_fields(GraspNodeConfig())}
    remappings = {source: result.value(target) for source, target in grasp.named["remappings"]}
    assert remappings == {"depth_registered/image_rect": "/front/depth", "rgb/camera_info": "rgb/camera_info"}
    given = launched("pose.launch.py", grasps="true", grasp_params_file="/mine.yaml").nodes[1].named["parameters"]
    assert given == ["/mine.yaml"]


def test_the_node_of_collision_objects_is_started_if_wanted(launched):
    pose, node = launched("pose.launch.py", collision_objects="true", collision_params_file="/mine.yaml").nodes
    assert pose.named["executable"] == "pose_node"
    assert (node.named["executable"], node.named["parameters"]) == ("collision_objects_node", ["/mine.yaml"])
