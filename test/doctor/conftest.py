"""Fixtures over DDS."""

from node_fixtures import camera, ros, ros_context, start_node

__all__ = ["camera", "ros", "ros_context", "start_node"]
