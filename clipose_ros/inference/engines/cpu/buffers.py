"""What the passes of the fused engine share: a cloud with its neighbourhoods, and columns of buffers.

A stage is called once per part with the part's number. Parts of a stage may run side by side; the next stage begins
when all are done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clipose_ros.inference.engines.cpu import kernels_graph
from clipose_ros.model.encoder import POOLING
from clipose_ros.types import FloatArray

Stage = Callable[[int], None]


@dataclass(frozen=True)
class Columns:
    """Channels of a buffer: from ``place`` on, and each row's sum of squares."""

    buffer: FloatArray
    place: int
    squares: FloatArray


class Cloud:
    """The points of all levels and their neighbourhoods.

    Args:
        points: How many.
        neighbours: The most neighbours of a point.
        seen: Points that the heads look at.
        parts: Into how many parts a stage is divided.
    """

    def __init__(self, points: int, neighbours: int, seen: int, parts: int) -> None:
        self.parts, self.seen = parts, seen
        self.counts = (points, points // POOLING, points // POOLING**2)
        self.points = tuple(np.zeros((3, count), np.float32) for count in self.counts)
        self.near = tuple(np.zeros((count, min(neighbours, count // 8)), np.int32) for count in self.counts)
        self.closest = tuple(np.zeros(seen, np.int32) for _ in self.counts[1:])
        self.category = 0

    def load(self, centred: FloatArray, category: int) -> None:
        """Take over a centred cloud ``(N, 3)`` in the network's unit."""
        for points, count in zip(self.points, self.counts, strict=True):
            points[:] = centred[:count].T
        self.category = category

    def rows(self, count: int, part: int) -> tuple[int, int]:
        """A part's share of so many rows."""
        return count * part // self.parts, count * (part + 1) // self.parts

    def neighbourhoods(self, part: int) -> None:
        """Neighbours at every level, and the points of the upper levels closest to those that the heads look at."""
        for points, near, count in zip(self.points, self.near, self.counts, strict=True):
            kernels_graph.nearest_points(points, *self.rows(count, part), near)
        for closest, count in zip(self.closest, self.counts[1:], strict=True):
            kernels_graph.closest(self.points[0], count, *self.rows(self.seen, part), closest)
