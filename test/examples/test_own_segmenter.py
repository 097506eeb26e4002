"""The example package is installed by pip and adds its backend: in Python, in settings, on command lines and in ROS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

IMAGE = """
import numpy as np
from clipose_ros.types import CameraIntrinsics, RgbdFrame

rgb = np.full((120, 160, 3), 128, np.uint8)
rgb[10:40, 20:60], rgb[60:70, 100:110], rgb[80:110, 20:60] = (220, 20, 20), (220, 20, 20), (20, 220, 20)
frame = RgbdFrame(rgb, np.ones((120, 160), np.float32), CameraIntrinsics(150.0, 150.0, 80.0, 60.0, 160, 120))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example into a folder, without a network."""
    folder = tmp_path_factory.mktemp("own_segmenter")
    # pip builds inside the source folder, so it is given a copy.
    source = shutil.copytree(ROOT / "examples" / "own_segmenter", folder / "source")
    command = ["-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([sys.executable, *command, "--target", folder / "site", source], check=True, timeout=100)
    return folder / "site"


def run_python(site: Path, program: str) -> str:
    """Run a program in a process that finds the package and the example; return its standard output."""
    path = os.pathsep.join([str(site), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:clipose_ros", "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_create_segmenter_builds_it(site: Path) -> None:
    program = f"""{IMAGE}
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.segmentation import create_segmenter

segmenter = create_segmenter(SegmentationConfig(backend="color_blobs"), NOCS_CATEGORIES)
(red,) = segmenter.segment(frame)
assert (red.category, red.box, red.mask.all()) == ("mug", (20, 10, 60, 40), True)
"""
    run_python(site, program)


def test_settings_are_a_section_of_their_own(site: Path) -> None:
    program = f"""{IMAGE}
import pytest
from color_blobs import ColorBlobsConfig
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import PoseNodeConfig, config_fields
from clipose_ros.errors import ConfigError
from clipose_ros.segmentation import create_segmenter

def read(section, backend="color_blobs"):
    return PoseNodeConfig.from_mapping({{"segmentation": {{"backend": backend, "color_blobs": section}}}})

config = read({{"min_area_px": 50, "category": "can"}})
assert config.segmentation.backend_settings == ColorBlobsConfig(min_area_px=50, category="can")
assert PoseNodeConfig.from_mapping(config.to_mapping()) == config
assert config.to_mapping()["segmentation"]["color_blobs"]["min_area_px"] == 50
paths = [field.path for field in config_fields(config)]
assert "segmentation.color_blobs.min_area_px" in paths and "segmentation.image_size" in paths
assert not [path for path in paths if "backend_settings" in path]

segmenter = create_segmenter(config.segmentation, NOCS_CATEGORIES)
assert [mask.category for mask in segmenter.segment(frame)] == ["can", "can"]
segmenter.reconfigure(read({{"hue_deg": 120.0}}).segmentation)
assert [mask.box for mask in segmenter.segment(frame)] == [(20, 80, 60, 110)]

for section, words in (
    ({{"min_area": 3}}, "unknown setting 'segmentation.color_blobs.min_area': did you mean"),
    ({{"min_area_px": 0}}, r"'segmentation.color_blobs.min_area_px' must lie in"),
):
    with pytest.raises(ConfigError, match=words):
        read(section)
assert read({{}}, "labels").segmentation.backend_settings is None, "sections of other backends are skipped"
"""
    run_python(site, program)


def test_commands_take_its_name(site: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").touch()
    program = f"""
import pytest
from clipose_ros.cli.evaluate_options import read_options
from clipose_ros.cli.node_settings import node_config, segmenter_settings
from clipose_ros.errors import ConfigError

weights = {str(tmp_path / "weights.bin")!r}
assert segmenter_settings("color_blobs") == {{"segmentation.backend": "color_blobs", "segmentation.model": ""}}
assert segmenter_settings(f"color_blobs:{{weights}}")["segmentation.model"] == weights
config = node_config(read_options(None, ["--scenes", "1", "--segmenter", "color_blobs"]))
assert config.segmentation.backend_settings is not None
with pytest.raises(ConfigError, match=r"color_blobs\\[:WEIGHTS\\]"):
    segmenter_settings("color_blob")
"""
    run_python(site, program)


def test_the_node_declares_its_parameters(site: Path) -> None:
    pytest.importorskip("rclpy")
    program = """
import rclpy
from rclpy.parameter import Parameter
from clipose_ros.ros.pose_node import PoseNode

settings = "segmentation.backend:=color_blobs", "segmentation.color_blobs.hue_deg:=90.0"
rclpy.init(args=["--ros-args", "-p", settings[0], "-p", settings[1]])
node = PoseNode()
name = "segmentation.color_blobs.min_area_px"
descriptor = node.describe_parameter(name)
assert descriptor.description == "Smaller blobs are ignored, pixels." and node.get_parameter(name).value == 200
assert (descriptor.integer_range[0].from_value, descriptor.integer_range[0].to_value) == (1, 10_000_000)
assert "at run time" in descriptor.additional_constraints
assert node.parameters.config.segmentation.backend_settings.hue_deg == 90.0 and not node.parameters.warnings

(result,) = node.set_parameters([Parameter(name, value=0)])
assert not result.successful and node.get_parameter(name).value == 200
(result,) = node.set_parameters([Parameter(name, value=500)])
assert result.successful and node.parameters.config.segmentation.backend_settings.min_area_px == 500
for backend, word in (("labels", "set it at the start"), ("color_blob", "did you mean 'color_blobs'")):
    (result,) = node.set_parameters([Parameter("segmentation.backend", value=backend)])
    assert not result.successful and word in result.reason, result.reason
node.destroy_node()
rclpy.shutdown()
"""
    run_python(site, program)
