"""Import contracts: layers of the package, and packages that load neither torch nor ROS."""

import subprocess
import sys
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
ROOMS = sorted(path.parent.name for path in (ROOT / "clipose_ros").glob("*/__init__.py"))
ROS_ROOMS = {"ros", "client", "ros_tools", "doctor", "cli"}


def loaded_by(*modules):
    """Return the top-level modules that a new interpreter loads when it imports ``modules``."""
    program = f"import sys; import {', '.join(modules)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_contracts_are_kept():
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ros_contract_covers_every_package_without_ros():
    contract = next(
        each for each in CONTRACTS if each["name"] == "Only ros, client, ros_tools, doctor and cli import ROS"
    )
    assert {f"clipose_ros.{room}" for room in ROOMS if room not in ROS_ROOMS} <= set(contract["source_modules"])


@pytest.mark.parametrize(
    "room", ["geometry", "visualization", "tracking", "segmentation", "inference", "data", "ros", "doctor"]
)
def test_package_init_loads_neither_torch_nor_ros(room):
    assert not {"torch", "torchvision", "ultralytics", "rclpy"} & loaded_by(f"clipose_ros.{room}")


def test_point_cloud_and_tracker_load_no_torch():
    assert "torch" not in loaded_by(
        "clipose_ros.inference.point_cloud", "clipose_ros.tracking.tracker", "clipose_ros.config"
    )


def test_pose_node_loads_no_training_packages():
    program = (
        "import sys; import clipose_ros.ros.pose_node; "
        "print(*(name for name in sys.modules if name.startswith('clipose_ros.')), *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    for room in ("data", "training", "segmenter_training", "evaluation", "benchmark", "ros_tools"):
        assert f"clipose_ros.{room}" not in loaded
    assert not {"ultralytics", "open_clip", "trimesh", "embreex"} & loaded
