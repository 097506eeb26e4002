"""Launch test of demo.launch.py: the synthetic camera's objects get poses, and both nodes end cleanly."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

import launch_testing
from ament_index_python.packages import get_package_share_directory
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes
from vision_msgs.msg import Detection3DArray

from clipose_ros.categories import NOCS_CATEGORIES
from launch import LaunchDescription

sys.path.insert(0, str(Path(__file__).parent))
from wait import Observer  # the folder is put on the path above

ARGUMENTS = {"shipped_detector": "false", "frames": "4", "rate_hz": "5.0"}


def generate_test_description() -> LaunchDescription:
    """Return the demo with the camera's label images and a short sweep, and the signal to begin."""
    path = Path(get_package_share_directory("clipose_ros"), "launch", "demo.launch.py")
    demo = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)), launch_arguments=ARGUMENTS.items())
    return LaunchDescription([demo, ReadyToTest()])


class TestDemo(unittest.TestCase):
    """While both nodes run."""

    def test_objects_get_poses(self) -> None:
        with Observer() as observer:
            message = observer.wait_for_message(Detection3DArray, "/pose_node/detections", lambda each: each.detections)
        best = message.detections[0].results[0].hypothesis
        assert best.class_id in NOCS_CATEGORIES.names
        assert best.score > 0.0 and message.detections[0].bbox.size.y > 0.0


@launch_testing.post_shutdown_test()
class TestDemoShutdown(unittest.TestCase):
    """After both nodes were interrupted."""

    def test_nodes_end_without_an_error(self, proc_info: object) -> None:
        assertExitCodes(proc_info)
