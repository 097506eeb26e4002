"""Parallel gripper as boxes: two fingers and a palm.

Gripper frame: z is the approach direction, y the direction in which the fingers close, x = y cross z. The origin lies
between the fingers, in the middle of their pads. The origin of the frame ``panda_hand_tcp`` is the same point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.config import ConfigNode, option
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Oriented boxes.

    Attributes:
        T: ``(..., 4, 4)`` poses of the centres, metres.
        size: ``(..., 3)`` full extents along their axes, metres.
    """

    T: FloatArray
    size: FloatArray


@dataclass(frozen=True)
class GripperConfig(ConfigNode):
    """Dimensions of the gripper, metres; the defaults are those of the Franka hand."""

    max_opening_m: float = option(0.08, "Largest distance of the fingers.", low=0.001, high=1.0)
    finger_width_m: float = option(
        0.02, "Width of a finger, across closing and approach direction.", low=0.001, high=1.0
    )
    finger_thickness_m: float = option(0.014, "Thickness of a finger along the closing direction.", low=0.001, high=1.0)
    pad_length_m: float = option(0.018, "Length of the pads along the approach direction.", low=0.001, high=1.0)
    reach_m: float = option(0.045, "Distance from the palm to the middle of the pads.", low=0.001, high=1.0)
    palm_size_m: tuple[float, float, float] = option(
        (0.063, 0.204, 0.066), "Extent of the palm: across, along the closing direction, along the approach direction.",
        low=0.001, high=1.0,
    )  # fmt: skip
    clearance_m: float = option(
        0.005, "Least free distance beside each finger, at the palm and above the table.", low=0.0, high=0.1
    )

    def hand_boxes(self, opening: FloatArray, travel_m: float = 0.0) -> Boxes:
        """Return the boxes that the gripper occupies while it moves along the approach direction to its final place.

        Args:
            opening: ``(N,)`` distances of the fingers, metres.
            travel_m: Length of the motion, metres; 0 for the final place alone. A box that moves along one of its axes
                sweeps a longer box.

        Returns:
            ``(N, 3)`` boxes in the gripper frame: finger at -y, finger at +y, palm.
        """
        tip, palm_front = 0.5 * self.pad_length_m, -self.reach_m
        palm_x, palm_y, palm_z = self.palm_size_m
        low = np.array([palm_front, palm_front, palm_front - palm_z]) - travel_m
        high = np.array([tip, tip, palm_front])
        centres = np.zeros((len(opening), 3, 3))
        centres[..., 2] = 0.5 * (low + high)
        beside = 0.5 * (opening + self.finger_thickness_m)
        centres[:, 0, 1], centres[:, 1, 1] = -beside, beside
        size = np.empty((len(opening), 3, 3))
        size[:, :2, 0], size[:, :2, 1] = self.finger_width_m, self.finger_thickness_m
        size[:, 2, 0], size[:, 2, 1] = palm_x, palm_y
        size[..., 2] = high - low
        return Boxes(make_transform(np.eye(3), centres), size)

    def closing_region(self, opening: FloatArray) -> FloatArray:
        """Return the extents ``(N, 3)`` of the boxes between the pads, centred at the origin of the gripper frame."""
        widths = np.full(len(opening), self.finger_width_m)
        return np.stack([widths, opening, np.full(len(opening), self.pad_length_m)], axis=1)
