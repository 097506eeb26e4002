"""Launch file of the demo without a robot: a synthetic RGB-D camera and the pose node.

Usage: ``ros2 launch clipose_ros demo.launch.py seed:=3 rate_hz:=15.0``. The camera renders all frames before it
publishes the first one. The shipped detector segments the images; with ``shipped_detector:=false`` the pose node reads
the camera's label images instead.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription

CONFIG = Path(__file__).resolve().parent.parent / "config"
"""Folder of the parameter files, next to ``launch`` in the checkout and in the installed share folder."""

PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
"""Environment variables that name the profile of Fast DDS: the present one, and that of ROS 2 up to Jazzy."""

ARGUMENTS = {
    "seed": ("0", "Random seed of the scene.", int),
    "rate_hz": ("30.0", "Frames published per second.", float),
    "frames": ("60", "Number of frames of one sweep of the camera.", int),
}
"""Default value, description and type of each argument that becomes a parameter of the camera."""


def pose_node(context: LaunchContext) -> list[Node]:
    """Create the pose node; the detector's parameters override those of the demo if the detector is used."""
    shipped = LaunchConfiguration("shipped_detector").perform(context) == "true"
    detector = [str(CONFIG / "detector.yaml"), str(CONFIG / "demo_detector.yaml")]
    return [
        Node(
            package="clipose_ros",
            executable="pose_node",
            name="pose_node",
            output="screen",
            parameters=[str(CONFIG / "demo.yaml"), *(detector if shipped else [])],
        )
    ]


def grasp_node(context: LaunchContext) -> list[Node]:
    """Create the grasp node if it is wanted; the camera stands for the robot."""
    if LaunchConfiguration("grasps").perform(context) != "true":
        return []
    return [Node(package="clipose_ros", executable="grasp_node", name="grasp_node", output="screen")]


def generate_launch_description() -> LaunchDescription:
    """Create the launch description of the nodes."""
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text)
        for name, (value, text, _) in ARGUMENTS.items()
    ]
    declared.append(
        DeclareLaunchArgument(
            "shipped_detector",
            default_value="true",
            choices=["true", "false"],
            description="Segment the images with the shipped detector; false uses the camera's label images.",
        )
    )
    declared.append(
        DeclareLaunchArgument(
            "grasps",
            default_value="false",
            choices=["true", "false"],
            description="Start grasp_node, too, which plans grasps on the objects.",
        )
    )
    camera_parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind) for name, (_, _, kind) in ARGUMENTS.items()
    }
    camera = Node(
        package="clipose_ros",
        executable="synthetic_camera",
        name="synthetic_camera",
        output="screen",
        parameters=[camera_parameters],
    )
    # Images need larger shared-memory segments than the default. Threads must not spin while they wait: rendering,
    # segmentation and network share the cores.
    environment = [
        *(SetEnvironmentVariable(name, str(CONFIG / "fastdds.xml")) for name in PROFILE_VARIABLES),
        SetEnvironmentVariable("OMP_WAIT_POLICY", "PASSIVE"),
    ]
    return LaunchDescription(
        [*environment, *declared, camera, OpaqueFunction(function=pose_node), OpaqueFunction(function=grasp_node)]
    )
