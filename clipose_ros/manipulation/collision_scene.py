"""Changes of a planning scene: objects to add and to remove, given those that are tracked and those attached."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from clipose_ros.geometry.se3 import rotation_angle_deg
from clipose_ros.manipulation.collision_shapes import Primitive, make_primitives
from clipose_ros.manipulation.grasp_rules import GraspRule
from clipose_ros.manipulation.objects import find_fault
from clipose_ros.types import FloatArray, PosedObject


@dataclass(frozen=True, slots=True)
class CollisionLimits:
    """Limits from which an object has changed.

    Attributes:
        margin_m: Padding in addition to that by the covariance, metres.
        move_m: Distance from which an object is published again, metres.
        turn_deg: Turn from which an object is published again, degrees.
        refresh_s: Time after which an object is published again, though nothing changed, seconds.
        remove_after_s: Time after which an object that is not tracked any more is removed, seconds.
        min_score: Objects with a lower score are not added.
    """

    margin_m: float = 0.01
    move_m: float = 0.005
    turn_deg: float = 3.0
    refresh_s: float = 10.0
    remove_after_s: float = 0.5
    min_score: float = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class SceneChange:
    """An object to add or to remove.

    Attributes:
        name: Name of the object, such as ``mug_3``.
        T_frame_object: ``(4, 4)`` pose in the frame of the scene; None to remove the object.
        primitives: Solids in the frame of the object.
    """

    name: str
    T_frame_object: FloatArray | None = None
    primitives: tuple[Primitive, ...] = ()


@dataclass(slots=True, eq=False)
class _Known:
    """An object in the planning scene."""

    seen_s: float
    published_s: float = -math.inf
    change: SceneChange | None = None


@dataclass(slots=True, eq=False)
class CollisionScene:
    """Objects of a planning scene that come from the tracks.

    Objects that a robot carries are left alone: they are neither added, moved nor removed. An object that is put down
    again is in the planning scene under its name; from then on it is updated and removed like the others.

    Attributes:
        rules: Rules of the categories, which determine the shapes.
        limits: What counts as a change.
    """

    rules: Mapping[str, GraspRule]
    limits: CollisionLimits
    _known: dict[str, _Known] = field(default_factory=dict)
    _attached: frozenset[str] = frozenset()
    _carried: set[str] = field(default_factory=set)  # those of the attached objects that are tracks

    def update(self, objects: Sequence[PosedObject], now_s: float) -> list[SceneChange]:
        """Return the changes that bring a planning scene to the tracked objects.

        Args:
            objects: All tracked objects in the frame of the scene.
            now_s: Time, seconds, which does not run back.
        """
        changes = []
        for item in objects:
            if item.name in self._attached:
                self._carried.add(item.name)
                continue
            if item.score < self.limits.min_score or find_fault(item) is not None:
                continue
            known = self._known.setdefault(item.name, _Known(now_s))
            known.seen_s = now_s
            primitives = make_primitives(item, self.rules.get(item.category), self.limits.margin_m)
            change = SceneChange(item.name, item.T_frame_object, primitives)
            if self._is_new(known, change, now_s, self._is_round(item)):
                known.change, known.published_s = change, now_s
                changes.append(change)
        lost = [name for name, known in self._known.items() if now_s - known.seen_s > self.limits.remove_after_s]
        for name in lost:
            del self._known[name]
        return changes + [SceneChange(name) for name in lost]

    def set_attached(self, names: frozenset[str], now_s: float) -> None:
        """Tell which objects the robot carries.

        Args:
            names: Their names in the planning scene; those of other programs do not matter.
            now_s: Time, seconds.
        """
        for name in names & self._known.keys():
            del self._known[name]
            self._carried.add(name)
        for name in self._carried - names:
            self._known[name] = _Known(now_s)
        self._carried &= names
        self._attached = names

    def forget(self) -> None:
        """Publish all objects again, as after the start of a planner."""
        for known in self._known.values():
            known.change = None

    def _is_round(self, item: PosedObject) -> bool:
        rule = self.rules.get(item.category)
        return rule is not None and rule.axial

    def _is_new(self, known: _Known, change: SceneChange, now_s: float, is_round: bool) -> bool:
        """Return True if a change differs from what was published, or that was long ago."""
        before = known.change
        if before is None or before.T_frame_object is None or now_s - known.published_s >= self.limits.refresh_s:
            return True
        if [p.dimensions for p in before.primitives] != [p.dimensions for p in change.primitives]:
            return True
        T, T_before = change.T_frame_object, before.T_frame_object
        assert T is not None
        if np.linalg.norm(T[:3, 3] - T_before[:3, 3]) > self.limits.move_m:
            return True
        if is_round:  # the turn about the axis does not matter
            turn_deg = math.degrees(math.acos(min(float(T[:3, 1] @ T_before[:3, 1]), 1.0)))
        else:
            turn_deg = rotation_angle_deg(T[:3, :3], T_before[:3, :3])
        return turn_deg > self.limits.turn_deg
