"""Collision shapes of objects: a cylinder, a cylinder with a box for the handle, or a box, padded by the covariance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clipose_ros.geometry.se3 import make_transform
from clipose_ros.manipulation.grasp_candidates import Body
from clipose_ros.manipulation.grasp_rules import GraspRule
from clipose_ros.manipulation.objects import padding, yaw_std_rad
from clipose_ros.types import FloatArray, PosedObject

PADDING_STEP_M = 0.005
"""Paddings are rounded up to multiples of this, so that shapes do not change with every frame, metres."""
_SIZE_STEP_M = 0.002
_R_OBJECT_CYLINDER = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Rotation of a cylinder, whose axis is z, so that its axis is the object's y."""


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """A solid.

    Attributes:
        is_cylinder: A cylinder about its z axis; otherwise a box.
        dimensions: Height and radius of a cylinder, or the extents (x, y, z) of a box, metres.
        T_object_primitive: ``(4, 4)`` pose in the frame of the object, metres.
    """

    is_cylinder: bool
    dimensions: tuple[float, ...]
    T_object_primitive: FloatArray


def make_primitives(item: PosedObject, rule: GraspRule | None, margin_m: float) -> tuple[Primitive, ...]:
    """Return the solids that contain an object.

    Args:
        item: The object.
        rule: Rule of its category; objects of categories without a rule are boxes.
        margin_m: Padding in addition to that by the covariance, metres.

    Returns:
        A cylinder for a category whose turn about y is free; a cylinder and a box for a body with a handle, or the
        cylinder around the box if the turn of the handle is not certain; otherwise a box.
    """
    extra = 2.0 * (_round_up(padding(item), PADDING_STEP_M) + margin_m)
    size = np.array([_round_up(float(extent), _SIZE_STEP_M) for extent in item.size])
    if rule is None or not (rule.axial or rule.handle):
        return (_box(np.zeros(3), size, extra),)
    if rule.handle and math.degrees(yaw_std_rad(item)) > rule.max_handle_yaw_std_deg:
        return (_cylinder(np.zeros(3), float(np.hypot(size[0], size[2])), float(size[1]), extra),)
    body = Body.from_rule(size, rule)
    solids = [_cylinder(body.centre, 2.0 * body.radius, float(size[1]), extra)]
    if body.handle is not None and body.handle[1][0] > 0.0:
        solids.append(_box(*body.handle, extra))
    return tuple(solids)


def _cylinder(centre: FloatArray, diameter: float, height: float, extra: float) -> Primitive:
    """Return a cylinder about the object's y axis."""
    return Primitive(True, (height + extra, 0.5 * (diameter + extra)), make_transform(_R_OBJECT_CYLINDER, centre))


def _box(centre: FloatArray, size: FloatArray, extra: float) -> Primitive:
    """Return a box along the axes of the object."""
    return Primitive(False, tuple((size + extra).tolist()), make_transform(np.eye(3), centre))


def _round_up(value: float, step: float) -> float:
    return math.ceil(value / step - 1e-6) * step
