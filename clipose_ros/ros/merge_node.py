"""Node that merges the tracks of several pose nodes into objects in one frame."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseArray
from rclpy.qos import QoSProfile
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from clipose_ros.client.objects import DetectedObjects
from clipose_ros.errors import FrameError
from clipose_ros.manipulation.objects import find_fault
from clipose_ros.ros.conversions import ros_stamp
from clipose_ros.ros.detection_input import DETECTIONS_TOPIC, DetectionInput
from clipose_ros.ros.guarded_node import GuardedNode
from clipose_ros.ros.markers import Markers
from clipose_ros.ros.merge_config import MergeNodeConfig
from clipose_ros.ros.messages import ObjectMessages
from clipose_ros.ros.node_process import declare_parameters, run_node
from clipose_ros.ros.transforms import Transforms
from clipose_ros.tracking.camera_offsets import CameraOffsets, describe_differences
from clipose_ros.tracking.merging import MatchedTracks, TrackMerger
from clipose_ros.types import TrackedObject

MAX_TRACKS = 100
"""Largest number of objects of a camera that are merged."""


class MergeNode(GuardedNode):
    """Subscribes to the detections of several pose nodes and publishes merged objects.

    Publishes ``~/detections``, ``~/poses``, ``~/markers`` and, if wanted, ``/tf``, as the pose node does.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters and subscribe.

        Args:
            kwargs: Keyword arguments of ``rclpy.node.Node``.

        Raises:
            ConfigError: A parameter is invalid.
        """
        super().__init__("merge_node", **kwargs)
        config = self._config = declare_parameters(self, MergeNodeConfig)
        config.require_cameras()
        self._merger = TrackMerger(dict.fromkeys(config.axial_categories, True), config.limits)
        self._offsets = CameraOffsets()
        self._transforms = Transforms(self, config.frame, report=partial(self.diagnostics.warning, "tf"))
        self._objects, self._markers = ObjectMessages(), Markers()
        reliable = QoSProfile(depth=10)
        self._detections = self.create_publisher(Detection3DArray, "~/detections", reliable)
        self._poses = self.create_publisher(PoseArray, "~/poses", reliable)
        self._marker_array = self.create_publisher(MarkerArray, "~/markers", reliable)
        self._tf = self.create_publisher(TFMessage, "/tf", QoSProfile(depth=100)) if config.tf else None
        self._heard_s: dict[str, float] = {}
        self._started_s = time.monotonic()
        inputs = [
            DetectionInput(
                self, partial(self._on_detections, camera), self._on_time_jump, f"{camera}/{DETECTIONS_TOPIC}"
            )
            for camera in config.cameras
        ]
        self.create_timer(1.0, self.check)
        self.get_logger().info(f"merging {', '.join(each.topic for each in inputs)} in {config.frame}")

    def _on_time_jump(self) -> None:
        self._transforms.clear()
        self._merger.reset()

    def _on_detections(self, camera: str, detected: DetectedObjects) -> None:
        """Merge the tracks of a camera with those of the others."""
        self._heard_s[camera] = time.monotonic()
        sound = tuple(item for item in detected if find_fault(item) is None)[:MAX_TRACKS]
        try:
            T = self._transforms.lookup(self._config.frame, detected.frame_id, detected.stamp_ns, 0.0, "frame")
        except FrameError as error:
            self.diagnostics.count("frames_failed")
            self.diagnostics.warning("scene", f"camera '{camera}': {error}")
            return
        moved = replace(detected, objects=sound).transformed(self._config.frame, T)
        self._merger.add(camera, detected.stamp_ns, moved.objects)
        merged = self._merger.merge()
        if merged is not None:
            self._publish(*merged)

    def _publish(self, stamp_ns: int, matched: list[MatchedTracks]) -> None:
        """Publish merged objects."""
        for each in matched:
            self._offsets.add(each.merged.name, each.cameras)
        tracks: list[TrackedObject] = [each.merged for each in matched]
        self.diagnostics.count("objects_published", len(tracks))
        self.diagnostics.count("objects_of_several_cameras", sum(len(each.cameras) > 1 for each in matched))
        header = Header(stamp=ros_stamp(stamp_ns), frame_id=self._config.frame)
        self._objects.fill(header, tracks, self._config.tf_prefix)
        self._detections.publish(self._objects.detections)
        self._poses.publish(self._objects.poses)
        if self._tf is not None and tracks:
            self._tf.publish(self._objects.transforms)
        if self._marker_array.get_subscription_count():
            poses = self._objects.poses.poses
            self._marker_array.publish(self._markers.update(header, tracks, poses, [], self._config.marker_lifetime_s))

    def check(self) -> None:
        """Report cameras that are silent, and those whose tracks differ."""
        now_s = time.monotonic()
        silent = [
            f"'{camera}' for {now_s - self._heard_s.get(camera, self._started_s):.1f} s"
            for camera in self._config.cameras
            if now_s - self._heard_s.get(camera, self._started_s) > self._config.timeout_s
        ]
        if silent:
            self.diagnostics.warning(
                "silent",
                f"no detections of camera {', '.join(silent)}: check its driver and its pose node; the objects of the "
                "others are merged",
            )
        differences = describe_differences(
            self._offsets.differences(), self._config.max_offset_m, self._config.max_angle_deg
        )
        if differences is not None:
            self.diagnostics.warning("camera_offset", f"cameras {differences}")


def main(arguments: list[str] | None = None) -> int:
    """Run the node; return the exit status."""
    return run_node(MergeNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
