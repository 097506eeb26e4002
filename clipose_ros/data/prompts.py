"""Text prompts of objects in the wording of the paper (CLIPose III-A): with the true pose, a random pose or no pose.

The paper's example states neither units nor the order of the Euler angles. Degrees and centimetres fit its numbers, and
the angles are taken about the camera's x, y and z axes in this order (scipy's ``xyz``). All three are settings.
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

_EULER_ORDERS = ("xyz", "xzy", "yxz", "yzx", "zxy", "zyx")
"""Orders of extrinsic Euler angles, as scipy writes them."""

UNITS_M = {"m": 1.0, "cm": 0.01, "mm": 0.001}
"""Metres per unit of length."""


@dataclass(frozen=True)
class PromptConfig(ConfigNode):
    """Content and number format of training prompts."""

    pose: str = option("none", "Pose in training prompts (Table IX).", choices=("true", "none", "random"))
    length: str = option("cm", "Unit of translations.", choices=tuple(UNITS_M))
    angle: str = option("deg", "Unit of angles.", choices=("deg", "rad"))
    euler: str = option(
        "xyz", "Axis order of the Euler angles as in scipy: lower case for rotations about the camera's axes, upper "
        "case for rotations about the object's.", choices=(*_EULER_ORDERS, *(order.upper() for order in _EULER_ORDERS)),
    )  # fmt: skip
    decimals: int = option(2, "Number of decimals.", low=0, high=9)


def prompt_without_pose(category: str) -> str:
    """Return the prompt of an object without its pose, used at inference and as the text of a category."""
    return f"a point cloud model of a {category} whose pose is to be estimated."


def prompt_with_pose(category: str, T_camera_object: FloatArray, config: PromptConfig) -> str:
    """Return the prompt of an object with its pose.

    Args:
        category: Name of the category.
        T_camera_object: ``(4, 4)`` pose, metres.
        config: Units, Euler order and decimals.

    Raises:
        ShapeError: ``T_camera_object`` is not ``(4, 4)``.
    """
    T = np.asarray(T_camera_object, dtype=np.float64)
    if T.shape != (4, 4):
        raise ShapeError(f"T_camera_object must be (4, 4), got {T.shape}")
    with warnings.catch_warnings():
        # At gimbal lock scipy warns and sets one angle to 0; the angles still describe the rotation.
        warnings.simplefilter("ignore")
        angles = Rotation.from_matrix(T[:3, :3]).as_euler(config.euler, degrees=config.angle == "deg")
    rotation = _format_triple(angles, config.decimals)
    translation = _format_triple(T[:3, 3] / UNITS_M[config.length], config.decimals)
    return (
        f"a point cloud model of a {category} whose rotation euler angles is {rotation} and translation is "
        f"{translation}."
    )


def make_prompt(category: str, T_camera_object: FloatArray, config: PromptConfig, rng: np.random.Generator) -> str:
    """Return the training prompt of an object; ``rng`` draws the pose if ``config.pose`` is ``random``."""
    if config.pose == "none":
        return prompt_without_pose(category)
    return prompt_with_pose(category, random_pose(rng) if config.pose == "random" else T_camera_object, config)


def random_pose(rng: np.random.Generator) -> FloatArray:
    """Draw a pose ``(4, 4)`` with uniform rotation in the range of a table-top camera, independent of any object."""
    # A normalized Gaussian vector is uniform on the sphere of quaternions, so the rotation is uniform.
    R = Rotation.from_quat(rng.normal(size=4)).as_matrix()
    return make_transform(R, rng.uniform([-0.5, -0.4, 0.3], [0.5, 0.4, 1.5]))


def _format_triple(values: FloatArray, decimals: int) -> str:
    """Format three numbers as in the paper's prompts; -0 becomes 0."""
    # Adding 0.0 turns -0.0 into 0.0, which would be printed as -0.00.
    return "<" + ", ".join(f"{round(float(value), decimals) + 0.0:.{decimals}f}" for value in values) + ">"
