"""Candidate grasps of one object, in the frame of the object: no other object, table or arm is considered.

An object is a body, which is round about its y axis or a box, and for a mug a handle at +x. Sizes are those of the
estimated box. Each kind of grasp of ``grasp_rules.KINDS`` has one function, which returns poses of the gripper
(``gripper``: z approaches, y closes) with the width of what lies between the fingers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clipose_ros.geometry.se3 import cross, make_transform
from clipose_ros.manipulation.grasp_rules import GraspRule
from clipose_ros.manipulation.gripper import Boxes, GripperConfig
from clipose_ros.types import FloatArray

_Y = np.array([0.0, 1.0, 0.0])
_HANDLE_ANGLES_DEG = (0.0, 30.0, 60.0)
"""Angles of the approach to a handle above the horizontal, degrees."""
_HANDLE_HEIGHT, _HANDLE_RADIUS = 0.8, 0.25
"""Height of a handle's box and radius of its arc, as fractions of the extent of the mug along y."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """Shape of an object in its frame.

    Attributes:
        centre: ``(3,)`` middle of the body, metres.
        size: ``(3,)`` full extent of the body, metres.
        is_round: The body is round about its y axis.
        handle: Box around the handle, centre ``(3,)`` and full extent ``(3,)``; None without a handle.
    """

    centre: FloatArray
    size: FloatArray
    is_round: bool
    handle: tuple[FloatArray, FloatArray] | None = None

    @classmethod
    def from_rule(cls, size: FloatArray, rule: GraspRule) -> Body:
        """Return the shape of an object with a box of extent ``size`` ``(3,)``, metres.

        The body of an object with a handle is as wide as its box along z. The handle takes the rest along x.
        """
        if rule.axial:
            diameter = float(max(size[0], size[2]))
            return cls(np.zeros(3), np.array([diameter, size[1], diameter]), is_round=True)
        if not rule.handle:
            return cls(np.zeros(3), size, is_round=False)
        diameter, length = float(min(size[0], size[2])), float(max(size[0] - size[2], 0.0))
        body = np.array([diameter, size[1], diameter])
        handle = np.array([length, _HANDLE_HEIGHT * size[1], min(0.025, diameter)])
        return cls(
            np.array([-0.5 * length, 0.0, 0.0]), body, True, (np.array([0.5 * (size[0] - length), 0.0, 0.0]), handle)
        )

    @property
    def radius(self) -> float:
        """Return half of the diameter of a round body, metres."""
        return 0.5 * float(self.size[0])


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Grasps of one kind.

    Attributes:
        kind: Kind of grasp.
        T: ``(N, 4, 4)`` poses of the gripper in the object's frame, metres.
        width: ``(N,)`` extents of what lies between the fingers, metres.
        opening: ``(N,)`` distances of the fingers, metres; those of wide bodies may exceed the gripper's largest.
    """

    kind: str
    T: FloatArray
    width: FloatArray
    opening: FloatArray

    def __len__(self) -> int:
        return len(self.T)


def make_candidates(size: FloatArray, rule: GraspRule, gripper: GripperConfig) -> list[Candidates]:
    """Return the candidates of each kind that the rule names.

    Args:
        size: ``(3,)`` full extent of the object, metres.
        rule: Rule of its category.
        gripper: Dimensions of the gripper.
    """
    body = Body.from_rule(size, rule)
    return [_MAKERS[kind](body, rule, gripper) for kind in rule.kinds]


def own_boxes(candidates: Candidates, body: Body) -> Boxes:
    """Return the boxes ``(N, M)`` of the object that fingers and palm must not touch, in the object's frame.

    A round body has no sides: its box is turned about y so that it is aligned with the gripper. The fingers of a grasp
    of the rim or of the handle lie around a part that is not a box; only the rest of the object is tested.
    """
    R, number = candidates.T[:, :3, :3], len(candidates)
    R_body = np.tile(np.eye(3), (number, 1, 1))
    if body.is_round:
        x = _horizontal(R[:, :, 1])
        R_body = np.stack([x, np.broadcast_to(_Y, x.shape), cross(x, np.broadcast_to(_Y, x.shape))], axis=-1)
    boxes = [] if candidates.kind == "rim" else [(make_transform(R_body, body.centre), body.size)]
    if body.handle is not None and candidates.kind != "handle":
        centre, extent = body.handle
        boxes.append((np.tile(make_transform(np.eye(3), centre), (number, 1, 1)), extent))
    if not boxes:
        return Boxes(np.zeros((number, 0, 4, 4)), np.zeros((number, 0, 3)))
    sizes = np.stack([np.broadcast_to(extent, (number, 3)) for _, extent in boxes], axis=1)
    return Boxes(np.stack([T for T, _ in boxes], axis=1), sizes)


def _side(body: Body, rule: GraspRule, gripper: GripperConfig) -> Candidates:
    """Return grasps across the axis of a round body, from all sides and at each height."""
    heights, yaws = np.meshgrid(np.array(rule.heights) * body.size[1], _yaws(rule), indexing="ij")
    approach = _around(yaws.ravel())
    back = _retreat(body.radius, gripper)
    origins = body.centre + heights.ravel()[:, None] * _Y - back * approach
    if back > 0.5 * gripper.pad_length_m:  # the widest place lies behind the ends of the fingers
        origins, approach = origins[:0], approach[:0]
    return _body_grasps("side", approach, cross(approach, np.broadcast_to(_Y, approach.shape)), origins, body, gripper)


def _top(body: Body, rule: GraspRule, gripper: GripperConfig) -> Candidates:
    """Return grasps along the axis of a round body, from both ends; a half turn gives the same grasp."""
    yaws = _yaws(rule)
    yaws = np.concatenate([yaws[: len(yaws) // 2]] * 2)
    sign = np.repeat([1.0, -1.0], len(yaws) // 2)[:, None]
    depth = min(0.5 * float(body.size[1]), gripper.reach_m - gripper.clearance_m)
    origins = body.centre + sign * (0.5 * body.size[1] - depth) * _Y
    return _body_grasps("top", -sign * _Y, _around(yaws), origins, body, gripper)


def _rim(body: Body, rule: GraspRule, gripper: GripperConfig) -> Candidates:
    """Return grasps of the wall at the opening, from above, one finger inside."""
    outward = _around(_yaws(rule))
    inner = body.radius - 0.5 * (rule.wall_m + rule.wall_opening_m) - gripper.finger_thickness_m
    deep = rule.rim_depth_m + 0.5 * gripper.pad_length_m + rule.wall_m
    if inner < rule.wall_m - body.radius or deep > body.size[1]:  # no space for the finger inside
        outward = outward[:0]
    height = 0.5 * float(body.size[1]) - rule.rim_depth_m
    origins = body.centre + (body.radius - 0.5 * rule.wall_m) * outward + height * _Y
    return _wall_grasps("rim", np.broadcast_to(-_Y, outward.shape), outward, origins, rule)


def _handle(body: Body, rule: GraspRule, gripper: GripperConfig) -> Candidates:
    """Return grasps of the handle from outside and from above, which close across its loop."""
    angles = np.radians(_HANDLE_ANGLES_DEG)
    outward = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=1)
    length = 0.0 if body.handle is None else float(body.handle[1][0])
    inner = body.centre[0] + body.radius
    arc = np.array([max(length - 0.5 * rule.wall_m, 0.0), _HANDLE_RADIUS * body.size[1], 0.0])
    origins = np.array([inner, 0.0, 0.0]) + arc * outward
    free = length > rule.wall_m  # otherwise the box shows no handle
    close = np.tile([0.0, 0.0, 1.0], (len(angles), 1))
    return _wall_grasps("handle", -outward[: len(angles) * free], close[: len(angles) * free],
                        origins[: len(angles) * free], rule)  # fmt: skip


def _box(body: Body, rule: GraspRule, gripper: GripperConfig) -> Candidates:
    """Return grasps across each pair of opposite faces, from the four other sides."""
    axes = np.eye(3)
    close = np.repeat(axes, 4, axis=0)
    approach = np.concatenate([[axes[j], -axes[j], axes[k], -axes[k]] for j, k in ((1, 2), (2, 0), (0, 1))])
    half = 0.5 * np.abs(approach) @ body.size
    back = np.array([_retreat(extent, gripper) for extent in half.tolist()])
    origins = body.centre - back[:, None] * approach
    width = close @ body.size
    return Candidates("box", _poses(approach, close, origins), width, width + 2.0 * gripper.clearance_m)


_MAKERS: dict[str, Callable[[Body, GraspRule, GripperConfig], Candidates]] = {
    "side": _side,
    "top": _top,
    "rim": _rim,
    "handle": _handle,
    "box": _box,
}


def _body_grasps(
    kind: str, approach: FloatArray, close: FloatArray, origins: FloatArray, body: Body, gripper: GripperConfig
) -> Candidates:
    """Return grasps across a round body."""
    width = np.full(len(approach), body.size[0])
    return Candidates(kind, _poses(approach, close, origins), width, width + 2.0 * gripper.clearance_m)


def _wall_grasps(
    kind: str, approach: FloatArray, close: FloatArray, origins: FloatArray, rule: GraspRule
) -> Candidates:
    """Return grasps of a wall, with the opening of the rule."""
    number = len(approach)
    opening = np.full(number, rule.wall_opening_m)
    return Candidates(kind, _poses(approach, close, origins), np.full(number, rule.wall_m), opening)


def _poses(approach: FloatArray, close: FloatArray, origins: FloatArray) -> FloatArray:
    """Return gripper poses ``(N, 4, 4)`` from their axes and origins ``(N, 3)``."""
    return make_transform(np.stack([cross(close, approach), close, approach], axis=-1), origins)


def _retreat(half_extent_m: float, gripper: GripperConfig) -> float:
    """Return how far the pads stay before the middle of a body, so that the palm keeps its clearance, metres."""
    return max(half_extent_m + gripper.clearance_m - gripper.reach_m, 0.0)


def _yaws(rule: GraspRule) -> FloatArray:
    """Return angles about y, radians, the first 0; even, so that half of them are half a turn from the others."""
    return 2.0 * np.pi * np.arange(rule.yaws // 2 * 2) / (rule.yaws // 2 * 2)


def _around(yaws: FloatArray) -> FloatArray:
    """Return the unit vectors ``(N, 3)`` at angles about y from the x axis."""
    return np.stack([np.cos(yaws), np.zeros_like(yaws), -np.sin(yaws)], axis=-1)


def _horizontal(vectors: FloatArray) -> FloatArray:
    """Return unit vectors ``(N, 3)`` orthogonal to y: the projections of vectors; x where there is none."""
    flat = vectors * np.array([1.0, 0.0, 1.0])
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(length > 1e-6, flat / np.maximum(length, 1e-6), np.array([1.0, 0.0, 0.0]))
