"""Node that keeps the detected objects in the planning scene of MoveIt."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from moveit_msgs.msg import AttachedCollisionObject, CollisionObject, PlanningScene
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from clipose_ros.client.objects import DetectedObjects
from clipose_ros.manipulation.collision_scene import CollisionScene
from clipose_ros.manipulation.grasp_rules import GraspRules
from clipose_ros.manipulation.objects import find_fault
from clipose_ros.resources import config_path
from clipose_ros.ros.collision_config import CollisionNodeConfig
from clipose_ros.ros.collision_messages import AttachedObjects, collision_object
from clipose_ros.ros.conversions import ros_stamp
from clipose_ros.ros.detection_input import DetectionInput
from clipose_ros.ros.guarded_node import GuardedNode
from clipose_ros.ros.node_process import declare_parameters

_QUEUE = 100


class CollisionObjectsNode(GuardedNode):
    """Subscribes to the detections of the pose node and publishes ``collision_object`` messages.

    Follows ``attached_collision_object`` and ``monitored_planning_scene``, to leave attached objects alone.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Declare parameters, read the rules, subscribe.

        Args:
            kwargs: Keyword arguments of ``rclpy.node.Node``.

        Raises:
            ConfigError: A parameter or the file of the rules is invalid.
        """
        super().__init__("collision_objects_node", **kwargs)
        self._config = declare_parameters(self, CollisionNodeConfig)
        file = self._config.grasps_file
        rules = GraspRules.load(Path(file).expanduser() if file else config_path("grasps.yaml"))
        self._scene = CollisionScene(rules.categories, self._config.limits)
        self._attached = AttachedObjects()
        self._due_s = 0.0
        self._listeners = 0
        # A change that is lost is missing until the next refresh, so many are kept.
        self._publisher = self.create_publisher(CollisionObject, "collision_object", QoSProfile(depth=_QUEUE))
        self.create_subscription(
            AttachedCollisionObject, "attached_collision_object", self._on_attached, QoSProfile(depth=_QUEUE)
        )
        self.create_subscription(
            PlanningScene, "monitored_planning_scene", self._on_planning_scene, QoSProfile(depth=_QUEUE)
        )
        self._input = DetectionInput(self, self._on_detections, self._scene.forget)
        self.get_logger().info(f"listening to {self._input.topic}, publishing to {self._publisher.topic_name}")

    @property
    def attached_names(self) -> frozenset[str]:
        """Return the ids of the objects that the robot carries."""
        return self._attached.names

    def _on_attached(self, message: AttachedCollisionObject) -> None:
        self._attached.apply(message)
        self._tell_attached()

    def _on_planning_scene(self, message: PlanningScene) -> None:
        self._attached.follow(message)
        self._tell_attached()

    def _tell_attached(self) -> None:
        """Pass on the names of attached objects without the prefix."""
        prefix = self._config.id_prefix
        names = frozenset(name.removeprefix(prefix) for name in self._attached.names if name.startswith(prefix))
        self._scene.set_attached(names, time.monotonic())

    def _on_detections(self, detected: DetectedObjects) -> None:
        """Publish the changes, at most at the rate of the settings."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + 1.0 / self._config.rate_hz
        listeners = self._publisher.get_subscription_count()
        if listeners > self._listeners:  # a planner that has just been started knows nothing
            self._scene.forget()
        self._listeners = listeners
        for item in detected:
            fault = find_fault(item)
            if fault is not None:
                self.diagnostics.warning("object", f"an object on '{self._input.topic}' is left out: {fault}")
        header = Header(stamp=ros_stamp(detected.stamp_ns), frame_id=detected.frame_id)
        for change in self._scene.update(detected.objects, now_s):
            named = replace(change, name=self._config.id_prefix + change.name)
            self._publisher.publish(collision_object(header, named))
            self.diagnostics.count("objects_removed" if change.T_frame_object is None else "objects_added")
