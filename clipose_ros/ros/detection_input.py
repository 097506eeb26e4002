"""Subscription to the detections of the pose node, for nodes that use them."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.qos import QoSProfile
from vision_msgs.msg import Detection3DArray

from clipose_ros.client.objects import DetectedObjects, read_detections
from clipose_ros.decoding.messages import MAX_FRAME_ID_LENGTH, is_valid_stamp
from clipose_ros.errors import quoted
from clipose_ros.ros.guarded_node import GuardedNode
from clipose_ros.types import TIME_JUMP_NS

DETECTIONS_TOPIC = "pose_node/detections"
"""Name of the topic before remapping."""
MAX_DETECTIONS = 500
"""Largest number of detections of a message that are used."""


class DetectionInput:
    """Reads detections, and leaves out messages that cannot be used.

    Args:
        node: Node that subscribes.
        on_detections: Receives the objects of each message; the newest message is kept while it runs.
        on_time_jump: Called before it when stamps jump back.
        topic: Name of the topic before remapping.

    Attributes:
        topic: Resolved name of the topic.
    """

    def __init__(
        self,
        node: GuardedNode,
        on_detections: Callable[[DetectedObjects], None],
        on_time_jump: Callable[[], None],
        topic: str = DETECTIONS_TOPIC,
    ) -> None:
        self._diagnostics = node.diagnostics
        self._on_detections, self._on_time_jump = on_detections, on_time_jump
        self._last_ns = 0
        self.topic = node.resolve_topic_name(topic)
        # One message: a late grasp or box is of less use than the next one.
        node.create_subscription(Detection3DArray, topic, self._on_message, QoSProfile(depth=1))

    def _on_message(self, message: Detection3DArray) -> None:
        self._diagnostics.count("frames_received")
        fault = self._find_fault(message)
        if fault is not None:
            self._diagnostics.count("frames_failed")
            self._diagnostics.warning("detections", f"a message on '{self.topic}' is left out: {fault}")
            return
        if len(message.detections) > MAX_DETECTIONS:
            self._diagnostics.warning(
                "detections",
                f"'{self.topic}' holds {len(message.detections)} detections, the first {MAX_DETECTIONS} are used: "
                "raise the score threshold of the detector",
            )
            message.detections = message.detections[:MAX_DETECTIONS]
        detected = read_detections(message)
        if detected.stamp_ns < self._last_ns - TIME_JUMP_NS:
            self._on_time_jump()
        self._last_ns = detected.stamp_ns
        self._on_detections(detected)
        self._diagnostics.count("frames_processed")

    def _find_fault(self, message: Detection3DArray) -> str | None:
        """Return why a message cannot be used, or None."""
        stamp, frame_id = message.header.stamp, message.header.frame_id
        if not is_valid_stamp(stamp):
            return f"its stamp is {stamp.sec} s {stamp.nanosec} ns: expected a time after 0"
        if not 0 < len(frame_id) <= MAX_FRAME_ID_LENGTH:
            return f"its frame_id {quoted(frame_id)} must have 1 to {MAX_FRAME_ID_LENGTH} characters"
        return None
