"""Parameters and process of nodes that have no lifecycle."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from clipose_ros.config import ConfigNode, config_fields, nest
from clipose_ros.errors import CliposeError, ConfigError
from clipose_ros.ros.guarded_node import GuardedNode
from clipose_ros.ros.parameters import describe, from_ros, to_ros
from clipose_ros.ros.shutdown import until_shutdown
from clipose_ros.user_folders import ensure_ros_log_folder

ConfigNodeT = TypeVar("ConfigNodeT", bound=ConfigNode)


def declare_parameters(node: Node, config_type: type[ConfigNodeT]) -> ConfigNodeT:
    """Declare every setting as a typed, described, read-only parameter.

    Args:
        node: Node that gets the parameters.
        config_type: Dataclass of the settings.

    Returns:
        The settings with the values given at the start.

    Raises:
        ConfigError: A value has the wrong type or is out of its range; the message names the parameter.
    """
    values = {}
    for field in config_fields(config_type()):
        descriptor = describe(field)
        descriptor.read_only = True
        try:
            value = node.declare_parameter(field.path, to_ros(field), descriptor).value
            values[field.path] = from_ros(field, value)
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            raise ConfigError(f"parameter '{field.path}' ({field.doc.rstrip('.')}): {error}") from error
    return config_type.from_mapping(nest(values))


def run_node(create_node: Callable[[], Node], arguments: list[str] | None = None) -> int:
    """Create a node and spin it until ROS shuts down.

    Args:
        create_node: Creates the node after ROS is initialised.
        arguments: Command line; None for that of the process.

    Returns:
        Exit status: 1 after a ``CliposeError``, which is logged as one line, else 0.
    """
    ensure_ros_log_folder()
    rclpy.init(args=arguments)
    try:
        with until_shutdown(rclpy.get_default_context()):
            # Before the node says that it listens: a signal while rclpy makes an executor leaves a trace.
            executor = SingleThreadedExecutor()
            node = create_node()
            node.spin(executor) if isinstance(node, GuardedNode) else rclpy.spin(node, executor)
            node.destroy_node()
    except CliposeError as error:
        rclpy.logging.get_logger("clipose_ros").fatal(str(error))
        return 1
    finally:
        rclpy.try_shutdown()
    return 0
