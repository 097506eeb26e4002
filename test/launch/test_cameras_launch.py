"""The launch file of several cameras: a node for each in its namespace, cores shared out, memory told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from clipose_ros.config import PoseNodeConfig, config_fields
from clipose_ros.errors import ConfigError
from clipose_ros.ros.cameras_file import CAMERA_TOPICS, CamerasFile, read_cameras_file
from clipose_ros.ros.merge_config import MergeNodeConfig

CONFIG = Path(__file__).resolve().parents[2] / "config"
TOPICS = {key: f"/{key}" for key in CAMERA_TOPICS[:3]}


def write(path: Path, **values) -> str:
    file = path / "cameras.yaml"
    file.write_text(yaml.safe_dump({"frame": "base", "cameras": {"left": TOPICS, "right": TOPICS}} | values))
    return str(file)


def test_starts_a_pose_node_for_each_camera_and_one_merge_node(launched):
    log, left, right, merge = launched("cameras.launch.py").nodes
    assert "2 pose nodes (left, right) share" in log.named["msg"] and "about 2.1 GB" in log.named["msg"]
    for name, node in (("left", left), ("right", right)):
        assert (node.named["executable"], node.named["namespace"]) == ("pose_node", name)
        assert dict(node.named["remappings"])["rgb/image_rect_color"] == f"/{name}/color/image_rect_color"
        file, parameters = node.named["parameters"]
        assert Path(file).name == "detector.yaml" and parameters["tracking.frame"] == "base_link"
        assert set(parameters) <= {field.path for field in config_fields(PoseNodeConfig())}
    (parameters,) = merge.named["parameters"]
    MergeNodeConfig.from_mapping(parameters).require_cameras()
    assert parameters == {"cameras": ["left", "right"], "frame": "base_link"}


def test_merging_is_a_choice_and_parameters_are_those_of_the_file(launched, tmp_path):
    file = write(tmp_path, params_file="/mine.yaml")
    _, *nodes = launched("cameras.launch.py", merge="false", cameras_file=file).nodes
    assert [node.named["executable"] for node in nodes] == ["pose_node", "pose_node"]
    assert nodes[0].named["parameters"][0] == "/mine.yaml"


@pytest.mark.parametrize(("cameras", "cores", "threads"), [(1, 8, 4), (2, 8, 2), (3, 8, 1), (3, 2, 1), (4, 32, 4)])
def test_cores_are_shared_out(cameras, cores, threads):
    file = CamerasFile("base", "", {f"camera_{k}": TOPICS for k in range(cameras)})
    assert file.threads(cores) == threads
    assert f"{threads} threads" in file.describe(cores)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cameras": {}}, "1 to 16 cameras"),
        ({"cameras": {"left": {"rgb_topic": "/a"}}}, "'left' lacks camera_info_topic, depth_topic"),
        ({"cameras": {"left": TOPICS | {"rgb_topc": "/a"}}}, "did you mean 'cameras.left.rgb_topic'"),
        ({"cameras": {"left": TOPICS | {"rgb_topic": 3}}}, "cameras.left.rgb_topic"),
        ({"cameras": {"left one": TOPICS}}, "'left one'"),
        ({"cameras": [1]}, "'cameras'"),
        ({"frame": ""}, "'frame'"),
        ({"frame": 3}, "'frame'"),
        ({"frames": "a"}, "did you mean 'frame'"),
    ],
)
def test_a_wrong_file_is_named_with_the_key(tmp_path, values, words):
    file = write(tmp_path, **values)
    with pytest.raises(ConfigError, match=words) as error:
        read_cameras_file(file)
    assert file in str(error.value)


def test_the_shipped_example_is_read():
    assert set(read_cameras_file(CONFIG / "cameras.yaml").cameras) == {"left", "right"}
    with pytest.raises(ConfigError, match="none"):
        read_cameras_file(CONFIG / "none.yaml")
