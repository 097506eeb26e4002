"""The grasp node over real DDS: grasps of detections, the table from depth or TF, and messages that are wrong."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import PoseArray, TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import Marker, MarkerArray

from clipose_ros.errors import ConfigError
from clipose_ros.geometry.se3 import invert_transform, transform_points
from clipose_ros.ros.conversions import camera_info_message, image_message, read_transform, ros_stamp
from clipose_ros.ros.grasp_node import GraspNode
from clipose_ros.types import CameraIntrinsics

sys.path.insert(0, str(Path(__file__).parent))
from detections import START_NS, detections, garbage, track

STEP_NS = 33_000_000


class Arm:
    """Publishes detections to a grasp node and keeps what it answers."""

    def __init__(self, ros, run_guarded, **settings) -> None:
        self.ros = ros
        self.running = run_guarded(GraspNode, **{"table__source": "none", **settings})
        self.diagnostics = self.running.node.diagnostics
        self.grasps = ros.listen(PoseArray, "grasp_node/grasps")
        self.pregrasps = ros.listen(PoseArray, "grasp_node/pregrasps")
        self.details = ros.listen(Detection3DArray, "grasp_node/details")
        self.markers = ros.listen(MarkerArray, "grasp_node/markers")
        self.publisher = ros.node.create_publisher(Detection3DArray, "pose_node/detections", 10)
        outputs = ("grasps", "pregrasps", "details", "markers")
        ros.wait_for(
            lambda: (
                self.publisher.get_subscription_count()
                and all(ros.node.count_publishers(f"grasp_node/{name}") for name in outputs)
            ),
            "the grasp node",
        )
        self.stamp_ns = START_NS

    def send(self, tracks, frame_id: str = "world") -> int:
        self.stamp_ns += STEP_NS
        self.publisher.publish(detections(tracks, self.stamp_ns, frame_id))
        return self.stamp_ns

    def ask(self, tracks, frame_id: str = "world") -> PoseArray:
        """Publish detections until grasps with the stamp of one of them come."""
        first = self.stamp_ns
        return self.ros.wait_for(
            lambda: next((m for m in self.grasps if _ns(m.header) > first), None),
            "grasps",
            lambda: self.send(tracks, frame_id),
        )

    def answer(self, kind: str, to: PoseArray):
        """The message of another topic with the stamp of grasps."""
        return self.ros.wait_for(
            lambda: next((m for m in getattr(self, kind) if m.header.stamp == to.header.stamp), None), kind
        )

    def counters(self) -> dict[str, int]:
        return self.diagnostics.counters()


def _ns(header: Header) -> int:
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


def matrices(array: PoseArray) -> np.ndarray:
    return np.array([read_transform(p.position, p.orientation) for p in array.poses]).reshape(-1, 4, 4)


def test_grasps_and_pregrasps_of_the_objects(ros, run_guarded):
    arm = Arm(ros, run_guarded)
    grasps = arm.ask([track("can", (0.5, 0.0)), track("bowl", (0.5, 0.5), 7), track("laptop", (1.5, 0.0))])
    pregrasps, details = arm.answer("pregrasps", grasps), arm.answer("details", grasps)
    assert grasps.header.frame_id == pregrasps.header.frame_id == "world"
    assert 0 < len(grasps.poses) == len(pregrasps.poses) == len(details.detections)
    assert {item.id for item in details.detections} == {"can_1", "bowl_7"}
    scores = [item.results[0].hypothesis.score for item in details.detections]
    assert scores == sorted(scores, reverse=True) and 0.0 < scores[-1] <= scores[0] <= 0.9
    steps = invert_transform(matrices(pregrasps)) @ matrices(grasps)
    np.testing.assert_allclose(steps[:, :3, 3], np.tile([0.0, 0.0, 0.1], (len(steps), 1)), atol=1e-9)
    can = next(item for item in details.detections if item.id == "can_1")
    assert can.results[0].hypothesis.class_id in ("side", "top")
    assert 0.066 < can.bbox.size.y <= 0.08, "the fingers open wider than the can"


def test_markers_show_the_grasps_of_this_frame_alone(ros, run_guarded):
    arm = Arm(ros, run_guarded)
    ros.wait_for(lambda: arm.markers, "markers", lambda: arm.send([track("can", (0.5, 0.0))]))
    first, *others = arm.markers[-1].markers
    assert first.action == Marker.DELETEALL
    assert {marker.ns for marker in others} == {"grasps", "best"}
    assert all(marker.lifetime.sec == 1 and marker.header.frame_id == "world" for marker in others)
    lines = next(marker for marker in others if marker.ns == "grasps")
    assert len(lines.points) == len(lines.colors) > 0


def test_no_objects_give_empty_arrays(ros, run_guarded):
    arm = Arm(ros, run_guarded)
    assert not arm.ask([]).poses


def test_objects_with_a_low_score_are_avoided_but_not_grasped(ros, run_guarded):
    arm = Arm(ros, run_guarded, max_per_object=100)
    can, beside = track("can", (0.5, 0.0)), replace(track("can", (0.57, 0.0), 2), score=0.1)
    alone = len(arm.ask([can]).poses)
    both = arm.ask([can, beside])
    details = arm.answer("details", both)
    assert {item.id for item in details.detections} == {"can_1"} and len(both.poses) < alone


def publish_transform(ros, parent: str, child: str, z: float) -> None:
    stamped = TransformStamped(header=Header(frame_id=parent), child_frame_id=child)
    stamped.transform.translation.z, stamped.transform.rotation.w = z, 1.0
    profile = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    ros.static = ros.node.create_publisher(TFMessage, "/tf_static", profile)
    ros.static.publish(TFMessage(transforms=[stamped]))


def test_robot_frame_and_table_frame_come_from_tf(ros, run_guarded):
    """The base lies 1 m below the world's origin, and the table is the xy plane of the base, raised by 1.04 m."""
    publish_transform(ros, "base", "world", 1.0)
    arm = Arm(
        ros, run_guarded, robot_frame="base", table__source="frame", table__frame="base", table__height_m=1.04,
        max_approach_deg=180.0, max_per_object=100,
    )  # fmt: skip
    grasps = arm.ask([track("can", (0.5, 0.0))])
    assert grasps.header.frame_id == "base" and grasps.poses
    heights = matrices(grasps)[:, 2, 3]
    assert heights.min() > 1.04, "the can's lower third lies below the table"


def test_missing_transform_publishes_nothing_and_is_reported(ros, run_guarded):
    arm = Arm(ros, run_guarded, robot_frame="base")
    ros.wait_for(
        lambda: arm.counters().get("frames_failed", 0) >= 2, "the report", lambda: arm.send([track("can", (0.5, 0.0))])
    )
    assert not arm.grasps
    status = arm.diagnostics.status("x", "", {"state": "active"})
    assert "robot_frame" in status.message and status.level != status.OK


def test_table_is_fitted_to_the_depth_image(ros, run_guarded):
    """A camera 0.8 m above the table looks straight down; its frame is that of the detections."""
    arm = Arm(ros, run_guarded, table__source="depth", max_approach_deg=180.0, max_per_object=100)
    camera = CameraIntrinsics(300.0, 300.0, 159.5, 119.5, 320, 240)
    depth_topic = ros.node.create_publisher(Image, "depth_registered/image_rect", qos_profile_sensor_data)
    info_topic = ros.node.create_publisher(CameraInfo, "rgb/camera_info", qos_profile_sensor_data)
    ros.wait_for(lambda: depth_topic.get_subscription_count() and info_topic.get_subscription_count(), "the node")
    depth = np.full((240, 320), 0.8, np.float32)
    T_camera_world = np.eye(4)
    T_camera_world[:3, :3], T_camera_world[2, 3] = np.diag([1.0, -1.0, -1.0]), 0.8
    can = track("can", (0.0, 0.0))
    can = replace(can, T_frame_object=T_camera_world @ can.T_frame_object)

    def send() -> None:
        arm.stamp_ns += STEP_NS
        header = Header(stamp=ros_stamp(arm.stamp_ns), frame_id="optical")
        info_topic.publish(camera_info_message(camera, header))
        depth_topic.publish(image_message(depth, "32FC1", header))
        arm.publisher.publish(detections([can], arm.stamp_ns, "optical"))

    ros.wait_for(lambda: arm.grasps and arm.grasps[-1].poses, "grasps", send)
    gripper_tips = transform_points(matrices(arm.grasps[-1]), np.array([[0.0, 0.0, 0.009]]))[:, 0]
    assert gripper_tips[:, 2].max() <= 0.8 - 0.005 + 1e-3, "the tips stay 5 mm above the table"
    ros.wait_for(lambda: arm.markers and any(m.ns == "table" for m in arm.markers[-1].markers), "its marker", send)
    table = next(m for m in arm.markers[-1].markers if m.ns == "table")
    assert table.pose.position.z == pytest.approx(0.8, abs=0.002)


def test_without_depth_nothing_is_published(ros, run_guarded):
    arm = Arm(ros, run_guarded, table__source="depth")
    ros.wait_for(
        lambda: arm.counters().get("frames_failed", 0), "the report", lambda: arm.send([track("can", (0.5, 0.0))])
    )
    assert not arm.grasps
    message = arm.diagnostics.status("x", "", {"state": "active"}).message
    assert "no message on '/depth_registered/image_rect'" in message and "table.source" in message


def test_garbage_does_not_end_the_node(ros, run_guarded):
    arm = Arm(ros, run_guarded, robot_frame="world")
    for name, message in garbage().items():
        before = arm.counters()["frames_received"]
        ros.wait_for(
            lambda before=before: arm.counters()["frames_received"] > before, name,
            lambda message=message: arm.publisher.publish(message), every_s=1.0,
        )  # fmt: skip
    assert arm.ask([track("can", (0.5, 0.0))]).poses
    problems = [value.key for value in arm.diagnostics.status("x", "", {"state": ""}).values if "callback" in value.key]
    assert not problems, "no exception was unexpected"


def test_settings_that_cannot_be_are_named(ros, run_guarded, tmp_path):
    broken = tmp_path / "grasps.yaml"
    broken.write_text("categories: {mug: {kinds: [sideways]}}")
    for settings, words in (
        ({"table__source": "frame"}, "table.frame"),
        ({"grasps_file": str(tmp_path / "none.yaml")}, "none.yaml"),
        ({"grasps_file": str(broken)}, "kinds.*sideways"),
    ):
        with pytest.raises(ConfigError, match=words):
            run_guarded(GraspNode, **settings)
