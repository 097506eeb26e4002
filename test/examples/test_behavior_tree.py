"""The behaviour tree ticks as documented, and its node publishes a goal over DDS."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "behavior_tree"


def load_tree():
    spec = importlib.util.spec_from_file_location("tree", FOLDER / "tree.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Scripted:
    """A leaf with given results."""

    def __init__(self, *results) -> None:
        self.results, self.ticks = list(results), 0

    def tick(self):
        self.ticks += 1
        return self.results.pop(0)


def test_a_sequence_goes_on_where_it_ran_and_a_fallback_tries_the_next() -> None:
    tree = load_tree()
    success, failure, running = tree.Status.SUCCESS, tree.Status.FAILURE, tree.Status.RUNNING
    first, second, third = Scripted(success, success), Scripted(running, success, failure), Scripted(success)
    root = tree.Fallback(tree.Sequence(first, second), third)
    assert [root.tick() for _ in range(3)] == [running, success, success]
    assert (first.ticks, second.ticks, third.ticks) == (2, 3, 1)


def test_the_node_publishes_a_goal_in_the_robots_frame(own_domain, tmp_path: Path) -> None:
    rclpy = pytest.importorskip("rclpy")
    from geometry_msgs.msg import PoseStamped, TransformStamped
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_srvs.srv import Trigger
    from tf2_msgs.msg import TFMessage
    from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=own_domain)
    pose_node, received, frames = rclpy.create_node("pose_node", context=context), [], []
    executor = rclpy.executors.SingleThreadedExecutor(context=context)
    executor.add_node(pose_node)
    static = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    transform = TransformStamped(child_frame_id="camera")
    transform.header.frame_id = "base_link"
    transform.transform.translation.z, transform.transform.rotation.w = 0.4, 1.0
    pose_node.create_publisher(TFMessage, "/tf_static", static).publish(TFMessage(transforms=[transform]))
    detections = pose_node.create_publisher(Detection3DArray, "~/detections", 5)
    pose_node.create_subscription(PoseStamped, "pick_node/goal", received.append, 5)

    def on_request(_, response):
        """Refuse the first frame, find nothing in the second, and a mug in all others."""
        frames.append(len(frames))
        stamp = pose_node.get_clock().now().to_msg()
        count = "0 objects" if frames[-1] == 1 else "1 objects"
        response.success, response.message = frames[-1] > 0, f"{count} at {stamp.sec}.{stamp.nanosec:09}: mug_1"
        message = Detection3DArray()
        message.header.frame_id, message.header.stamp = "camera", stamp
        if frames[-1] > 1:
            mug = Detection3D(id="mug_1", results=[ObjectHypothesisWithPose()])
            mug.results[0].hypothesis.class_id, mug.results[0].hypothesis.score = "mug", 0.9
            mug.bbox.center.position.x, mug.bbox.center.orientation.w = 0.8, 1.0
            message.detections = [mug]
        if frames[-1] > 0:
            detections.publish(message)
        return response

    pose_node.create_service(Trigger, "~/detect_once", on_request)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(FOLDER / "pick_node.py")], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            end = time.monotonic() + 60.0
            while not received:
                assert process.poll() is None and time.monotonic() < end, (tmp_path / "log").read_text()
                executor.spin_once(timeout_sec=0.1)
        finally:
            process.terminate()
            process.wait(20.0)
            executor.shutdown()
            pose_node.destroy_node()
            rclpy.shutdown(context=context)
    (goal, *_) = received
    assert goal.header.frame_id == "base_link"
    np.testing.assert_allclose([goal.pose.position.x, goal.pose.position.z], [0.8, 0.4], atol=1e-6)
    text = (tmp_path / "log").read_text()
    assert "could not process a frame" in text and "no mug: look elsewhere" in text and "reach for mug_1" in text
