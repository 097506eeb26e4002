"""Entry point of the node of collision objects, which needs messages of MoveIt that no other node needs."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from clipose_ros.ros.node_process import run_node


def main(arguments: list[str] | None = None) -> int:
    """Run the node; return the exit status."""
    if find_spec("moveit_msgs") is None:
        remedy = "sudo apt-get install ros-$ROS_DISTRO-moveit-msgs, or make env"
        print(f"[ERROR] [collision_objects_node]: moveit_msgs is not installed: {remedy}", file=sys.stderr)
        return 1
    from clipose_ros.ros.collision_objects_node import CollisionObjectsNode

    return run_node(CollisionObjectsNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
