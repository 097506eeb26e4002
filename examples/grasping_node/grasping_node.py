"""Node that turns the detections of the pose node into grasp poses in the robot's frame."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.time import Time
from tf2_ros import Buffer, TransformException, TransformListener
from vision_msgs.msg import Detection3D, Detection3DArray

from clipose_ros.geometry.se3 import rotate_covariance
from clipose_ros.ros.conversions import read_transform
from clipose_ros.ros.messages import pose as pose_message

sys.path.insert(0, str(Path(__file__).parent))
from grasp import compute_grasp


class GraspingNode(Node):
    """Publishes ``~/grasp`` (PoseStamped) for the best detection of each message that is certain enough."""

    def __init__(self) -> None:
        super().__init__("grasping_node")
        self._robot_frame = self.declare_parameter("robot_frame", "base_link").value
        self._category = self.declare_parameter("category", "").value  # empty: any
        self._min_score = self.declare_parameter("min_score", 0.5).value
        self._max_deviation_m = self.declare_parameter("max_deviation_m", 0.03).value
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, self)
        self._publisher = self.create_publisher(PoseStamped, "~/grasp", 1)
        self.create_subscription(Detection3DArray, "pose_node/detections", self._on_detections, 5)

    def _on_detections(self, message: Detection3DArray) -> None:
        candidates = [detection for detection in message.detections if self._is_certain(detection)]
        if not candidates:
            return
        best = max(candidates, key=lambda detection: detection.results[0].hypothesis.score)
        header = message.header
        try:  # the transform at the time of the image, not the newest one: the camera may move
            found = self._buffer.lookup_transform(self._robot_frame, header.frame_id, Time.from_msg(header.stamp))
        except TransformException as error:
            self.get_logger().warning(f"no grasp: {error}", throttle_duration_sec=5.0)
            return
        T_robot_camera = read_transform(found.transform.translation, found.transform.rotation)
        T_robot_object = T_robot_camera @ read_transform(best.bbox.center.position, best.bbox.center.orientation)
        covariance = rotate_covariance(_covariance(best), T_robot_camera[:3, :3])
        size = best.bbox.size
        grasp = compute_grasp(T_robot_object, np.array([size.x, size.y, size.z]), covariance)

        stamped = PoseStamped(pose=pose_message(grasp.T_robot_gripper))
        stamped.header.stamp, stamped.header.frame_id = header.stamp, self._robot_frame
        self._publisher.publish(stamped)
        x, y, z = grasp.T_robot_gripper[:3, 3]
        approach = " ".join(f"{value:+.2f}" for value in grasp.T_robot_gripper[:3, 2])
        self.get_logger().info(
            f"grasp {best.id} at {x:+.3f} {y:+.3f} {z:+.3f} m in {self._robot_frame}, approach {approach}, "
            f"opening {100 * grasp.opening_m:.1f} cm"
        )

    def _is_certain(self, detection: Detection3D) -> bool:
        """Return True if category, score and position deviation of a detection meet the parameters."""
        hypothesis = detection.results[0].hypothesis
        deviation_m = np.sqrt(np.diag(_covariance(detection))[:3].max())
        right_category = self._category in ("", hypothesis.class_id)
        return bool(right_category and hypothesis.score >= self._min_score and deviation_m <= self._max_deviation_m)


def _covariance(detection: Detection3D) -> NDArray[np.float64]:
    """Return the covariance ``(6, 6)`` of a detection's pose in the frame of its header."""
    return np.array(detection.results[0].pose.covariance).reshape(6, 6)


def main() -> None:
    """Run the node."""
    rclpy.init()
    node = GraspingNode()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
