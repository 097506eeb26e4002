"""Sentences about objects, in the paper's words (CLIPose III-A): with the pose, without, or with a random one.

The paper's example names no units; degrees and centimetres fit its numbers. Nor does it name the order of the Euler
angles: here they turn about the camera's x, y and z axes, in this order (scipy's ``xyz``). All three are settings.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from clipose_ros.config import ConfigNode, option
from clipose_ros.errors import ShapeError
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.types import FloatArray

_EULER = ("xyz", "xzy", "yxz", "yzx", "zxy", "zyx")

UNITS_M = {"m": 1.0, "cm": 0.01, "mm": 0.001}
"""Metres per unit of length."""


@dataclass(frozen=True)
class PromptConfig(ConfigNode):
    """How objects are described."""

    pose: str = option("none", "Pose told in training texts (Table IX).", choices=("true", "none", "random"))
    length: str = option("cm", "Unit of translations.", choices=tuple(UNITS_M))
    angle: str = option("deg", "Unit of angles.", choices=("deg", "rad"))
    euler: str = option(
        "xyz", "Axes of the Euler angles, scipy's letters: lower case turns about the camera's axes, upper case about "
        "the object's.", choices=(*_EULER, *(order.upper() for order in _EULER)),
    )  # fmt: skip
    decimals: int = option(2, "Decimals of each number.", low=0, high=9)


def prompt_without_pose(category: str) -> str:
    """What an object is called when its pose is not known: at inference, and as the category's own text."""
    return f"a point cloud model of a {category} whose pose is to be estimated."


def prompt_with_pose(category: str, T_camera_object: FloatArray, config: PromptConfig) -> str:
    """An object with its pose.

    Args:
        category: Its name.
        T_camera_object: ``(4, 4)``, metres.
        config: Units and order of the numbers.

    Raises:
        ShapeError: The transform has another shape.
    """
    T = np.asarray(T_camera_object, dtype=np.float64)
    if T.shape != (4, 4):
        raise ShapeError(f"T_camera_object must be (4, 4), got {T.shape}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at gimbal lock scipy sets one angle to 0, which describes the turn as well
        angles = Rotation.from_matrix(T[:3, :3]).as_euler(config.euler, degrees=config.angle == "deg")
    rotation = _triple(angles, config.decimals)
    translation = _triple(T[:3, 3] / UNITS_M[config.length], config.decimals)
    return (
        f"a point cloud model of a {category} whose rotation euler angles is {rotation} and translation is "
        f"{translation}."
    )


def make_prompt(category: str, T_camera_object: FloatArray, config: PromptConfig, rng: np.random.Generator) -> str:
    """The training text of an object in the configured wording; ``rng`` draws the pose where it is random."""
    if config.pose == "none":
        return prompt_without_pose(category)
    return prompt_with_pose(category, random_pose(rng) if config.pose == "random" else T_camera_object, config)


def random_pose(rng: np.random.Generator) -> FloatArray:
    """A pose that says nothing of any object: ``(4, 4)``, every turn alike, in reach of a table-top camera."""
    R = Rotation.from_quat(rng.normal(size=4)).as_matrix()
    return make_transform(R, rng.uniform([-0.5, -0.4, 0.3], [0.5, 0.4, 1.5]))


def _triple(values: FloatArray, decimals: int) -> str:
    """Three numbers as the paper writes them; -0 is 0."""
    return "<" + ", ".join(f"{round(float(value), decimals) + 0.0:.{decimals}f}" for value in values) + ">"
