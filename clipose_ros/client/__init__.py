"""Client of the pose node for scripts and nodes: data instead of messages."""

from clipose_ros.client.errors import (
    NodeNotActiveError,
    NodeNotFoundError,
    PoseClientError,
    PoseTimeoutError,
    WouldDeadlockError,
)
from clipose_ros.client.objects import DetectedObject, DetectedObjects
from clipose_ros.client.pose_client import PoseClient

__all__ = [
    "DetectedObject", "DetectedObjects", "NodeNotActiveError", "NodeNotFoundError", "PoseClient", "PoseClientError",
    "PoseTimeoutError", "WouldDeadlockError",
]  # fmt: skip
