"""Buffers of one point cloud: the points of all levels and their neighbourhoods.

A stage is a callable of the number of a part. The parts of a stage may run side by side; the next stage begins when all
parts are done.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from clipose_ros.inference.engines.cpu import kernels_graph
from clipose_ros.inference.engines.cpu.kernel_arguments import ColumnView, Neighbourhood
from clipose_ros.model.encoder import POOLING
from clipose_ros.types import FloatArray

Stage = Callable[[int], None]
"""Function of a part's number that computes the part's rows."""


class CloudBuffers:
    """Points of the three levels of one cloud and their neighbourhoods.

    Args:
        points: Number of points of the cloud.
        neighbours: Largest number of neighbours of a point.
        head_points: Number of points that the heads use.
        parts: Number of parts into which each stage is divided.

    Attributes:
        counts: Number of points of each level.
        neighbourhoods: Points and neighbours of each level.
        nearest: For each of the upper levels ``(head_points,)`` int32, its point nearest to each point of the heads.
        category: Index of the object's category.
    """

    def __init__(self, points: int, neighbours: int, head_points: int, parts: int) -> None:
        self.parts, self.head_points = parts, head_points
        self.counts = (points, points // POOLING, points // POOLING**2)
        self.neighbourhoods = tuple(
            Neighbourhood(np.zeros((3, count), np.float32), np.zeros((count, min(neighbours, count // 8)), np.int32))
            for count in self.counts
        )
        self.nearest = tuple(np.zeros(head_points, np.int32) for _ in self.counts[1:])
        self.category = 0

    def load(self, centred: FloatArray, category: int) -> None:
        """Copy a centred cloud ``(N, 3)`` in the network's unit into the buffers."""
        # The cloud is in random order, so the first points of a level are a random subset: those of the level above.
        for level, count in zip(self.neighbourhoods, self.counts, strict=True):
            level.points[:] = centred[:count].T
        self.category = category

    def part_rows(self, count: int, part: int) -> tuple[int, int]:
        """Return the first row of a part's share of ``count`` rows, and the row after the last."""
        return count * part // self.parts, count * (part + 1) // self.parts

    def find_neighbours(self, part: int) -> None:
        """Find the neighbours at every level, and the points of the upper levels nearest to the heads' points."""
        for level, count in zip(self.neighbourhoods, self.counts, strict=True):
            kernels_graph.nearest_points(level.points, *self.part_rows(count, part), level.neighbours)
        points = self.neighbourhoods[0].points
        for nearest, count in zip(self.nearest, self.counts[1:], strict=True):
            kernels_graph.nearest_candidate(points, count, *self.part_rows(self.head_points, part), nearest)


def make_column_view(count: int, first_column: int, width: int) -> ColumnView:
    """Allocate a buffer of ``count`` rows and ``width`` columns, and return a view from ``first_column`` on."""
    return ColumnView(np.zeros((count, width), np.float32), first_column, np.zeros(count, np.float32))
