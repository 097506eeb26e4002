"""The example computes grasps that heed symmetry, and publishes them in the robot's frame over DDS."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from clipose_ros.geometry.se3 import exp_so3, make_transform
from clipose_ros.tracking.covariance import pose_covariance
from clipose_ros.tracking.measurement_noise import estimate_noise

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "grasping_node"
UPRIGHT = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # y of the object up, z of the robot
SIZE = np.array([0.12, 0.09, 0.08])


def load_grasp():
    spec = importlib.util.spec_from_file_location("grasp", FOLDER / "grasp.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["grasp"] = module
    spec.loader.exec_module(module)
    return module


def covariance(R, axial, confidence_x=0.99):
    noise = estimate_noise(SIZE[None], np.array([[0.99, confidence_x]]), np.array([axial]), np.array([0.6])).row(0)
    return pose_covariance(R, noise.position.total, noise.rotation.total)


@pytest.mark.parametrize("yaw", [0.0, 1.0, 2.5])
@pytest.mark.parametrize(("axial", "confidence_x"), [(True, 0.99), (False, 0.01)])
def test_a_free_turn_is_approached_from_the_robots_side(yaw, axial, confidence_x) -> None:
    R = UPRIGHT @ exp_so3([0.0, yaw, 0.0])
    grasp = load_grasp().compute_grasp(make_transform(R, (0.6, 0.3, 0.2)), SIZE, covariance(R, axial, confidence_x))
    direction = np.array([0.6, 0.3, 0.0]) / np.hypot(0.6, 0.3)
    np.testing.assert_allclose(grasp.T_robot_gripper[:3, 2], direction, atol=1e-9)
    assert grasp.opening_m == 0.12


@pytest.mark.parametrize("yaw", [0.0, 1.0, 2.5])
def test_a_visible_handle_points_away_from_the_gripper(yaw) -> None:
    R = UPRIGHT @ exp_so3([0.0, yaw, 0.0])
    grasp = load_grasp().compute_grasp(make_transform(R, (0.6, 0.3, 0.2)), SIZE, covariance(R, axial=False))
    np.testing.assert_allclose(grasp.T_robot_gripper[:3, 2], R[:, 0], atol=1e-9)
    np.testing.assert_allclose(np.abs(grasp.T_robot_gripper[:3, 0] @ R), [0, 0, 1], atol=1e-9)
    assert grasp.opening_m == 0.08
    rotation = grasp.T_robot_gripper[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) > 0


def test_an_axis_through_the_robots_base_still_gives_a_rotation() -> None:
    grasp = load_grasp().compute_grasp(make_transform(UPRIGHT, (0.0, 0.0, 0.5)), SIZE, covariance(UPRIGHT, axial=True))
    assert np.isclose(np.linalg.det(grasp.T_robot_gripper[:3, :3]), 1.0)


def detections(stamp, score=0.9):
    """Detections of an upright mug whose handle the camera sees; the camera looks along the robot's x."""
    from std_msgs.msg import Header

    from clipose_ros.ros.messages import ObjectMessages
    from clipose_ros.types import TrackedObject

    R = np.diag([-1.0, -1.0, 1.0])
    T = make_transform(R, (0.0, 0.0, 0.8))
    item = TrackedObject(1, "mug", T, SIZE, score, covariance(R, axial=False), 1.0, True)
    messages = ObjectMessages()
    messages.fill(Header(stamp=stamp, frame_id="camera"), [item], "")
    return messages.detections


def test_the_node_publishes_a_grasp_in_the_robots_frame(own_domain, tmp_path: Path) -> None:
    rclpy = pytest.importorskip("rclpy")
    from geometry_msgs.msg import PoseStamped, TransformStamped
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from tf2_msgs.msg import TFMessage
    from vision_msgs.msg import Detection3DArray

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=own_domain)
    node, received = rclpy.create_node("tester", context=context), []
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(node)
    static = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    transform = TransformStamped(child_frame_id="camera")
    transform.header.frame_id = "base_link"
    transform.transform.translation.z = 0.4
    rotation = transform.transform.rotation  # camera optical frame of a camera that looks along the robot's x
    rotation.x, rotation.y, rotation.z, rotation.w = -0.5, 0.5, -0.5, 0.5
    node.create_publisher(TFMessage, "/tf_static", static).publish(TFMessage(transforms=[transform]))
    publisher = node.create_publisher(Detection3DArray, "pose_node/detections", 5)
    node.create_subscription(PoseStamped, "grasping_node/grasp", received.append, 5)

    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(FOLDER / "grasping_node.py")], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            end = time.monotonic() + 60.0
            while not received:
                assert process.poll() is None and time.monotonic() < end, (tmp_path / "log").read_text()
                publisher.publish(detections(node.get_clock().now().to_msg()))
                executor.spin_once(timeout_sec=0.1)
        finally:
            process.terminate()
            process.wait(20.0)
            executor.shutdown()
            node.destroy_node()
            rclpy.shutdown(context=context)
    (grasp, *_) = received
    assert grasp.header.frame_id == "base_link"
    position = grasp.pose.position
    np.testing.assert_allclose([position.x, position.y, position.z], [0.8, 0.0, 0.4], atol=1e-6)
    assert "grasp mug_1 at +0.800" in (tmp_path / "log").read_text()
