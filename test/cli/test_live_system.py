"""What the demo and the benchmark tell the processes they start."""

import rclpy
from rclpy.context import Context
from rclpy.node import Node

from clipose_ros.cli.live_system import ros_arguments
from clipose_ros.resources import config_path


def test_what_is_given_by_name_holds_against_the_files() -> None:
    context = Context()
    rclpy.init(args=ros_arguments({"segmentation.backend": "yolo"}, config_path("demo.yaml")), context=context)
    try:
        node = Node("told", context=context, automatically_declare_parameters_from_overrides=True)
        assert node.get_parameter("segmentation.backend").value == "yolo"
        assert node.get_parameter("tracking.frame").value == "world"
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
