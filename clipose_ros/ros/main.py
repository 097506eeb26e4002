"""Entry point of ``ros2 run clipose_ros pose_node``."""

from __future__ import annotations

from clipose_ros.ros.signals import receive_termination_signals


def main(args: list[str] | None = None) -> int:
    """Run the pose node; return the exit status."""
    receive_termination_signals()
    from clipose_ros.ros import pose_node  # takes seconds

    return pose_node.main(args)
