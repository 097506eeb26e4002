"""Collision shapes contain their objects, and a planning scene follows the tracks and nothing else."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.geometry.boxes import box_corners
from clipose_ros.geometry.se3 import invert_transform, transform_points
from clipose_ros.manipulation.collision_scene import CollisionLimits, CollisionScene
from clipose_ros.manipulation.collision_shapes import Primitive, make_primitives
from clipose_ros.manipulation.objects import padding

sys.path.insert(0, str(Path(__file__).parent))
from scenes import CERTAIN, RULES, items, turned, upright


def inside(primitive: Primitive, points_object: np.ndarray, slack: float = 1e-9) -> np.ndarray:
    p = transform_points(invert_transform(primitive.T_object_primitive), points_object)
    if primitive.is_cylinder:
        height, radius = primitive.dimensions
        return (np.abs(p[:, 2]) <= 0.5 * height + slack) & (np.hypot(p[:, 0], p[:, 1]) <= radius + slack)
    return (np.abs(p) <= 0.5 * np.array(primitive.dimensions) + slack).all(axis=1)


def surface(item, number: int = 400) -> np.ndarray:
    """Points of the object that its box bounds: a cylinder, a cylinder with a handle, or the box."""
    rule, rng = RULES.categories[item.category], np.random.default_rng(0)
    height = rng.uniform(-0.5, 0.5, number) * item.size[1]
    angle = rng.uniform(-np.pi, np.pi, number)
    if rule.axial:
        return np.stack([0.5 * item.size[0] * np.cos(angle), height, 0.5 * item.size[0] * np.sin(angle)], axis=1)
    if rule.handle:
        r = 0.5 * item.size[2]
        body = np.stack([r * np.cos(angle) - 0.5 * item.size[0] + r, height, r * np.sin(angle)], axis=1)
        handle = np.stack([np.linspace(0.0, 0.5, number) * item.size[0], 0.6 * height, 0.0 * height], axis=1)
        return np.concatenate([body, handle])
    return box_corners(np.eye(4), item.size)


@given(items(), st.floats(0.0, 0.02))
@settings(deadline=None, max_examples=80)
def test_shapes_contain_the_object_and_its_padding(item, margin):
    primitives = make_primitives(item, RULES.categories[item.category], margin)
    points = surface(item)
    reach = np.any([inside(primitive, points) for primitive in primitives], axis=0)
    assert reach.all()
    if RULES.categories[item.category].axial:
        extra = padding(item) + margin
        assert inside(primitives[0], points * (1.0 + extra / np.linalg.norm(points, axis=1, keepdims=True))).all()


def test_shape_of_each_category():
    kinds = {
        name: [p.is_cylinder for p in make_primitives(upright(name), rule, 0.0)]
        for name, rule in RULES.categories.items()
    }
    assert kinds["bottle"] == kinds["bowl"] == kinds["can"] == [True]
    assert kinds["camera"] == kinds["laptop"] == [False] and kinds["mug"] == [True, False]
    assert [p.is_cylinder for p in make_primitives(upright("can"), None, 0.0)] == [False]
    uncertain = CERTAIN.copy()
    uncertain[5, 5] = 1.0
    (around,) = make_primitives(upright("mug", covariance=uncertain), RULES.categories["mug"], 0.0)
    assert around.is_cylinder and around.dimensions[1] == pytest.approx(0.5 * np.hypot(0.1, 0.068), abs=0.01)


@given(st.floats(1e-4, 0.02), st.floats(1.0, 3.0))
@settings(deadline=None)
def test_padding_grows_with_the_covariance_and_is_bounded(std, factor):
    widths = [
        make_primitives(upright("can", covariance=np.diag([s**2] * 3 + [1e-4] * 3)), RULES.categories["can"], 0.0)[
            0
        ].dimensions[1]
        for s in (std, factor * std)
    ]
    assert 0.033 <= widths[0] <= widths[1] <= 0.033 + 0.05 + 0.002


def scene(**limits) -> CollisionScene:
    return CollisionScene(RULES.categories, replace(CollisionLimits(), **limits))


def names(changes) -> dict[str, bool]:
    """Whether each name is added."""
    return {change.name: change.T_frame_object is not None for change in changes}


CAN, MUG = upright("can", name="can_1"), upright("mug", (0.2, 0.3, 0.0), name="mug_3")


def test_objects_are_added_once_and_removed_when_lost():
    world = scene()
    assert names(world.update([CAN, MUG], 0.0)) == {"can_1": True, "mug_3": True}
    assert not world.update([CAN, MUG], 0.1)
    assert not world.update([CAN], 0.5), "not lost yet"
    assert names(world.update([CAN], 0.7)) == {"mug_3": False}
    assert not world.update([CAN], 0.8), "removed once"
    assert names(world.update([CAN, MUG], 0.9)) == {"mug_3": True}


@given(st.floats(0.0, 0.02), st.floats(0.0, 10.0))
@settings(deadline=None)
def test_an_object_is_published_again_when_it_moved(distance, turn_deg):
    world = scene()
    world.update([MUG], 0.0)
    moved = upright("mug", (0.2 + distance, 0.3, 0.0), np.radians(turn_deg), name="mug_3")
    expected = distance > 0.005 or turn_deg > 3.0
    if abs(distance - 0.005) > 1e-6 and abs(turn_deg - 3.0) > 1e-6:
        assert bool(world.update([moved], 0.1)) == expected


def test_turn_about_the_axis_of_a_round_object_is_no_change():
    world = scene()
    world.update([CAN], 0.0)
    assert not world.update([turned(CAN, 2.0)], 0.1)


def test_unchanged_objects_are_refreshed_and_forgotten_ones_come_again():
    world = scene()
    world.update([CAN], 0.0)
    assert not world.update([CAN], 9.9) and world.update([CAN], 10.1)
    world.forget()
    assert world.update([CAN], 10.2)


def test_attached_objects_are_left_alone():
    world = scene()
    world.update([CAN, MUG], 0.0)
    world.set_attached(frozenset({"mug_3", "tool_of_another_program"}), 0.1)
    lifted = upright("mug", (0.2, 0.3, 0.4), name="mug_3")
    assert not world.update([CAN, lifted], 0.2), "neither moved"
    assert not world.update([CAN], 5.0), "nor removed when its track is lost"
    assert not world.update([CAN, lifted], 5.1), "nor added when it comes back"
    world.set_attached(frozenset(), 6.0)
    assert names(world.update([CAN, lifted], 6.1)) == {"mug_3": True}
    world.set_attached(frozenset({"mug_3"}), 7.0)
    world.set_attached(frozenset(), 8.0)
    assert names(world.update([CAN], 9.0)) == {"mug_3": False}, "put down out of sight: removed like any lost object"


def test_impossible_and_doubtful_objects_are_not_added():
    world = scene()
    broken = replace(CAN, size=np.zeros(3), name="broken")
    assert not world.update([broken, replace(MUG, score=0.1)], 0.0)
