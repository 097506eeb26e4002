"""The merge node over real DDS: two and three cameras around one table, one that fails, and one that is turned."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray

from clipose_ros.client.objects import read_detections
from clipose_ros.errors import ConfigError
from clipose_ros.geometry.se3 import (
    exp_se3,
    invert_transform,
    make_transform,
    quat_xyzw_from_rotation,
    rotate_covariance,
)
from clipose_ros.ros.merge_node import MergeNode
from clipose_ros.tracking.camera_offsets import MIN_SAMPLES

sys.path.insert(0, str(Path(__file__).parent))
from detections import START_NS, detections, garbage, track

OBJECTS = [track("mug", (0.1, 0.2), 1), track("bowl", (-0.2, 0.1), 1), track("can", (0.0, -0.25), 1)]
COVARIANCE = np.diag([0.004**2] * 3 + [0.03**2] * 3)


def camera_pose(azimuth: float) -> np.ndarray:
    """A camera at the edge of the table, which looks at its centre from above."""
    direction = np.array([np.cos(azimuth), np.sin(azimuth), 0.8])
    z = -direction / np.linalg.norm(direction)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    return make_transform(np.stack([x, np.cross(z, x), z], axis=1), 0.9 * direction)


class Table:
    """Cameras around a table. Each sees the objects with errors of its own; its pose in TF may be wrong."""

    def __init__(self, ros, run_guarded, azimuths: dict[str, float], wrong=None, **settings) -> None:
        self.ros, self.rng = ros, np.random.default_rng(0)
        self.poses = {name: camera_pose(azimuth) for name, azimuth in azimuths.items()}
        self.running = run_guarded(MergeNode, cameras=list(azimuths), **settings)
        self.diagnostics = self.running.node.diagnostics
        self.received = ros.listen(Detection3DArray, "merge_node/detections")
        self.publishers = {
            name: ros.node.create_publisher(Detection3DArray, f"{name}/pose_node/detections", 10) for name in azimuths
        }
        profile = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.static = ros.node.create_publisher(TFMessage, "/tf_static", profile)
        self.static.publish(TFMessage(transforms=[self._transform(name, wrong or {}) for name in azimuths]))
        ros.wait_for(
            lambda: (
                all(p.get_subscription_count() for p in self.publishers.values())
                and self.static.get_subscription_count()
                and ros.node.count_publishers("merge_node/detections")
            ),
            "the node",
        )
        self.stamp_ns = START_NS

    def _transform(self, name: str, wrong: dict[str, list[float]]) -> TransformStamped:
        T = exp_se3(wrong[name]) @ self.poses[name] if name in wrong else self.poses[name]
        stamped = TransformStamped(header=Header(frame_id="world"), child_frame_id=f"{name}_optical")
        moved, turned = stamped.transform.translation, stamped.transform.rotation
        moved.x, moved.y, moved.z = T[:3, 3].tolist()
        turned.x, turned.y, turned.z, turned.w = quat_xyzw_from_rotation(T[:3, :3]).tolist()
        return stamped

    def see(self, hidden: dict[str, set[str]] | None = None, silent: tuple[str, ...] = ()) -> None:
        """All cameras take an image, some milliseconds apart; they number their tracks differently."""
        self.stamp_ns += 33_000_000
        for k, (name, T_world_camera) in enumerate(self.poses.items()):
            if name in silent:
                continue
            T = invert_transform(T_world_camera)
            tracks = []
            for number, item in enumerate(OBJECTS):
                if item.name in (hidden or {}).get(name, set()):
                    continue
                error = self.rng.multivariate_normal(np.zeros(6), COVARIANCE)
                T_world_object = item.T_frame_object.copy()
                T_world_object[:3, 3] += error[:3]
                covariance = rotate_covariance(COVARIANCE, T[:3, :3])
                tracks.append(
                    replace(item, track_id=number + 10 * k, T_frame_object=T @ T_world_object, covariance=covariance)
                )
            message = detections(tracks, self.stamp_ns + 3_000_000 * k, f"{name}_optical")
            self.publishers[name].publish(message)

    def wait_for(self, condition, what: str, **seen) -> None:
        self.ros.wait_for(condition, what, lambda: self.see(**seen))

    def newest(self) -> dict[str, np.ndarray]:
        """Position of each object of the newest message, by its name."""
        return {item.name: item.position for item in read_detections(self.received[-1])} if self.received else {}

    def problem(self, kind: str) -> str:
        values = self.diagnostics.status("x", "", {"state": ""}).values
        return next((value.value for value in values if value.key == f"problem.{kind}"), "")

    def counter(self, name: str) -> int:
        return self.diagnostics.counters().get(name, 0)


TWO = {"left": 0.4, "right": 2.4}
THREE = {**TWO, "back": 4.5}


def test_two_cameras_give_one_object_each_in_the_common_frame(ros, run_guarded):
    table = Table(ros, run_guarded, TWO)
    table.wait_for(lambda: table.counter("objects_of_several_cameras") >= 30, "objects of both cameras")
    assert table.received[-1].header.frame_id == "world"
    names = {frozenset(item.id for item in message.detections) for message in table.received[3:]}
    assert len(names) == 1 and len(next(iter(names))) == 3, "one id an object"
    found = {name.rpartition("_")[0]: position for name, position in table.newest().items()}
    for item in OBJECTS:
        assert np.linalg.norm(found[item.category] - item.T_frame_object[:3, 3]) < 0.02
    merged = read_detections(table.received[-1])
    assert all(np.trace(item.covariance[:3, :3]) < np.trace(COVARIANCE[:3, :3]) for item in merged)


def test_an_object_that_one_camera_cannot_see_is_kept_with_its_id(ros, run_guarded):
    table = Table(ros, run_guarded, TWO)
    table.wait_for(lambda: len(table.newest()) == 3, "all objects")
    before, seen = set(table.newest()), len(table.received)
    table.wait_for(
        lambda: len(table.received) >= seen + 10, "images", hidden={"left": {"mug_1"}, "right": {"can_1", "bowl_1"}}
    )
    assert set(table.newest()) == before
    table.wait_for(lambda: len(table.newest()) == 2, "the mug is gone", hidden={"left": {"mug_1"}, "right": {"mug_1"}})


def test_a_camera_that_drops_out_is_told_with_the_time_and_the_others_go_on(ros, run_guarded):
    table = Table(ros, run_guarded, THREE, timeout_s=0.3)
    table.wait_for(lambda: len(table.newest()) == 3, "all objects")
    table.wait_for(lambda: "'back' for" in table.problem("silent"), "the report", silent=("back",))
    assert "'left'" not in table.problem("silent").rpartition("ago:")[2]
    seen = len(table.received)
    table.wait_for(lambda: len(table.received) > seen + 5, "merged objects", silent=("back",))
    assert len(table.newest()) == 3


@pytest.mark.parametrize(
    ("twist", "words"),
    [([0.05, 0.0, 0.0, 0.0, 0.0, 0.0], "cm and"), ([0.0, 0.0, 0.0, 0.0, 0.0, np.radians(5.0)], "degrees")],
)
def test_a_camera_with_a_wrong_calibration_is_named_with_the_figures(ros, run_guarded, twist, words):
    table = Table(ros, run_guarded, THREE, wrong={"back": twist})
    table.wait_for(lambda: "calibrate 'back' again" in table.problem("camera_offset"), "the report")
    text = table.problem("camera_offset")
    assert words in text
    if twist[0]:
        assert any(f"differ by {figure} cm" in text for figure in ("4.8", "4.9", "5.0", "5.1", "5.2"))
    else:
        assert any(f"and {figure} degrees" in text for figure in np.round(np.arange(4.3, 5.8, 0.1), 1))


def test_cameras_that_agree_are_not_reported(ros, run_guarded):
    table = Table(ros, run_guarded, THREE)
    table.wait_for(lambda: table.counter("objects_of_several_cameras") >= 2 * MIN_SAMPLES, "common objects")
    table.running.node.check()
    assert not table.problem("camera_offset")


def test_garbage_does_not_end_the_node(ros, run_guarded):
    table = Table(ros, run_guarded, TWO)
    messages = garbage()
    del messages["crowd"]  # the input is that of the grasp node
    for name, message in messages.items():
        before = table.counter("frames_received")
        ros.wait_for(
            lambda before=before: table.counter("frames_received") > before, name,
            lambda message=message: table.publishers["left"].publish(message), every_s=1.0,
        )  # fmt: skip
    table.wait_for(lambda: len(table.newest()) == 3, "objects")
    values = table.diagnostics.status("x", "", {"state": ""}).values
    assert not [value.key for value in values if "callback" in value.key], "no exception was unexpected"


@pytest.mark.parametrize("settings", [{}, {"cameras": ["left", "left"]}, {"cameras": ["left"], "frame": ""}])
def test_settings_that_cannot_be_are_named(ros, run_guarded, settings):
    with pytest.raises(ConfigError, match="cameras|frame"):
        run_guarded(MergeNode, **settings)
