"""Random objects and motions for the properties of grasps and collision shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from clipose_ros.geometry.se3 import exp_so3, make_transform, rotate_covariance
from clipose_ros.manipulation.grasp_rules import GraspRules
from clipose_ros.resources import config_path
from clipose_ros.types import FloatArray

RULES = GraspRules.load(config_path("grasps.yaml"))
SIZES = {
    "bottle": (0.06, 0.2, 0.06),
    "bowl": (0.16, 0.07, 0.16),
    "camera": (0.06, 0.07, 0.12),
    "can": (0.066, 0.12, 0.066),
    "laptop": (0.3, 0.2, 0.3),
    "mug": (0.1, 0.09, 0.068),
}
CERTAIN = np.diag([1e-6] * 3 + [1e-4] * 3)


@dataclass(frozen=True)
class Item:
    """An object."""

    category: str
    T_frame_object: FloatArray
    size: FloatArray
    covariance: FloatArray
    name: str = "item_1"
    score: float = 1.0

    def moved(self, T: FloatArray) -> Item:
        covariance = rotate_covariance(self.covariance, T[:3, :3])
        return Item(self.category, T @ self.T_frame_object, self.size, covariance, self.name, self.score)


def upright(category: str, position=(0.5, 0.0, 0.0), yaw: float = 0.0, covariance=CERTAIN, **more) -> Item:
    """An object whose y axis is the frame's z axis, standing on the plane z = 0."""
    size = np.array(SIZES[category])
    R = exp_so3([0.0, 0.0, yaw]) @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    place = np.add(position, [0.0, 0.0, 0.5 * size[1]])
    return Item(category, make_transform(R, place), size, np.array(covariance), **more)


def turned(item: Item, yaw: float) -> Item:
    """The object turned about its own y axis."""
    T = item.T_frame_object @ make_transform(exp_so3([0.0, yaw, 0.0]), np.zeros(3))
    return Item(item.category, T, item.size, item.covariance, item.name, item.score)


motions = st.builds(
    lambda turn, move: make_transform(exp_so3(turn), move),
    st.tuples(*[st.floats(-2.0, 2.0)] * 3),
    st.tuples(*[st.floats(-2.0, 2.0)] * 3),
)
angles = st.floats(-np.pi, np.pi)


@st.composite
def items(draw, categories=tuple(SIZES)) -> Item:
    """An object of any category in any pose, of its mean size but for a factor."""
    category = draw(st.sampled_from(categories))
    size = np.array(SIZES[category]) * draw(st.floats(0.6, 1.2))
    if RULES.categories[category].axial:
        size[2] = size[0]
    deviation = draw(st.floats(1e-4, 0.02))
    covariance = np.diag([deviation**2] * 3 + [0.01] * 3)
    return Item(category, draw(motions), size, covariance)
