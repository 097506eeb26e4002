"""Success of grasps on simulated objects, whose whole surface is known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from clipose_ros.geometry.boxes import box_corners, points_in_box
from clipose_ros.manipulation.grasp_planner import Grasp
from clipose_ros.manipulation.gripper import GripperConfig
from clipose_ros.manipulation.plane import Plane
from clipose_ros.types import FloatArray

MIN_POINTS = 10
"""Fewest points of the surface between the fingers."""


class GraspOutcome(Enum):
    """Contact of the gripper on its way from the pre-grasp to the grasp, and between its fingers."""

    SUCCESS = "surface between the fingers, fingers and palm free"
    NO_GRASP = "no grasp proposed"
    EMPTY = "nothing between the fingers"
    HITS_OBJECT = "finger or palm touches the object"
    HITS_NEIGHBOUR = "finger or palm touches another object"
    HITS_TABLE = "finger or palm touches the table"


@dataclass(frozen=True, slots=True, eq=False)
class GraspWorld:
    """True surfaces around an object, in one frame.

    Attributes:
        target: ``(N, 3)`` points on the surface of the object, metres.
        others: ``(M, 3)`` points on the surfaces of all other objects, metres.
        table: True plane of the table.
    """

    target: FloatArray
    others: FloatArray
    table: Plane


def judge_grasp(grasp: Grasp, gripper: GripperConfig, world: GraspWorld) -> GraspOutcome:
    """Return what happens if the gripper executes a grasp, whose pose is in the frame of ``world``."""
    opening, T = np.array([grasp.opening_m]), grasp.T_frame_gripper
    hand = gripper.hand_boxes(opening, grasp.travel_m)
    T_hand, sizes = T @ hand.T[0], hand.size[0]
    if (world.table.height(box_corners(T_hand, sizes)) < 0.0).any():
        return GraspOutcome.HITS_TABLE
    for points, outcome in ((world.target, GraspOutcome.HITS_OBJECT), (world.others, GraspOutcome.HITS_NEIGHBOUR)):
        if any(points_in_box(points, T_box, size).any() for T_box, size in zip(T_hand, sizes, strict=True)):
            return outcome
    between = points_in_box(world.target, T, gripper.closing_region(opening)[0])
    return GraspOutcome.SUCCESS if np.count_nonzero(between) >= MIN_POINTS else GraspOutcome.EMPTY


@dataclass(frozen=True, slots=True)
class GraspCounts:
    """Outcomes of the best grasps of the objects of a category.

    Attributes:
        outcomes: Outcome of each object.
    """

    outcomes: tuple[GraspOutcome, ...]

    @property
    def objects(self) -> int:
        """Return the number of objects."""
        return len(self.outcomes)

    @property
    def proposed(self) -> int:
        """Return the number of objects with a grasp."""
        return sum(outcome is not GraspOutcome.NO_GRASP for outcome in self.outcomes)

    def count(self, outcome: GraspOutcome) -> int:
        """Return the number of objects with an outcome."""
        return self.outcomes.count(outcome)

    @property
    def success(self) -> float:
        """Return the share of successful grasps among those proposed; NaN without any."""
        return self.count(GraspOutcome.SUCCESS) / self.proposed if self.proposed else float("nan")


def sample_surface(
    vertices: FloatArray, faces: NDArray[np.integer], number: int, rng: np.random.Generator
) -> FloatArray:
    """Draw points ``(number, 3)`` evenly on a triangle mesh of vertices ``(V, 3)`` and faces ``(F, 3)``."""
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = corners[rng.choice(len(corners), number, p=area / area.sum())]
    # The square root spreads the points evenly over the triangle.
    r, s = np.sqrt(rng.uniform(size=number)), rng.uniform(size=number)
    weights = np.stack([1.0 - r, r * (1.0 - s), r * s], axis=1)
    return np.asarray(np.einsum("nk,nkd->nd", weights, chosen))
