"""Launch file of several cameras: a pose node for each, and the node that merges their tracks.

Usage: ``ros2 launch clipose_ros cameras.launch.py cameras_file:=/path/to/cameras.yaml``.
"""

import os
from pathlib import Path

from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from clipose_ros.cores import count_cores
from clipose_ros.ros.cameras_file import CamerasFile, read_cameras_file
from launch import LaunchContext, LaunchDescription

CONFIG = Path(__file__).resolve().parent.parent / "config"
"""Folder of the parameter files, next to ``launch`` in the checkout and in the installed share folder."""

TOPICS = {
    "rgb_topic": "rgb/image_rect_color",
    "camera_info_topic": "rgb/camera_info",
    "depth_topic": "depth_registered/image_rect",
    "labels_topic": "segmentation/labels",
    "detections_topic": "segmentation/detections",
}
"""Topic of the pose node for each key of a camera."""

PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
"""Environment variables that name the profile of Fast DDS: the present one, and that of ROS 2 up to Jazzy."""


def transport_profile() -> dict[str, str]:
    """Return the environment of a node that publishes images; a profile that is set already is kept."""
    if any(name in os.environ for name in PROFILE_VARIABLES):
        return {}
    return dict.fromkeys(PROFILE_VARIABLES, str(CONFIG / "fastdds.xml"))


def pose_node(name: str, cameras: CamerasFile, cores: int) -> Node:
    """Create the pose node of a camera, which tracks in the frame of the merging."""
    threads = cameras.threads(cores)
    shared = {
        "tracking.frame": cameras.frame,
        "publish.tf": False,
        "network.threads": threads,
        "segmentation.threads": threads,
    }
    return Node(
        package="clipose_ros",
        executable="pose_node",
        name="pose_node",
        namespace=name,
        parameters=[cameras.params_file or str(CONFIG / "detector.yaml"), shared],
        remappings=[(TOPICS[key], topic) for key, topic in cameras.cameras[name].items()],
        additional_env={**transport_profile(), "OMP_WAIT_POLICY": "PASSIVE"},
        output="screen",
    )


def start(context: LaunchContext) -> list[object]:
    """Create all nodes."""
    cameras = read_cameras_file(LaunchConfiguration("cameras_file").perform(context))
    cores = count_cores()
    nodes: list[object] = [LogInfo(msg=cameras.describe(cores))]
    nodes += [pose_node(name, cameras, cores) for name in cameras.cameras]
    if LaunchConfiguration("merge").perform(context) == "true":
        nodes.append(
            Node(
                package="clipose_ros",
                executable="merge_node",
                name="merge_node",
                parameters=[{"cameras": list(cameras.cameras), "frame": cameras.frame}],
                output="screen",
            )
        )
    return nodes


def generate_launch_description() -> LaunchDescription:
    """Create the launch description: the arguments, and the nodes."""
    arguments = [
        DeclareLaunchArgument(
            "cameras_file", default_value=str(CONFIG / "cameras.yaml"), description="List of the cameras."
        ),
        DeclareLaunchArgument(
            "merge",
            default_value="true",
            choices=["true", "false"],
            description="Start merge_node, which merges the tracks of the cameras.",
        ),
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])
