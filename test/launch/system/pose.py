"""Launch test of pose.launch.py: the node is active or waits, as ``autostart`` says, with the given topics."""

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
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState

from launch import LaunchDescription

sys.path.insert(0, str(Path(__file__).parent))
from wait import Observer  # the folder is put on the path above

STATES = {"true": State.PRIMARY_STATE_ACTIVE, "false": State.PRIMARY_STATE_UNCONFIGURED}
TOPICS = {"rgb_topic": "/front/color", "camera_info_topic": "/front/info", "depth_topic": "/front/depth"}


@launch_testing.parametrize("autostart", list(STATES))
def generate_test_description(autostart: str) -> LaunchDescription:
    """Return the node in a namespace, with the label backend, and the signal to begin."""
    path = Path(get_package_share_directory("clipose_ros"), "launch", "pose.launch.py")
    arguments = TOPICS | {"namespace": "robot1", "segmentation_backend": "labels", "autostart": autostart}
    node = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)), launch_arguments=arguments.items())
    return LaunchDescription([node, ReadyToTest()])


class TestPose(unittest.TestCase):
    """While the node runs."""

    def test_state_and_topics(self, autostart: str) -> None:
        with Observer() as observer:
            observer.wait_until(
                lambda: observer.call(GetState, "/robot1/pose_node/get_state").current_state.id == STATES[autostart],
                f"state {STATES[autostart]}",
            )
            if autostart == "true":
                for topic in TOPICS.values():
                    observer.wait_until(
                        lambda name=topic: observer.node.count_subscribers(name) > 0, f"a subscriber of {topic}"
                    )


@launch_testing.post_shutdown_test()
class TestPoseShutdown(unittest.TestCase):
    """After the node was interrupted."""

    def test_node_ends_without_an_error(self, proc_info: object) -> None:
        assertExitCodes(proc_info)
