"""Node that plans grasps of a parallel gripper on the detected objects."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from geometry_msgs.msg import PoseArray
from rclpy.qos import QoSProfile
from std_msgs.msg import Header
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from clipose_ros.client.objects import DetectedObjects
from clipose_ros.errors import FrameError
from clipose_ros.manipulation.grasp_planner import GraspScene, plan_grasps
from clipose_ros.manipulation.grasp_rules import GraspRules
from clipose_ros.manipulation.objects import find_fault
from clipose_ros.resources import config_path
from clipose_ros.ros.conversions import ros_stamp
from clipose_ros.ros.detection_input import DetectionInput
from clipose_ros.ros.grasp_config import GraspNodeConfig
from clipose_ros.ros.grasp_messages import grasp_details, grasp_markers, pose_arrays
from clipose_ros.ros.guarded_node import GuardedNode
from clipose_ros.ros.node_process import declare_parameters, run_node
from clipose_ros.ros.table_source import Table, TableSource
from clipose_ros.ros.transforms import Transforms


class GraspNode(GuardedNode):
    """Subscribes to the detections of the pose node and publishes grasps and pre-grasps.

    Publishes ``~/grasps`` and ``~/pregrasps`` (PoseArray, the best first), ``~/details`` (Detection3DArray) and
    ``~/markers``.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters, read the rules, subscribe.

        Args:
            kwargs: Keyword arguments of ``rclpy.node.Node``.

        Raises:
            ConfigError: A parameter or the file of the rules is invalid.
        """
        super().__init__("grasp_node", **kwargs)
        self._config = declare_parameters(self, GraspNodeConfig)
        file = self._config.grasps_file
        self._rules = GraspRules.load(Path(file).expanduser() if file else config_path("grasps.yaml"))
        # Always: the detections may be in another frame than the depth image.
        self._transforms = Transforms(self, "any", report=partial(self.diagnostics.warning, "tf"))
        self._table = TableSource(self, self._config, self._transforms)
        reliable = QoSProfile(depth=5)
        self._grasps = self.create_publisher(PoseArray, "~/grasps", reliable)
        self._pregrasps = self.create_publisher(PoseArray, "~/pregrasps", reliable)
        self._details = self.create_publisher(Detection3DArray, "~/details", reliable)
        self._markers = self.create_publisher(MarkerArray, "~/markers", reliable)
        self._input = DetectionInput(self, self._on_detections, self._on_time_jump)
        with_grasps = ", ".join(name for name, rule in self._rules.categories.items() if rule.kinds)
        self.get_logger().info(f"listening to {self._input.topic}, grasps for {with_grasps or 'no category'}")

    def _on_time_jump(self) -> None:
        self._transforms.clear()
        self._table.clear()

    def _on_detections(self, detected: DetectedObjects) -> None:
        """Plan and publish the grasps of a message."""
        try:
            scene, published = self._make_scene(detected)
        except FrameError as error:
            # Without table or robot a grasp could hit what is not known, so none is published.
            self.diagnostics.count("frames_failed")
            self.diagnostics.warning("scene", str(error))
            return
        wanted = {item.name for item in published if item.score >= self._config.min_object_score}
        grasps = [
            grasp for grasp in plan_grasps(scene, self._rules, self._config.limits) if grasp.object_name in wanted
        ]
        self.diagnostics.count("grasps_published", len(grasps))
        header = Header(stamp=ros_stamp(published.stamp_ns), frame_id=published.frame_id)
        array, before = pose_arrays(header, grasps)
        self._grasps.publish(array)
        self._pregrasps.publish(before)
        self._details.publish(grasp_details(header, grasps, self._rules.gripper))
        if self._markers.get_subscription_count():
            self._markers.publish(
                grasp_markers(header, grasps, self._rules.gripper, scene.table, self._config.marker_lifetime_s)
            )

    def _make_scene(self, detected: DetectedObjects) -> tuple[GraspScene, DetectedObjects]:
        """Return the scene and its objects in the frame of the robot.

        Raises:
            FrameError: A transform or the plane of the table is missing.
        """
        for item in detected:
            fault = find_fault(item)
            if fault is not None:
                self.diagnostics.warning("object", f"an object on '{self._input.topic}' is left out: {fault}")
        sound = replace(detected, objects=tuple(item for item in detected if find_fault(item) is None))
        table = self._table.find(sound) if len(sound) else Table()
        robot_frame = self._config.robot_frame or detected.frame_id
        T = self._transforms.lookup(robot_frame, detected.frame_id, detected.stamp_ns, 0.0, "robot_frame")
        moved = sound.transformed(robot_frame, T)
        table = table.transformed(T)
        return GraspScene(moved.objects, table.plane, table.obstacles), moved


def main(arguments: list[str] | None = None) -> int:
    """Run the node; return the exit status."""
    return run_node(GraspNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
