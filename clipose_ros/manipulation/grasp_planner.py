"""Grasps of all objects of a scene: candidates, filters, scores.

The score of a grasp is the score of its object times the probability that the gripper, moved to the estimated place,
closes on the object. The covariance of the pose gives the standard deviations s_y along the closing direction and s_z
along the approach direction, at the grasp::

    score = object score * erf(slack_y / (sqrt(2) s_y)) * erf(slack_z / (sqrt(2) s_z))
    slack_y = (opening - width) / 2         free space beside each finger
    slack_z = pad length / 2                part of the pads that may reach too far or not far enough
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import erf

from clipose_ros.geometry.boxes import box_corners, boxes_overlap, points_in_box
from clipose_ros.manipulation.grasp_candidates import Body, Candidates, make_candidates, own_boxes
from clipose_ros.manipulation.grasp_rules import GraspRule, GraspRules
from clipose_ros.manipulation.gripper import Boxes, GripperConfig
from clipose_ros.manipulation.objects import (
    anchored_pose,
    find_fault,
    padding,
    point_covariance,
    yaw_std_rad,
)
from clipose_ros.manipulation.plane import Plane
from clipose_ros.types import BoolArray, FloatArray, PosedObject

MAX_OBJECTS = 50
"""Largest number of objects of a scene; further ones are left out, those with the lowest scores first."""
MIN_OBSTACLE_POINTS = 3
"""Fewest measured points in a box of the gripper that are an obstacle; fewer are noise."""
_TOUCH_M = 1e-6  # faces of own boxes that a grasp touches by construction do not collide


@dataclass(frozen=True, slots=True)
class GraspLimits:
    """Limits of the planner.

    Attributes:
        travel_m: Distance from the pre-grasp to the grasp, metres.
        max_approach_deg: Largest angle between the approach and the direction from the robot to the object, degrees.
        max_per_object: Largest number of grasps of an object; those with the highest scores are kept.
        min_score: Grasps with a lower score are dropped.
    """

    travel_m: float = 0.1
    max_approach_deg: float = 100.0
    max_per_object: int = 5
    min_score: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class GraspScene:
    """Scene that the grasps are planned in; all poses are in one frame.

    Attributes:
        objects: The objects.
        table: Plane that the gripper stays above; None without one.
        obstacles: ``(N, 3)`` measured points of other things, which the gripper stays clear of, metres.
        T_frame_robot: ``(4, 4)`` pose of the robot's base.
    """

    objects: Sequence[PosedObject]
    table: Plane | None = None
    obstacles: FloatArray = field(default_factory=lambda: np.empty((0, 3)))
    T_frame_robot: FloatArray = field(default_factory=lambda: np.eye(4))


@dataclass(frozen=True, slots=True, eq=False)
class Grasp:
    """A grasp with its pre-grasp.

    Attributes:
        object_name: Name of the object, such as ``mug_3``.
        category: Category of the object.
        kind: Kind of grasp, one of ``grasp_rules.KINDS``.
        T_frame_gripper: ``(4, 4)``; z approaches, y closes, the origin lies between the pads.
        travel_m: Distance from the pre-grasp to the grasp along the approach, metres.
        opening_m: Distance of the fingers before they close, metres.
        width_m: Estimated extent of the object between the fingers, metres.
        score: Score in [0, 1].
    """

    object_name: str
    category: str
    kind: str
    T_frame_gripper: FloatArray
    travel_m: float
    opening_m: float
    width_m: float
    score: float

    @property
    def T_frame_pregrasp(self) -> FloatArray:
        """Return the pose ``(4, 4)`` from which the gripper moves along its z axis to the grasp."""
        T = self.T_frame_gripper.copy()
        T[:3, 3] -= self.travel_m * T[:3, 2]
        return T


def plan_grasps(scene: GraspScene, rules: GraspRules, limits: GraspLimits | None = None) -> list[Grasp]:
    """Plan the grasps of all objects of a scene, the best first.

    Args:
        scene: Objects, table and robot. Objects with impossible values are neither grasped nor avoided.
        rules: Gripper, and kinds of grasp of each category.
        limits: Limits; the defaults if left out.
    """
    limits = limits or GraspLimits()
    usable = [item for item in scene.objects if find_fault(item) is None]
    usable = sorted(usable, key=lambda item: -item.score)[:MAX_OBJECTS]
    grasps = []
    for item in usable:
        rule = rules.categories.get(item.category)
        if rule is not None and rule.kinds:
            neighbours = _padded_boxes([other for other in usable if other is not item])
            grasps += _plan_object(item, rule, _Surroundings(scene, neighbours, rules.gripper, limits))
    return sorted(grasps, key=lambda grasp: -grasp.score)


@dataclass(frozen=True, slots=True, eq=False)
class _Surroundings:
    """Everything that the grasps of one object depend on, besides the object."""

    scene: GraspScene
    neighbours: Boxes
    gripper: GripperConfig
    limits: GraspLimits


def _plan_object(item: PosedObject, rule: GraspRule, around: _Surroundings) -> list[Grasp]:
    """Return the grasps of one object, the best first."""
    T_frame_object = anchored_pose(item, around.scene.T_frame_robot) if rule.axial else item.T_frame_object
    body = Body.from_rule(item.size, rule)
    kinds = _certain_kinds(item, rule)
    away = T_frame_object[:3, 3] - around.scene.T_frame_robot[:3, 3]
    found: list[tuple[float, float, Grasp]] = []
    for candidates in make_candidates(item.size, rule, around.gripper):
        if candidates.kind not in kinds or not len(candidates):
            continue
        T = T_frame_object @ candidates.T
        opening = np.minimum(candidates.opening, around.gripper.max_opening_m)
        turn = _angle_rad(T[:, :3, 2], away)
        fits = candidates.opening <= around.gripper.max_opening_m
        fits &= turn <= math.radians(around.limits.max_approach_deg) + 1e-9
        fits &= ~_touches_itself(candidates, body, around.gripper, around.limits.travel_m)
        fits &= ~_collides(T, opening, around)
        scores = item.score * _success_probability(item, rule, candidates, T, opening, around.gripper)
        fits &= scores >= around.limits.min_score
        for k in np.flatnonzero(fits).tolist():
            grasp = Grasp(
                item.name, item.category, candidates.kind, T[k], around.limits.travel_m, float(opening[k]),
                float(candidates.width[k]), float(scores[k]),
            )  # fmt: skip
            found.append((-round(grasp.score, 6), float(turn[k]), grasp))
    # Grasps around an axis are equally likely to succeed: the nearest to the robot comes first.
    found.sort(key=lambda row: row[:2])
    return [grasp for _, _, grasp in found[: around.limits.max_per_object]]


def _certain_kinds(item: PosedObject, rule: GraspRule) -> tuple[str, ...]:
    """Return the kinds of grasp for which the rotation of an object is certain enough."""
    y = item.T_frame_object[:3, 1]
    across = np.eye(3) - np.outer(y, y)
    tilt = float(np.linalg.eigvalsh(across @ item.covariance[3:, 3:] @ across)[-1])
    if math.sqrt(max(tilt, 0.0)) > math.radians(rule.max_tilt_std_deg):
        return ()
    yaw_deg = math.degrees(yaw_std_rad(item))
    if not rule.axial and yaw_deg > rule.max_yaw_std_deg:
        return ()
    handle = yaw_deg <= rule.max_handle_yaw_std_deg
    return tuple(kind for kind in rule.kinds if handle or kind != "handle")


def _padded_boxes(objects: Sequence[PosedObject]) -> Boxes:
    """Return the boxes of objects, padded by their uncertainty."""
    if not objects:
        return Boxes(np.zeros((0, 4, 4)), np.zeros((0, 3)))
    size = np.stack([item.size + 2.0 * padding(item) for item in objects])
    return Boxes(np.stack([item.T_frame_object for item in objects]), size)


def _touches_itself(candidates: Candidates, body: Body, gripper: GripperConfig, travel_m: float) -> BoolArray:
    """Return ``(N,)``: on the way from the pre-grasp, fingers or palm would touch the object."""
    hand, own = gripper.hand_boxes(candidates.opening, travel_m), own_boxes(candidates, body)
    hits = boxes_overlap(
        (candidates.T[:, None] @ hand.T)[:, :, None],
        hand.size[:, :, None] - _TOUCH_M,
        own.T[:, None],
        own.size[:, None],
    )
    return np.asarray(hits.any(axis=(1, 2)))


def _collides(T: FloatArray, opening: FloatArray, around: _Surroundings) -> BoolArray:
    """Return ``(N,)``: on the way from the pre-grasp, the gripper would touch a neighbour, an obstacle or the table."""
    hand = around.gripper.hand_boxes(opening, around.limits.travel_m)
    T_hand = T[:, None] @ hand.T
    hits = np.zeros(len(T), dtype=bool)
    clearance = around.gripper.clearance_m
    if around.scene.table is not None:
        hits |= (around.scene.table.height(box_corners(T_hand, hand.size)) < clearance).any(axis=(1, 2))
    near = around.neighbours
    if len(near.T):
        padded = near.size + 2.0 * clearance
        hits |= boxes_overlap(T_hand[:, :, None], hand.size[:, :, None], near.T, padded).any(axis=(1, 2))
    for k in np.flatnonzero(~hits).tolist() if len(around.scene.obstacles) else ():
        hits[k] = any(
            np.count_nonzero(points_in_box(around.scene.obstacles, T_box, size)) >= MIN_OBSTACLE_POINTS
            for T_box, size in zip(T_hand[k], hand.size[k], strict=True)
        )
    return hits


def _success_probability(
    item: PosedObject, rule: GraspRule, candidates: Candidates, T: FloatArray, opening: FloatArray,
    gripper: GripperConfig,
) -> FloatArray:  # fmt: skip
    """Return the probabilities ``(N,)`` that the fingers close on the object; see the head of this file."""
    covariance = point_covariance(item, T[:, :3, 3], rule.axial)
    deviation = np.sqrt(np.maximum(np.einsum("nia,nij,nja->na", T[:, :3, :3], covariance, T[:, :3, :3]), 1e-12))
    slack_y = np.maximum(0.5 * (opening - candidates.width), 0.0)
    probability = erf(slack_y / (math.sqrt(2.0) * deviation[:, 1]))
    return np.asarray(probability * erf(0.5 * gripper.pad_length_m / (math.sqrt(2.0) * deviation[:, 2])))


def _angle_rad(directions: FloatArray, reference: FloatArray) -> FloatArray:
    """Return the angles ``(N,)`` between unit vectors ``(N, 3)`` and a vector, radians; 0 for a vector of length 0."""
    length = float(np.linalg.norm(reference))
    if length < 1e-9:
        return np.zeros(len(directions))
    return np.asarray(np.arccos(np.clip(directions @ (reference / length), -1.0, 1.0)))
