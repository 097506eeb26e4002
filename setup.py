"""Package of the build type ament_python; ``pip install .`` works as well."""

import sys
from collections import defaultdict
from pathlib import Path

from setuptools import find_packages, setup

NAME = "clipose_ros"
ROOT = Path(__file__).resolve().parent
EXECUTABLES = {
    "pose_node": "clipose_ros.ros.main:main",
    "grasp_node": "clipose_ros.ros.grasp_node:main",
    "collision_objects_node": "clipose_ros.ros.collision_objects_main:main",
    "merge_node": "clipose_ros.ros.merge_node:main",
    "synthetic_camera": "clipose_ros.ros_tools.synthetic_camera:main",
    "rgbd_player": "clipose_ros.ros_tools.rgbd_player:main",
    "bag_player": "clipose_ros.ros_tools.bag_player:main",
    "benchmark": "clipose_ros.cli.benchmark:main",
    "checkpoint": "clipose_ros.cli.checkpoint:main",
    "demo": "clipose_ros.cli.demo:main",
    "doctor": "clipose_ros.cli.doctor:main",
    "evaluate": "clipose_ros.cli.evaluate:main",
    "evaluate_cameras": "clipose_ros.cli.evaluate_cameras:main",
    "evaluate_grasps": "clipose_ros.cli.evaluate_grasps:main",
    "export": "clipose_ros.cli.export:main",
    "generate": "clipose_ros.cli.generate:main",
    "hub": "clipose_ros.cli.hub:main",
    "make_segmenter": "clipose_ros.cli.make_segmenter:main",
    "process": "clipose_ros.cli.process:main",
    "record_frames": "clipose_ros.cli.record_frames:main",
    "train": "clipose_ros.cli.train:main",
    "train_segmenter": "clipose_ros.cli.train_segmenter:main",
    "view": "clipose_ros.cli.view:main",
}


def console_scripts() -> list[str]:
    """Return the entry points; with a prefix for pip, which puts them on the PATH (colcon has a folder for them)."""
    on_path = not {"bdist_wheel", "dist_info", "editable_wheel"}.isdisjoint(sys.argv)
    names = {name: f"clipose-{name.replace('_', '-')}" if on_path else name for name in EXECUTABLES}
    return [f"{names[name]} = {target}" for name, target in EXECUTABLES.items()]


def data_files() -> list[tuple[str, list[str]]]:
    """Return every file of the shared folders with its destination; new files need no entry here."""
    folders: dict[str, list[str]] = defaultdict(list)
    for shared in ("config", "launch", "models"):
        for path in sorted((ROOT / shared).rglob("*")):
            inside = path.relative_to(ROOT)
            if path.is_file() and "__pycache__" not in inside.parts:
                folders[f"share/{NAME}/{inside.parent.as_posix()}"].append(inside.as_posix())
    marker = ("share/ament_index/resource_index/packages", [f"resource/{NAME}"])
    return [marker, (f"share/{NAME}", ["package.xml"]), *folders.items()]


setup(
    name=NAME,
    version="0.2.0",
    description="Category-level 6D object pose and size from RGB-D images, for ROS 2 and without it",
    license="Apache-2.0",
    maintainer="clipose_ros maintainers",
    maintainer_email="clipose_ros@example.org",
    python_requires=">=3.10",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed"]},
    data_files=data_files(),
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},  # without it, `colcon test` runs unittest and finds no test
    zip_safe=False,
    entry_points={"console_scripts": console_scripts()},
)
