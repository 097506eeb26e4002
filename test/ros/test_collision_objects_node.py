"""The node of collision objects over real DDS: objects come, go, are attached and put down, as a planner sees it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from moveit_msgs.msg import AttachedCollisionObject, CollisionObject, PlanningScene
from shape_msgs.msg import SolidPrimitive
from vision_msgs.msg import Detection3DArray

from clipose_ros.errors import ConfigError
from clipose_ros.ros.collision_objects_node import CollisionObjectsNode
from clipose_ros.ros.conversions import read_transform

sys.path.insert(0, str(Path(__file__).parent))
from detections import START_NS, detections, garbage, track

CAN, BOWL, MUG = track("can", (0.5, 0.0)), track("bowl", (0.5, 0.5), 7), track("mug", (0.2, 0.3), 3)


class Planner:
    """A planning scene: what MoveIt would hold after the messages, and the robot's hand."""

    def __init__(self, ros, run_guarded, **settings) -> None:
        self.ros = ros
        self.messages = ros.listen(CollisionObject, "collision_object")
        fast = {"rate_hz": 100.0, "remove_after_s": 0.05}
        self.running = run_guarded(CollisionObjectsNode, **(fast | settings))
        self.diagnostics = self.running.node.diagnostics
        self.detections = ros.node.create_publisher(Detection3DArray, "pose_node/detections", 10)
        self.attached = ros.node.create_publisher(AttachedCollisionObject, "attached_collision_object", 10)
        self.scene = ros.node.create_publisher(PlanningScene, "monitored_planning_scene", 10)
        ros.wait_for(
            lambda: (
                all(p.get_subscription_count() for p in (self.detections, self.attached, self.scene))
                and ros.node.count_publishers("collision_object")
            ),
            "the node",
        )
        self.stamp_ns = START_NS

    @property
    def world(self) -> dict[str, CollisionObject]:
        objects: dict[str, CollisionObject] = {}
        for message in self.messages:
            if message.operation == CollisionObject.ADD:
                objects[message.id] = message
            else:
                assert message.operation == CollisionObject.REMOVE
                objects.pop(message.id, None)
        return objects

    def see(self, *tracks) -> None:
        self.stamp_ns += 33_000_000
        self.detections.publish(detections(tracks, self.stamp_ns))

    def wait_for(self, names: set[str], *tracks) -> None:
        self.ros.wait_for(
            lambda: set(self.world) == names, f"{names}, got {set(self.world)}", lambda: self.see(*tracks)
        )

    def processed(self) -> int:
        return self.diagnostics.counters().get("frames_processed", 0)

    def see_for_a_while(self, *tracks) -> None:
        """Send detections until ten more were processed."""
        end = self.processed() + 10
        self.ros.wait_for(lambda: self.processed() >= end, "frames", lambda: self.see(*tracks))

    def attach(self, name: str, operation: bytes = CollisionObject.ADD, link: str = "hand") -> None:
        self.attached.publish(
            AttachedCollisionObject(link_name=link, object=CollisionObject(id=name, operation=operation))
        )


def known_attached(planner: Planner, names: set[str]) -> None:
    planner.ros.wait_for(lambda: planner.running.node.attached_names == names, f"attached {names}")


def test_objects_of_all_shapes_come_with_stable_ids(ros, run_guarded):
    planner = Planner(ros, run_guarded, margin_m=0.01)
    laptop = track("laptop", (1.0, 1.0), 2)
    planner.wait_for({"can_1", "bowl_7", "mug_3", "laptop_2"}, CAN, BOWL, MUG, laptop)
    can, mug, box = (planner.world[name] for name in ("can_1", "mug_3", "laptop_2"))
    assert can.header.frame_id == "world"
    np.testing.assert_allclose(read_transform(can.pose.position, can.pose.orientation), CAN.T_frame_object, atol=1e-9)
    (cylinder,) = can.primitives
    assert cylinder.type == SolidPrimitive.CYLINDER
    height, radius = cylinder.dimensions
    assert 0.12 + 0.02 <= height <= 0.12 + 0.04 and 0.033 + 0.01 <= radius <= 0.033 + 0.02
    inner = read_transform(can.primitive_poses[0].position, can.primitive_poses[0].orientation)
    np.testing.assert_allclose(inner[:3, 2], [0.0, 1.0, 0.0], atol=1e-9, err_msg="the cylinder stands along y")
    assert [p.type for p in mug.primitives] == [SolidPrimitive.CYLINDER, SolidPrimitive.BOX]
    assert [p.type for p in box.primitives] == [SolidPrimitive.BOX]
    assert (np.array(box.primitives[0].dimensions) >= np.array([0.3, 0.2, 0.3]) + 0.02).all()


def test_lost_objects_are_removed_and_unchanged_ones_are_not_repeated(ros, run_guarded):
    planner = Planner(ros, run_guarded, id_prefix="seen/")
    planner.wait_for({"seen/can_1", "seen/bowl_7"}, CAN, BOWL)
    planner.wait_for({"seen/can_1"}, CAN)
    before = len(planner.messages)
    planner.see_for_a_while(CAN)
    assert len(planner.messages) == before, "nothing changed"
    moved = replace(CAN, T_frame_object=track("can", (0.52, 0.0)).T_frame_object)
    ros.wait_for(
        lambda: planner.world["seen/can_1"].pose.position.x == pytest.approx(0.52), "the motion",
        lambda: planner.see(moved),
    )  # fmt: skip


def test_attached_objects_are_left_alone_until_they_are_put_down(ros, run_guarded):
    planner = Planner(ros, run_guarded)
    planner.wait_for({"can_1", "mug_3"}, CAN, MUG)
    planner.attach("mug_3")
    known_attached(planner, {"mug_3"})
    before = len(planner.messages)
    lifted = replace(MUG, T_frame_object=track("mug", (0.2, 0.6)).T_frame_object)
    planner.see_for_a_while(CAN, lifted)
    planner.see_for_a_while(CAN)  # its track is lost
    assert len(planner.messages) == before
    planner.attach("mug_3", CollisionObject.REMOVE)
    known_attached(planner, set())
    ros.wait_for(
        lambda: any(m.id == "mug_3" for m in planner.messages[before:]), "the mug", lambda: planner.see(CAN, lifted)
    )
    assert planner.world["mug_3"].pose.position.y == pytest.approx(0.6)


def test_attached_objects_are_known_from_the_planning_scene(ros, run_guarded):
    planner = Planner(ros, run_guarded)
    held = AttachedCollisionObject(link_name="hand", object=CollisionObject(id="mug_3"))
    scene = PlanningScene(is_diff=True)
    scene.robot_state.is_diff = True
    scene.robot_state.attached_collision_objects = [held]
    planner.scene.publish(scene)
    known_attached(planner, {"mug_3"})
    planner.wait_for({"can_1"}, CAN, MUG)
    scene.robot_state.attached_collision_objects = []
    planner.scene.publish(scene)  # a difference that says nothing about them
    planner.see_for_a_while(CAN, MUG)
    assert set(planner.world) == {"can_1"}
    planner.scene.publish(PlanningScene(is_diff=False))  # a whole scene without attached objects
    planner.wait_for({"can_1", "mug_3"}, CAN, MUG)


def test_detaching_a_link_detaches_all_its_objects(ros, run_guarded):
    planner = Planner(ros, run_guarded)
    planner.attach("mug_3")
    planner.attach("can_1", link="tray")
    known_attached(planner, {"mug_3", "can_1"})
    planner.attach("", CollisionObject.REMOVE, link="hand")
    known_attached(planner, {"can_1"})


def test_updates_are_limited_to_the_rate(ros, run_guarded):
    """At one update in 100 s, only the first message changes the scene."""
    planner = Planner(ros, run_guarded, rate_hz=0.01)
    planner.wait_for({"can_1"}, CAN)
    planner.see_for_a_while(BOWL)
    assert set(planner.world) == {"can_1"}


def test_a_planner_that_starts_later_gets_the_objects(ros, run_guarded):
    planner = Planner(ros, run_guarded)
    planner.wait_for({"can_1"}, CAN)
    late = ros.listen(CollisionObject, "collision_object")
    ros.wait_for(lambda: any(message.id == "can_1" for message in late), "the can", lambda: planner.see(CAN))


def test_garbage_does_not_end_the_node(ros, run_guarded):
    planner = Planner(ros, run_guarded)
    messages = garbage()
    del messages["crowd"]  # the input is that of the grasp node
    for name, message in messages.items():
        before = planner.diagnostics.counters()["frames_received"]
        ros.wait_for(
            lambda before=before: planner.diagnostics.counters()["frames_received"] > before, name,
            lambda message=message: planner.detections.publish(message), every_s=1.0,
        )  # fmt: skip
    planner.attached.publish(AttachedCollisionObject(object=CollisionObject(operation=b"\x09")))
    planner.attached.publish(AttachedCollisionObject(object=CollisionObject(id="\x1b" * 1000, operation=b"\x09")))
    planner.wait_for({"bowl_7"}, BOWL)
    values = planner.diagnostics.status("x", "", {"state": ""}).values
    assert not [value.key for value in values if "callback" in value.key], "no exception was unexpected"


def test_settings_that_cannot_be_are_named(ros, run_guarded, tmp_path):
    with pytest.raises(ConfigError, match="none.yaml"):
        run_guarded(CollisionObjectsNode, grasps_file=str(tmp_path / "none.yaml"))
