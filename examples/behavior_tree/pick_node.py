"""Node with a behaviour tree that looks for an object and publishes where to reach for it."""

from __future__ import annotations

import sys
from pathlib import Path

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time

from clipose_ros.client import DetectedObjects, PoseClient, PoseClientError
from clipose_ros.geometry.se3 import quat_xyzw_from_rotation

sys.path.insert(0, str(Path(__file__).parent))
from tree import Action, Fallback, Sequence, Status


class Detect:
    """Leaf that asks the pose node for one frame; it runs until the frame has arrived.

    Attributes:
        detected: Objects of the newest frame.
    """

    def __init__(self, client: PoseClient, node: Node, timeout_s: float) -> None:
        self._client, self._node, self._timeout_s = client, node, timeout_s
        self._future: Future[DetectedObjects] | None = None
        self.detected: DetectedObjects | None = None

    def tick(self) -> Status:
        """Ask, or see whether the answer is there; a tick never waits."""
        if self._future is None:
            self._future = self._client.detect_once_async(self._timeout_s)
        if not self._future.done():
            return Status.RUNNING
        future, self._future = self._future, None
        try:
            self.detected = future.result()
        except PoseClientError as error:
            self._node.get_logger().warning(str(error), throttle_duration_sec=5.0)
            return Status.FAILURE
        return Status.SUCCESS


class PickNode(Node):
    """Publishes ``~/goal`` (PoseStamped) for the best object of the category, each time that the tree succeeds."""

    def __init__(self) -> None:
        super().__init__("pick_node")
        self._category = self.declare_parameter("category", "mug").value
        self._min_score = self.declare_parameter("min_score", 0.5).value
        robot_frame = self.declare_parameter("robot_frame", "base_link").value
        self.client = PoseClient(self)
        self._detect = Detect(self.client.in_frame(robot_frame), self, timeout_s=10.0)
        self._publisher = self.create_publisher(PoseStamped, "~/goal", 1)
        self._tree = Fallback(Sequence(self._detect, Action(self._publish_goal)), Action(self._look_elsewhere))
        self.create_timer(0.1, self._tree.tick)

    def _publish_goal(self) -> bool:
        """Publish the pose of the best object; return False if there is none."""
        detected = self._detect.detected
        if detected is None or not (found := detected.select(self._category, self._min_score).objects):
            return False
        best = found[0]
        goal = PoseStamped()
        goal.header.frame_id, goal.header.stamp = detected.frame_id, Time(nanoseconds=detected.stamp_ns).to_msg()
        position, orientation = goal.pose.position, goal.pose.orientation
        position.x, position.y, position.z = best.position.tolist()
        turn = quat_xyzw_from_rotation(best.T_frame_object[:3, :3])
        orientation.x, orientation.y, orientation.z, orientation.w = turn.tolist()
        self._publisher.publish(goal)
        self.get_logger().info(f"reach for {best.name} at {best.position.round(3).tolist()} m in {detected.frame_id}")
        return True

    def _look_elsewhere(self) -> bool:
        """Stand in for a motion of the camera."""
        self.get_logger().info(f"no {self._category}: look elsewhere", throttle_duration_sec=5.0)
        return True


def main() -> None:
    """Run the node."""
    rclpy.init()
    node = PickNode()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.client.close()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
