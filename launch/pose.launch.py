"""Launch file of the pose node on a robot.

Usage: ``ros2 launch clipose_ros pose.launch.py rgb_topic:=/camera/color/image_rect_color camera_info_topic:=...``. An
empty argument leaves the value of the parameters file.
"""

import os
from pathlib import Path

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription

CONFIG = Path(__file__).resolve().parent.parent / "config"
"""Folder of the parameter files, next to ``launch`` in the checkout and in the installed share folder."""

TOPICS = {
    "rgb_topic": (
        "rgb/image_rect_color",
        "Rectified colour image; with sync.compressed, <rgb_topic>/compressed is read.",
    ),
    "camera_info_topic": ("rgb/camera_info", "Calibration of the colour image."),
    "depth_topic": ("depth_registered/image_rect", "Depth registered to the colour image, 16UC1 mm or 32FC1 m."),
    "labels_topic": ("segmentation/labels", "Label image, for segmentation_backend:=labels."),
    "detections_topic": (
        "segmentation/detections",
        "Boxes of another detector (vision_msgs/Detection2DArray), for segmentation_backend:=detections.",
    ),
}
"""Topic of the node and description of each argument that remaps a topic."""

SETTINGS = {
    "model": ("network.model", str, "Checkpoint file, or name of a shipped model."),
    "device": ("network.device", str, "auto, cpu, cuda or cuda:N."),
    "engine": (
        "network.engine",
        str,
        "Engine that computes the network: auto, pytorch, cpu, cpu_bf16, cpu_int8, cuda, or an installed one.",
    ),
    "max_passes": (
        "network.tta.max_passes",
        int,
        "Maximum number of passes per object: 4 is most accurate, 1 fastest.",
    ),
    "segmentation_backend": ("segmentation.backend", str, "Segmentation backend, built-in or of an installed package."),
    "segmentation_model": ("segmentation.model", str, "Weights of the segmentation backend."),
    "target_frame": ("publish.target_frame", str, "TF frame of all published poses."),
    "tracking_frame": ("tracking.frame", str, "Fixed TF frame in which poses are smoothed."),
    "tf_prefix": ("publish.tf_prefix", str, "Prefix of the names of TF frames."),
    "autostart": (
        "autostart",
        bool,
        "Configure and activate the node at its start; false waits for a lifecycle manager.",
    ),
    "use_sim_time": ("use_sim_time", bool, "Take the time from /clock."),
}
"""Parameter, type and description of each argument that sets a parameter."""

GRASPS = {
    "grasps": ("false", "Start grasp_node, too, which plans grasps on the objects."),
    "robot_frame": ("", "robot_frame of grasp_node: TF frame of the base of the robot. Empty: the camera."),
    "grasp_params_file": ("", "Parameters of grasp_node. Empty: the defaults."),
}
"""Default and description of each argument for ``grasp_node``."""

COLLISIONS = {
    "collision_objects": ("false", "Start collision_objects_node, too, which keeps the objects in MoveIt's scene."),
    "collision_params_file": ("", "Parameters of collision_objects_node. Empty: the defaults."),
}
"""Default and description of each argument for ``collision_objects_node``."""

PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
"""Environment variables that name the profile of Fast DDS: the present one, and that of ROS 2 up to Jazzy."""

RENAMED_ARGUMENTS = {"looks": "max_passes"}
"""Present name of each renamed argument."""


def refuse_renamed_arguments(context: LaunchContext) -> None:
    """Raise an error if an argument is given under its earlier name, which ``ros2 launch`` itself would ignore."""
    for old, new in RENAMED_ARGUMENTS.items():
        if old in context.launch_configurations:
            raise RuntimeError(
                f"launch argument '{old}' is now called '{new}': use {new}:={context.launch_configurations[old]}"
            )


def transport_profile() -> dict[str, str]:
    """Return the environment of a node that publishes images; a profile that is set already is kept."""
    if any(name in os.environ for name in PROFILE_VARIABLES):
        return {}
    return dict.fromkeys(PROFILE_VARIABLES, str(CONFIG / "fastdds.xml"))


def pose_node(context: LaunchContext) -> list[Node]:
    """Create the pose node.

    Arguments override the parameters of the shipped detector, which override the parameters file.
    """
    refuse_renamed_arguments(context)
    shipped = LaunchConfiguration("shipped_detector").perform(context) == "true"
    given = {name: setting for name, setting in SETTINGS.items() if LaunchConfiguration(name).perform(context)}
    overrides = {
        parameter: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, (parameter, kind, _) in given.items()
    }
    return [
        Node(
            package="clipose_ros",
            executable="pose_node",
            name="pose_node",
            namespace=LaunchConfiguration("namespace"),
            parameters=[
                LaunchConfiguration("params_file"),
                *([str(CONFIG / "detector.yaml")] if shipped else []),
                *([overrides] if overrides else []),
            ],
            remappings=[(topic, LaunchConfiguration(name)) for name, (topic, _) in TOPICS.items()],
            additional_env=transport_profile(),
            output="screen",
        )
    ]


def grasp_node(context: LaunchContext) -> list[Node]:
    """Create the grasp node if it is wanted; it reads the depth image of the pose node."""
    values = {name: LaunchConfiguration(name).perform(context) for name in GRASPS}
    if values["grasps"] != "true":
        return []
    parameters = [values["grasp_params_file"]] if values["grasp_params_file"] else []
    if values["robot_frame"]:
        parameters.append({"robot_frame": ParameterValue(LaunchConfiguration("robot_frame"), value_type=str)})
    return [
        Node(
            package="clipose_ros",
            executable="grasp_node",
            name="grasp_node",
            namespace=LaunchConfiguration("namespace"),
            parameters=parameters,
            remappings=[(TOPICS[name][0], LaunchConfiguration(name)) for name in ("depth_topic", "camera_info_topic")],
            output="screen",
        )
    ]


def collision_objects_node(context: LaunchContext) -> list[Node]:
    """Create the node of collision objects if it is wanted."""
    values = {name: LaunchConfiguration(name).perform(context) for name in COLLISIONS}
    if values["collision_objects"] != "true":
        return []
    return [
        Node(
            package="clipose_ros",
            executable="collision_objects_node",
            name="collision_objects_node",
            namespace=LaunchConfiguration("namespace"),
            parameters=[values["collision_params_file"]] if values["collision_params_file"] else [],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Create the launch description: the arguments, and the nodes."""
    arguments = [
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of the node and of its relative topics."
        ),
        DeclareLaunchArgument(
            "params_file", default_value=str(CONFIG / "pose.yaml"), description="Parameters of the node."
        ),
        DeclareLaunchArgument(
            "shipped_detector",
            default_value="false",
            choices=["true", "false"],
            description="Use the shipped detector: config/detector.yaml overrides the parameters file.",
        ),
        *(DeclareLaunchArgument(name, default_value=topic, description=text) for name, (topic, text) in TOPICS.items()),
        *(
            DeclareLaunchArgument(
                name, default_value="", description=f"{text} Empty: the value of the parameters file."
            )
            for name, (_, _, text) in SETTINGS.items()
        ),
        *(
            DeclareLaunchArgument(name, default_value=value, description=text)
            for name, (value, text) in (GRASPS | COLLISIONS).items()
        ),
    ]
    return LaunchDescription(
        [
            *arguments,
            OpaqueFunction(function=pose_node),
            *(OpaqueFunction(function=make) for make in (grasp_node, collision_objects_node)),
        ]
    )
