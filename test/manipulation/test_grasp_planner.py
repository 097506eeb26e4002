"""Grasps: geometric properties that hold for every object, and the filters."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.geometry.boxes import points_in_box
from clipose_ros.geometry.se3 import exp_so3, invert_transform, make_transform, transform_points
from clipose_ros.manipulation.grasp_candidates import Body, make_candidates, own_boxes
from clipose_ros.manipulation.grasp_planner import GraspLimits, GraspScene, plan_grasps
from clipose_ros.manipulation.objects import yaw_std_rad
from clipose_ros.manipulation.plane import Plane

sys.path.insert(0, str(Path(__file__).parent))
from scenes import CERTAIN, RULES, SIZES, Item, angles, items, motions, turned, upright

ALL = GraspLimits(max_approach_deg=180.0, max_per_object=1000)
TABLE = Plane(np.array([0.0, 0.0, 1.0]), 0.0)


def poses(grasps) -> np.ndarray:
    return np.array([grasp.T_frame_gripper for grasp in grasps]).reshape(-1, 4, 4)


def sample_box(T, size, number=6) -> np.ndarray:
    """A grid of points in a box, ``(n, 3)``."""
    axis = np.linspace(-0.5, 0.5, number)
    return transform_points(T, np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3) * size)


def same_set(a: np.ndarray, b: np.ndarray) -> bool:
    """Every pose of each has its like in the other."""
    if len(a) != len(b):
        return False
    apart = np.abs(a[:, None] - b[None]).max(axis=(2, 3))
    return not len(a) or (apart.min(axis=0).max() < 1e-6 and apart.min(axis=1).max() < 1e-6)


def with_grasps(categories=("bottle", "bowl", "can", "mug", "camera")) -> st.SearchStrategy[Item]:
    return items(categories)


@pytest.mark.parametrize("category", ["bottle", "bowl", "camera", "can", "mug"])
def test_an_object_that_fits_has_grasps_and_a_laptop_has_none(category):
    assert plan_grasps(GraspScene([upright(category)], TABLE), RULES)
    assert not plan_grasps(GraspScene([upright("laptop")], TABLE), RULES, ALL)
    assert not plan_grasps(GraspScene([replace(upright("can"), category="unheard-of")]), RULES, ALL)


@given(with_grasps())
@settings(deadline=None, max_examples=60)
def test_closing_axis_passes_through_the_object(item):
    for grasp in plan_grasps(GraspScene([item]), RULES, ALL):
        T = invert_transform(item.T_frame_object) @ grasp.T_frame_gripper
        along = np.linspace(-0.5, 0.5, 201) * grasp.opening_m
        points = T[:3, 3] + along[:, None] * T[:3, 1]
        inside = (np.abs(points) <= 0.5 * item.size + 1e-9).all(axis=1)
        assert inside.any(), grasp.kind


@given(with_grasps())
@settings(deadline=None, max_examples=60)
def test_hand_never_touches_the_object_on_its_way(item):
    """Points of fingers and palm, sampled along the motion, lie outside of the object's own boxes."""
    rule, gripper = RULES.categories[item.category], RULES.gripper
    body = Body.from_rule(item.size, rule)
    for candidates in make_candidates(item.size, rule, gripper):
        found = [g for g in plan_grasps(GraspScene([item]), RULES, ALL) if g.kind == candidates.kind]
        if not found:
            continue
        T_object = invert_transform(item.T_frame_object) @ poses(found)
        shown = replace(candidates, T=T_object)
        own = own_boxes(shown, body)
        for k, grasp in enumerate(found):
            for travelled in (0.0, 0.5, 1.0):
                hand = gripper.hand_boxes(np.array([grasp.opening_m]))
                back = make_transform(np.eye(3), [0.0, 0.0, -travelled * grasp.travel_m])
                for T, size in zip(hand.T[0], hand.size[0], strict=True):
                    points = sample_box(T_object[k] @ back @ T, size)
                    for j in range(own.T.shape[1]):
                        local = transform_points(invert_transform(own.T[k, j]), points)
                        assert not (np.abs(local) < 0.5 * own.size[k, j] - 2e-6).all(axis=1).any(), grasp.kind


@given(items(("bottle", "bowl", "can")), angles, motions)
@settings(deadline=None, max_examples=60)
def test_grasps_are_invariant_under_the_free_yaw(item, yaw, T_frame_robot):
    scene = GraspScene([item], T_frame_robot=T_frame_robot)
    other = replace(scene, objects=[turned(item, yaw)])
    assert same_set(poses(plan_grasps(scene, RULES, ALL)), poses(plan_grasps(other, RULES, ALL)))


@given(st.lists(items(), min_size=1, max_size=3), motions)
@settings(deadline=None, max_examples=40)
def test_grasps_move_with_the_scene(objects, T):
    named = [replace(item, name=f"item_{k}") for k, item in enumerate(objects)]
    scene = GraspScene(named, TABLE, T_frame_robot=make_transform(np.eye(3), [0.3, 0.2, -3.0]))
    moved = GraspScene([item.moved(T) for item in named], TABLE.transformed(T), T_frame_robot=T @ scene.T_frame_robot)
    before, after = plan_grasps(scene, RULES, ALL), plan_grasps(moved, RULES, ALL)
    assert same_set(T @ poses(before), poses(after))
    np.testing.assert_allclose([g.score for g in before], [g.score for g in after], atol=1e-6)


@given(with_grasps())
@settings(deadline=None, max_examples=40)
def test_a_grasp_is_reached_from_its_pregrasp_along_the_approach(item):
    for grasp in plan_grasps(GraspScene([item]), RULES, ALL):
        step = invert_transform(grasp.T_frame_pregrasp) @ grasp.T_frame_gripper
        np.testing.assert_allclose(step, make_transform(np.eye(3), [0.0, 0.0, grasp.travel_m]), atol=1e-9)
        R = grasp.T_frame_gripper[:3, :3]
        np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-9)
        assert np.linalg.det(R) > 0.0


@given(items(), st.floats(0.0, 0.15))
@settings(deadline=None, max_examples=40)
def test_gripper_stays_above_the_table_and_clear_of_neighbours(item, gap):
    item = replace(item, T_frame_object=upright(item.category).T_frame_object)
    neighbour = replace(upright("can", (0.5 + 0.5 * item.size[0] + 0.033 + gap, 0.0, 0.0)), name="other")
    gripper = RULES.gripper
    for grasp in plan_grasps(GraspScene([item, neighbour], TABLE), RULES, ALL):
        if grasp.object_name == "other":
            continue
        hand = gripper.hand_boxes(np.array([grasp.opening_m]), grasp.travel_m)
        for T, size in zip(hand.T[0], hand.size[0], strict=True):
            points = sample_box(grasp.T_frame_gripper @ T, size)
            assert points[:, 2].min() >= gripper.clearance_m - 1e-9
            local = transform_points(invert_transform(neighbour.T_frame_object), points)
            assert not (np.abs(local) <= 0.5 * neighbour.size).all(axis=1).any()


def test_gripper_stays_clear_of_measured_obstacles():
    """A wall of points beside the can leaves the grasps from the other side."""
    can = upright("can")
    x, z = np.meshgrid(np.linspace(0.3, 0.7, 100), np.linspace(0.03, 0.3, 60))
    wall = np.stack([x.ravel(), np.full(x.size, 0.06), z.ravel()], axis=1)
    free, beside = (plan_grasps(GraspScene([can], TABLE, points), RULES, ALL) for points in (np.empty((0, 3)), wall))
    assert 0 < len(beside) < len(free)
    for grasp in beside:
        hand = RULES.gripper.hand_boxes(np.array([grasp.opening_m]), grasp.travel_m)
        for T, size in zip(hand.T[0], hand.size[0], strict=True):
            assert np.count_nonzero(points_in_box(wall, grasp.T_frame_gripper @ T, size)) < 3
    assert len(plan_grasps(GraspScene([can], TABLE, wall[:2]), RULES, ALL)) == len(free), "two points are noise"


def test_a_body_wider_than_the_gripper_has_no_side_grasp():
    wide = replace(upright("can"), size=np.array([0.09, 0.12, 0.09]))
    assert not [g for g in plan_grasps(GraspScene([wide]), RULES, ALL) if g.kind in ("side", "top")]


def test_approach_is_limited_to_the_robots_side():
    can, robot = upright("can"), make_transform(np.eye(3), [-0.5, 0.0, 0.0])
    near = plan_grasps(GraspScene([can], TABLE, T_frame_robot=robot), RULES, replace(ALL, max_approach_deg=60.0))
    assert near and all(grasp.T_frame_gripper[0, 2] >= 0.5 - 1e-6 for grasp in near)
    assert near[0].T_frame_gripper[0, 2] > 0.99, "the straightest comes first"


@pytest.mark.parametrize(
    ("std_deg", "kinds"), [(10.0, {"side", "rim", "handle"}), (20.0, {"side", "rim"}), (40.0, set())]
)
def test_handle_of_a_mug_needs_a_certain_yaw(std_deg, kinds):
    covariance = CERTAIN.copy()
    covariance[5, 5] = np.radians(std_deg) ** 2  # y of the upright mug is z of the frame
    mug = upright("mug", covariance=covariance)
    assert np.degrees(yaw_std_rad(mug)) == pytest.approx(std_deg)
    assert {grasp.kind for grasp in plan_grasps(GraspScene([mug]), RULES, ALL)} == kinds


@given(st.floats(1e-4, 0.01), st.floats(1.5, 4.0))
@settings(deadline=None, max_examples=30)
def test_score_falls_with_the_covariance(std, factor):
    scores = []
    for deviation in (std, std * factor):
        can = upright("can", covariance=np.diag([deviation**2] * 3 + [1e-4] * 3))
        scores.append(plan_grasps(GraspScene([can]), RULES)[0].score)
    assert 0.0 <= scores[1] <= scores[0] <= 1.0


def test_free_yaw_does_not_lower_the_score():
    free = CERTAIN.copy()
    free[5, 5] = np.pi**2 / 3.0
    certain, uncertain = (plan_grasps(GraspScene([upright("bowl", covariance=c)]), RULES) for c in (CERTAIN, free))
    assert certain[0].score == pytest.approx(uncertain[0].score)


@pytest.mark.parametrize(
    "change",
    [
        {"size": np.zeros(3)},
        {"size": np.array([0.1, -0.1, 0.1])},
        {"size": np.array([0.1, np.inf, 0.1])},
        {"covariance": np.full((6, 6), np.nan)},
        {"covariance": -np.eye(6)},
        {"covariance": np.ones((6, 6)) - 0.5 * np.eye(6)},
        {"T_frame_object": np.full((4, 4), np.nan)},
    ],
)
def test_an_impossible_object_is_left_out_and_the_others_are_grasped(change):
    broken = replace(upright("can"), name="broken", **change)
    grasps = plan_grasps(GraspScene([broken, replace(upright("can", (0.5, 0.4, 0.0)), name="sound")]), RULES)
    assert {grasp.object_name for grasp in grasps} == {"sound"}


def test_scene_of_many_objects_is_bounded():
    crowd = [replace(upright("can", (0.2 * k, 0.0, 0.0)), name=f"can_{k}", score=k / 500) for k in range(500)]
    names = {grasp.object_name for grasp in plan_grasps(GraspScene(crowd), RULES)}
    assert len(names) <= 50 and "can_499" in names


def test_rotated_robot_at_the_object_still_gives_grasps():
    can = upright("can", (0.0, 0.0, 0.0))
    robot = make_transform(exp_so3([0.1, 0.2, 0.3]), can.T_frame_object[:3, 3])
    assert plan_grasps(GraspScene([can], T_frame_robot=robot), RULES)


def test_sizes_of_the_tests_are_those_of_the_shipped_rules():
    assert set(SIZES) == set(RULES.categories)
