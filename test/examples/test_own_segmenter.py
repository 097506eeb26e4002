"""The example package is installed by pip and adds its backend: in Python, in settings, on command lines and in ROS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

IMAGE = """
import numpy as np
from clipose_ros.types import CameraIntrinsics, RgbdFrame

rgb = np.full((120, 160, 3), 128, np.uint8)
rgb[10:40, 20:60], rgb[60:70, 100:110], rgb[80:110, 20:60] = (220, 20, 20), (220, 20, 20), (20, 220, 20)
frame = RgbdFrame(rgb, np.ones((120, 160), np.float32), CameraIntrinsics(150.0, 150.0, 80.0, 60.0, 160, 120))
"""


@pytest.fixture(scope="module")
def run(install_example: Callable[[str], Callable[[str], Any]]) -> Callable[[str], Any]:
    """Runs a program beside the installed example."""
    return install_example("own_segmenter")


def test_create_segmenter_builds_it(run: Callable[[str], Any]) -> None:
    program = f"""{IMAGE}
import json
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.segmentation import create_segmenter

segmenter = create_segmenter(SegmentationConfig(backend="color_blobs"), NOCS_CATEGORIES)
print(json.dumps([[blob.category, blob.box, bool(blob.mask.all())] for blob in segmenter.segment(frame)]))
"""
    assert run(program) == [["mug", [20, 10, 60, 40], True]]


SETTINGS = """
import json
from clipose_ros.config import PoseNodeConfig, config_fields
from clipose_ros.errors import ConfigError

def read(section, backend="color_blobs"):
    return PoseNodeConfig.from_mapping({"segmentation": {"backend": backend, "color_blobs": section}})
"""


def test_settings_are_a_section_of_their_own(run: Callable[[str], Any]) -> None:
    program = f"""{SETTINGS}
from color_blobs import ColorBlobsConfig

config = read({{"min_area_px": 50, "category": "can"}})
paths = [field.path for field in config_fields(config)]
print(json.dumps([
    config.segmentation.backend_settings == ColorBlobsConfig(min_area_px=50, category="can"),
    PoseNodeConfig.from_mapping(config.to_mapping()) == config,
    config.to_mapping()["segmentation"]["color_blobs"]["min_area_px"],
    paths,
    read({{}}, "labels").segmentation.backend_settings,
]))
"""
    is_read, is_restored, min_area_px, paths, of_another_backend = run(program)
    assert is_read and is_restored and min_area_px == 50
    assert "segmentation.color_blobs.min_area_px" in paths and "segmentation.image_size" in paths
    assert not [path for path in paths if "backend_settings" in path]
    assert of_another_backend is None, "sections of other backends are skipped"


def test_live_settings_are_applied(run: Callable[[str], Any]) -> None:
    program = f"""{IMAGE}{SETTINGS}
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.segmentation import create_segmenter

segmenter = create_segmenter(read({{"min_area_px": 50, "category": "can"}}).segmentation, NOCS_CATEGORIES)
before = [blob.category for blob in segmenter.segment(frame)]
segmenter.reconfigure(read({{"hue_deg": 120.0}}).segmentation)
print(json.dumps([before, [blob.box for blob in segmenter.segment(frame)]]))
"""
    assert run(program) == [["can", "can"], [[20, 80, 60, 110]]]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"min_area": 3}, "unknown setting 'segmentation.color_blobs.min_area': did you mean"),
        ({"min_area_px": 0}, "'segmentation.color_blobs.min_area_px' must lie in"),
    ],
)
def test_wrong_settings_are_named(run: Callable[[str], Any], section: dict[str, int], message: str) -> None:
    program = f"""{SETTINGS}
try:
    read({section})
except ConfigError as error:
    print(json.dumps(str(error)))
"""
    assert message in run(program)


def test_commands_take_its_name(run: Callable[[str], Any], tmp_path: Path) -> None:
    weights = tmp_path / "weights.bin"
    weights.touch()
    program = f"""
import json
from clipose_ros.cli.evaluate_options import read_options
from clipose_ros.cli.node_settings import node_config, segmenter_settings
from clipose_ros.errors import ConfigError

config = node_config(read_options(None, ["--scenes", "1", "--segmenter", "color_blobs"]))
try:
    error = segmenter_settings("color_blob")
except ConfigError as raised:
    error = str(raised)
print(json.dumps([
    segmenter_settings("color_blobs"),
    segmenter_settings({f"color_blobs:{weights}"!r}),
    type(config.segmentation.backend_settings).__name__,
    error,
]))
"""
    plain, with_weights, settings_type, error = run(program)
    assert plain == {"segmentation.backend": "color_blobs", "segmentation.model": ""}
    assert with_weights["segmentation.model"] == str(weights)
    assert settings_type == "ColorBlobsConfig" and "color_blobs[:WEIGHTS]" in error


NODE = """
import json
import rclpy
from rclpy.parameter import Parameter
from clipose_ros.ros.pose_node import PoseNode

settings = "segmentation.backend:=color_blobs", "segmentation.color_blobs.hue_deg:=90.0"
rclpy.init(args=["--ros-args", "-p", settings[0], "-p", settings[1]])
node = PoseNode()
name = "segmentation.color_blobs.min_area_px"
"""


def test_the_node_declares_its_parameters(run: Callable[[str], Any]) -> None:
    pytest.importorskip("rclpy")
    program = f"""{NODE}
descriptor = node.describe_parameter(name)
print(json.dumps([
    descriptor.description,
    [descriptor.integer_range[0].from_value, descriptor.integer_range[0].to_value],
    descriptor.additional_constraints,
    node.get_parameter(name).value,
    node.parameters.config.segmentation.backend_settings.hue_deg,
    node.parameters.warnings,
]))
node.destroy_node()
rclpy.shutdown()
"""
    description, bounds, constraints, value, hue_deg, warnings = run(program)
    assert description == "Smaller blobs are ignored, pixels." and bounds == [1, 10_000_000]
    assert "at run time" in constraints and (value, hue_deg, warnings) == (200, 90.0, [])


def test_its_parameters_change_at_run_time_within_their_bounds(run: Callable[[str], Any]) -> None:
    pytest.importorskip("rclpy")
    program = f"""{NODE}
results, backend = [], "segmentation.backend"
for changed, value in ((name, 0), (name, 500), (backend, "labels"), (backend, "color_blob")):
    (result,) = node.set_parameters([Parameter(changed, value=value)])
    settings = node.parameters.config.segmentation.backend_settings
    results.append([result.successful, result.reason, settings.min_area_px])
print(json.dumps(results))
node.destroy_node()
rclpy.shutdown()
"""
    too_small, changed, other_backend, unknown_backend = run(program)
    assert not too_small[0] and too_small[2] == 200
    assert changed[0] and changed[2] == 500
    assert not other_backend[0] and "set it at the start" in other_backend[1]
    assert not unknown_backend[0] and "did you mean 'color_blobs'" in unknown_backend[1]
