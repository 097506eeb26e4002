"""The demo without a robot: a synthetic RGB-D camera and the pose node.

``ros2 launch clipose_ros demo.launch.py seed:=3 rate_hz:=15.0``. The camera renders its frames first, which takes
a while. The shipped detector finds the objects; ``shipped_detector:=false`` takes the camera's label images.
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription

CONFIG = Path(__file__).resolve().parent.parent / "config"
"""Beside ``launch`` in the checkout and in the installed share folder alike."""

ARGUMENTS = {
    "seed": ("0", "Which scene is shown.", int),
    "rate_hz": ("30.0", "Frames per second.", float),
    "frames": ("60", "Frames of one sweep of the camera.", int),
}


def pose_node(context: LaunchContext) -> list[Node]:
    """Return the node, with the detector's parameters on top of the demo's where a detector is used."""
    shipped = LaunchConfiguration("shipped_detector").perform(context) == "true"
    return [
        Node(
            package="clipose_ros",
            executable="pose_node",
            name="pose_node",
            output="screen",
            parameters=[str(CONFIG / "demo.yaml"), *([str(CONFIG / "detector.yaml")] if shipped else [])],
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Both nodes, with the Fast DDS profile that images need; threads sleep while they wait, for cores are shared."""
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text)
        for name, (value, text, _) in ARGUMENTS.items()
    ]
    declared.append(
        DeclareLaunchArgument(
            "shipped_detector",
            default_value="true",
            choices=["true", "false"],
            description="Find objects with the shipped detector; false takes the camera's own label images.",
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
    environment = [
        SetEnvironmentVariable("FASTDDS_DEFAULT_PROFILES_FILE", str(CONFIG / "fastdds.xml")),
        SetEnvironmentVariable("OMP_WAIT_POLICY", "PASSIVE"),
    ]
    return LaunchDescription([*environment, *declared, camera, OpaqueFunction(function=pose_node)])
