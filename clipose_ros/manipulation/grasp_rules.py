"""Rules that say which grasps the objects of a category have, from ``config/grasps.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clipose_ros.bounded_files import read_yaml
from clipose_ros.config import ConfigNode, option, unknown_key_message
from clipose_ros.errors import ConfigError, UnreadableFileError, quoted
from clipose_ros.manipulation.gripper import GripperConfig

KINDS = ("side", "top", "rim", "handle", "box")
"""Kinds of grasp: across the y axis, along it, at the wall of an opening, at a handle, across the faces of a box."""


@dataclass(frozen=True)
class GraspRule(ConfigNode):
    """Grasps of a category."""

    kinds: tuple[str, ...] = option((), "Kinds of grasp; none: the objects have no grasps.", choices=KINDS)
    axial: bool = option(False, "The turn about the y axis is free: grasps are spread around the axis.")
    handle: bool = option(False, "A round body with a handle at +x, as that of a mug.")
    heights: tuple[float, ...] = option(
        (0.0,), "Heights of grasps from the side, as fractions of the extent from the centre.", low=-0.5, high=0.5
    )
    max_yaw_std_deg: float = option(
        30.0,
        "Largest standard deviation of the yaw of an object whose turn is not free, degrees; no grasps above it.",
        low=0.0,
        high=180.0,
    )
    max_handle_yaw_std_deg: float = option(
        15.0, "Largest standard deviation of the yaw for grasps of the handle, degrees.", low=0.0, high=180.0
    )
    max_tilt_std_deg: float = option(
        20.0, "Largest standard deviation of the tilt of the y axis, degrees; no grasps above it.", low=0.0, high=180.0
    )
    yaws: int = option(16, "Number of directions around the y axis.", low=4, high=72)
    rim_depth_m: float = option(0.015, "Depth of the middle of the pads below the rim, metres.", low=0.0, high=0.2)
    wall_m: float = option(0.01, "Thickness of the wall of an opening and of a handle, metres.", low=0.001, high=0.1)
    wall_opening_m: float = option(
        0.04, "Distance of the fingers for grasps of a wall or handle, metres.", low=0.001, high=0.5
    )


@dataclass(frozen=True)
class GraspRules:
    """Gripper and rules.

    Attributes:
        gripper: Dimensions of the gripper.
        categories: Rule of each category; others have no grasps.
    """

    gripper: GripperConfig = field(default_factory=GripperConfig)
    categories: Mapping[str, GraspRule] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> GraspRules:
        """Read a file such as ``config/grasps.yaml``.

        Raises:
            ConfigError: The file cannot be read, or a key or value is wrong; the message names both.
        """
        try:
            values = read_yaml(path)
        except UnreadableFileError as error:
            raise ConfigError(f"grasps '{path}' cannot be read: {error}") from error
        try:
            return cls.from_mapping(values)
        except ConfigError as error:
            raise ConfigError(f"grasps '{path}': {error}") from error

    @classmethod
    def from_mapping(cls, values: object) -> GraspRules:
        """Create the rules from plain values.

        Raises:
            ConfigError: A key is unknown, or a value has the wrong type or is out of bounds.
        """
        known = ["gripper", "categories"]
        if not isinstance(values, Mapping):
            raise ConfigError(f"expected a mapping with {' and '.join(known)}, got {quoted(values)}")
        for key in values:
            if key not in known:
                raise ConfigError(unknown_key_message(str(key), known))
        categories = values.get("categories", {})
        if not isinstance(categories, Mapping) or not all(isinstance(name, str) for name in categories):
            raise ConfigError(f"'categories' must map names of categories to rules, got {quoted(categories)}")
        return cls(
            GripperConfig.from_mapping(values.get("gripper", {}), "gripper."),
            {name: GraspRule.from_mapping(rule, f"categories.{name}.") for name, rule in categories.items()},
        )
