"""Print on surfaces: images wrapped around an axis, laid on a plane, or repeated on every side of a body."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from clipose_ros.types import BoolArray, FloatArray

_STEEP = 0.75
"""Cosine between normal and axis beyond which a wrapped print ends: it covers walls, no ends."""


class Print(Protocol):
    """An image on a surface."""

    def sample(self, points: FloatArray, normals: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return linear albedo ``(N, 3)`` and opacity ``(N,)`` at points and unit normals ``(N, 3)``, body frame."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class WrappedPrint:
    """An image around an axis of the body.

    Attributes:
        image: ``(H, W, 3)`` linear albedo, or ``(H, W, 4)`` with opacity; its rows run down the axis.
        low: Coordinate of the lower edge along the axis, metres.
        high: Coordinate of the upper edge along the axis, metres.
        turns: Share of the circumference that the image covers.
        start: Angle of its left edge, in turns: from +x about y, or from +z about x.
        axis: Coordinate axis: 1 for y, 0 for x.
        centre: ``(3,)`` point on the axis, metres.
    """

    image: FloatArray = field(repr=False)
    low: float
    high: float
    turns: float = 1.0
    start: float = 0.0
    axis: int = 1
    centre: FloatArray = field(default_factory=lambda: np.zeros(3))

    def sample(self, points: FloatArray, normals: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return albedo and opacity; walls between the two edges are covered."""
        first, second = (self.axis + 2) % 3, (self.axis + 1) % 3
        across = points - self.centre.astype(points.dtype)
        turn = np.arctan2(across[:, first], across[:, second]) / (2 * np.pi)
        # Seen from outside, letters read from left to right.
        u = (turn - 0.25 - self.start) % 1.0 / self.turns
        v = (self.high - points[:, self.axis]) / (self.high - self.low)
        covered = (u < 1.0) & (v > 0.0) & (v < 1.0) & (np.abs(normals[:, self.axis]) < _STEEP)
        return _sample(self.image, u, v, covered)


@dataclass(frozen=True, slots=True, eq=False)
class FlatPrint:
    """An image on the faces that point into one direction.

    Attributes:
        image: ``(H, W, 3)`` linear albedo, or ``(H, W, 4)`` with opacity.
        centre: ``(3,)`` centre of the image, metres.
        right: ``(3,)`` unit vector towards the right edge of the image.
        down: ``(3,)`` unit vector towards its lower edge.
        width: Width of the image, metres.
        height: Height of the image, metres.
    """

    image: FloatArray = field(repr=False)
    centre: FloatArray
    right: FloatArray
    down: FloatArray
    width: float
    height: float

    def sample(self, points: FloatArray, normals: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return albedo and opacity; faces within 45 degrees of the image plane's normal are covered."""
        offset = points - self.centre.astype(points.dtype)
        u, v = offset @ self.right / self.width + 0.5, offset @ self.down / self.height + 0.5
        facing = normals @ np.cross(self.down, self.right) > np.cos(np.pi / 4)
        return _sample(self.image, u, v, (u >= 0.0) & (u < 1.0) & (v >= 0.0) & (v < 1.0) & facing)


@dataclass(frozen=True, slots=True, eq=False)
class SidePrint:
    """An image that repeats on every side of a body.

    Attributes:
        image: ``(H, W, 3)`` linear albedo.
        side_m: Side of the image, metres.
    """

    image: FloatArray = field(repr=False)
    side_m: float

    def sample(self, points: FloatArray, normals: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return albedo and opacity 1, of the side that each normal faces."""
        axis = np.abs(normals).argmax(axis=1)
        first, second = np.array([2, 0, 0])[axis], np.array([1, 2, 1])[axis]
        rows = np.arange(len(points))
        # Seen from outside, letters read from left to right and are not upside down on upright sides.
        mirror = np.sign(normals[rows, axis]) * np.array([-1.0, 1.0, 1.0])[axis]
        down = np.where(axis == 1, 1.0, -1.0)
        u, v = mirror * points[rows, first] / self.side_m + 0.5, down * points[rows, second] / self.side_m + 0.5
        return _sample(self.image, u, v, np.ones(len(points), dtype=np.bool_))


def _sample(image: FloatArray, u: FloatArray, v: FloatArray, covered: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Sample an image that repeats in both directions at coordinates in units of its sides, where it covers."""
    height, width = image.shape[:2]
    sampled = image[(v * height).astype(np.int64) % height, (u * width).astype(np.int64) % width]
    opacity = covered.astype(np.float32)
    return sampled[:, :3], opacity * sampled[:, 3] if image.shape[2] == 4 else opacity
