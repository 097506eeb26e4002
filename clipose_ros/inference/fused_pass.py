"""One cloud's way through the fused network: buffers made once, and the stages that fill them.

A stage is called once per part with the part's number. Parts of a stage may run side by side; the next stage begins
when all are done. A layer's input x lies beside its response f in one buffer, so that ``[f, x]`` is one operand, and
the levels' features lie side by side as the heads read them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from clipose_ros.inference import kernels_graph, kernels_rows
from clipose_ros.inference.fused_weights import HeadWeights, LayerWeights
from clipose_ros.model.encoder import POOLING
from clipose_ros.types import FloatArray

Stage = Callable[[int], None]

BLOCK = 128
"""Points whose wide head features are held at a time: enough for fast products, few enough for the cache."""


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


class LayerPass:
    """One graph layer.

    Args:
        cloud: Points and neighbourhoods.
        level: Which of the cloud's levels.
        weights: The layer's.
        joined: Response and, behind it, the layer's input x with its squares.
        target: Where the result goes.
    """

    def __init__(self, cloud: Cloud, level: int, weights: LayerWeights, joined: Columns, target: Columns) -> None:
        self._cloud, self._weights, self._joined, self._target = cloud, weights, joined, target
        self._points, self._near = cloud.points[level], cloud.near[level]
        self._count, channels = cloud.counts[level], weights.channels
        hybrid = weights.merge is not None
        self.field = np.zeros_like(self._near) if hybrid and weights.project else self._near
        self._totals = np.zeros((cloud.parts, channels), np.float32)
        self._merged = torch.zeros(self._count if hybrid else 0, channels)
        self.stages: list[Stage] = [self._surface]
        if weights.project is not None:
            self._scales = np.ones(self._count, np.float32)
            self._projected = np.zeros((self._count, len(weights.shift)), weights.project.result_type)
            self._products = torch.zeros((self._count, self._count) if hybrid else (0, 0))
            self.stages = [self._project, self._respond]
        self.stages += [self._overall, self._merge] if hybrid else [self._settle]

    def _surface(self, part: int) -> None:
        rows, weights = self._cloud.rows(self._count, part), self._weights
        kernels_graph.surface_response(
            self._points, self._near, weights.supports, weights.count, *rows, self._joined.buffer
        )

    def _project(self, part: int) -> None:
        """Features of centre and supports; the receptive field in feature space."""
        start, stop = self._cloud.rows(self._count, part)
        product, source = self._weights.project, self._joined
        assert product is not None
        operand = product.operand(source.buffer, source.place, start, stop, self._scales)
        product(operand, torch.from_numpy(self._projected)[start:stop])
        if self._weights.merge is not None:
            width = len(self._weights.merge) - self._weights.channels
            features = torch.from_numpy(source.buffer)[:, source.place : source.place + width]
            torch.mm(features[start:stop], features.t(), out=self._products[start:stop])
            kernels_graph.nearest_features(self._products.numpy(), source.squares, start, stop, self.field)

    def _respond(self, part: int) -> None:
        rows, weights = self._cloud.rows(self._count, part), self._weights
        assert weights.project is not None
        kernels_graph.graph_response(
            self._points, self.field, weights.supports, weights.count, self._projected, self._scales,
            weights.project.columns, weights.shift, *rows, self._joined.buffer,
        )  # fmt: skip

    def _overall(self, part: int) -> None:
        rows = self._cloud.rows(self._count, part)
        kernels_graph.sum_of_maxima(self._joined.buffer, self._near, *rows, self._totals[part])

    def _merge(self, part: int) -> None:
        """ORL and the straight-through path, normalised and rectified."""
        start, stop = self._cloud.rows(self._count, part)
        weights, target = self._weights, self._target
        assert weights.merge is not None
        operand = torch.from_numpy(self._joined.buffer)[start:stop, : len(weights.merge)]
        torch.mm(operand, weights.merge, out=self._merged[start:stop])
        mean = torch.from_numpy(self._totals.sum(axis=0) / np.float32(self._count))
        shift = torch.addmv(torch.from_numpy(weights.offset), weights.overall, mean).numpy()
        kernels_rows.settle(
            self._merged.numpy(), weights.scale, shift, weights.least, start, stop,
            target.buffer, target.place, target.squares,
        )  # fmt: skip

    def _settle(self, part: int) -> None:
        """The response alone, normalised and rectified."""
        rows, weights, target = self._cloud.rows(self._count, part), self._weights, self._target
        kernels_rows.settle(
            self._joined.buffer, weights.scale, weights.offset, weights.least, *rows,
            target.buffer, target.place, target.squares,
        )  # fmt: skip


class HeadPass:
    """The three heads.

    Args:
        cloud: Points and neighbourhoods.
        weights: The heads'.
        levels: Features of each level.
    """

    def __init__(self, cloud: Cloud, weights: HeadWeights, levels: tuple[Columns, Columns, Columns]) -> None:
        self._cloud, self._weights, self._levels = cloud, weights, levels
        wide, narrow = weights.columns.shape[1] // 3, weights.second_bias.shape[1]
        operand, result = weights.second[0].operand_type, weights.second[0].result_type
        parts = cloud.parts
        self._scales = tuple(np.ones(count, np.float32) for count in cloud.counts)
        self._upper = tuple(np.zeros((count, 3 * wide), result) for count in cloud.counts[1:])
        self._fine = np.zeros((parts, BLOCK, 3 * wide), result)
        self._hidden = np.zeros((parts, 3, BLOCK, wide), operand)
        self._hidden_scales = np.ones((parts, 3, BLOCK), np.float32)
        self._second = np.zeros((parts, 3, BLOCK, narrow), result)
        self._best = np.zeros((parts, 3, narrow), np.float32)
        self.values: FloatArray = np.zeros((3, 6), np.float32)
        self.stages: list[Stage] = [self._upper_levels, self._points, self._read]

    def _upper_levels(self, part: int) -> None:
        """First layer at the points of the upper levels."""
        for level, count in enumerate(self._cloud.counts[1:], start=1):
            rows = self._cloud.rows(count, part)
            self._product(level, *rows, self._upper[level - 1][slice(*rows)])

    def _product(self, level: int, start: int, stop: int, out: NDArray[np.generic]) -> None:
        product, source = self._weights.levels[level], self._levels[level]
        operand = product.operand(source.buffer, source.place, start, stop, self._scales[level])
        product(operand, torch.from_numpy(out))

    def _points(self, part: int) -> None:
        """First and second layer at every point, and the maximum over this part's points."""
        self._best[part] = -np.inf
        first, last = self._cloud.rows(self._cloud.seen, part)
        for start in range(first, last, BLOCK):
            stop = min(start + BLOCK, last)
            self._product(0, start, stop, self._fine[part, : stop - start])
            self._spread(part, start, stop)
            for head, product in enumerate(self._weights.second):
                hidden, second = self._hidden[part, head], self._second[part, head]
                product(torch.from_numpy(hidden[: stop - start]), torch.from_numpy(second[: stop - start]))
            kernels_rows.raise_maxima(self._second[part], self._hidden_scales[part], stop - start, self._best[part])

    def _spread(self, part: int, start: int, stop: int) -> None:
        weights, cloud, hidden = self._weights, self._cloud, self._hidden[part]
        told = (
            self._fine[part], *self._upper, *self._scales, weights.columns, *cloud.closest,
            weights.bias[cloud.category], cloud.points[0], weights.beside, start, stop, hidden,
        )  # fmt: skip
        if hidden.dtype == np.int8:
            kernels_rows.spread_int8(*told, self._hidden_scales[part])
        else:
            kernels_rows.spread(*told)

    def _read(self, part: int) -> None:
        """The layers behind the maximum, by one part for all."""
        if part:
            return
        weights = self._weights
        best = np.maximum(self._best.max(axis=0) * weights.second_columns + weights.second_bias, np.float32(0.0))
        hidden = torch.baddbmm(weights.third_bias, torch.from_numpy(best).unsqueeze(1), weights.third).relu_()
        self.values[:] = torch.baddbmm(weights.last_bias, hidden, weights.last).squeeze(1).numpy()


class CloudPass:
    """Everything from a centred cloud to the heads' raw values.

    Args:
        layers: Weights of the five graph layers.
        heads: Weights of the heads.
        cloud: Points and neighbourhoods.
    """

    def __init__(self, layers: tuple[LayerWeights, ...], heads: HeadWeights, cloud: Cloud) -> None:
        self.cloud = cloud
        w0, w1, w2, w3, w4 = (weights.channels for weights in layers)
        surface = _columns(cloud.counts[0], w0, w0 + 3)
        fine = _columns(cloud.counts[0], w1, w1 + w0 + w1)
        entering = _columns(cloud.counts[1], w2, w2 + w1)
        middle = _columns(cloud.counts[1], w3, w3 + w2 + w3)
        last = _columns(cloud.counts[2], w4, w4 + w3)
        coarse = _columns(cloud.counts[2], 0, w4)
        level1, level3 = (
            Columns(c.buffer, c.place + w, np.zeros_like(c.squares)) for c, w in ((fine, w0), (middle, w2))
        )
        self._places = surface.buffer[:, w0:]
        self.layers = tuple(
            LayerPass(cloud, level, weights, joined, target)
            for level, weights, joined, target in zip(
                (0, 0, 1, 1, 2), layers, (surface, fine, entering, middle, last),
                (fine, level1, middle, level3, coarse), strict=True,
            )
        )  # fmt: skip
        self.heads = HeadPass(cloud, heads, (fine, middle, coarse))
        stages = [layer.stages for layer in self.layers]
        self.stages: list[Stage] = [
            cloud.neighbourhoods,
            *stages[0], *stages[1], self._pooling(0, level1, entering),
            *stages[2], *stages[3], self._pooling(1, level3, last),
            *stages[4], *self.heads.stages,
        ]  # fmt: skip

    def load(self, centred: FloatArray, category: int) -> None:
        """Take over a centred cloud ``(N, 3)`` in the network's unit."""
        self.cloud.load(centred, category)
        self._places[:] = centred

    def _pooling(self, level: int, source: Columns, target: Columns) -> Stage:
        cloud = self.cloud

        def pool(part: int) -> None:
            rows = cloud.rows(cloud.counts[level + 1], part)
            kernels_graph.pool(
                source.buffer, source.place, POOLING, cloud.near[level], *rows,
                target.buffer, target.place, target.squares,
            )  # fmt: skip

        return pool


def _columns(count: int, place: int, width: int) -> Columns:
    return Columns(np.zeros((count, width), np.float32), place, np.zeros(count, np.float32))
