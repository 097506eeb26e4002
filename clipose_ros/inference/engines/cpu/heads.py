"""The heads of the fused engine: their buffers, and the stages that fill them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from clipose_ros.inference.engines.cpu import kernels_dense as kernels_rows
from clipose_ros.inference.engines.cpu.buffers import Cloud, Columns, Stage
from clipose_ros.inference.engines.cpu.gemm import Gemm, Rows
from clipose_ros.inference.engines.cpu.weights import HeadWeights
from clipose_ros.types import FloatArray

Values = NDArray[np.generic]

BLOCK = 128
"""Points whose wide head features are held at a time: enough for fast products, few enough for the cache."""


class Block:
    """Room for the heads' features of some points.

    Args:
        rows: The points' features.
        fine: ``(BLOCK, 3 W)``, first layer's products with them.
        hidden: ``(3, BLOCK, W)``, the first layer's result.
        hidden_scales: ``(3, BLOCK)``, its rows' factors.
        second: ``(3, BLOCK, V)``, the second layer's products.
    """

    def __init__(self, rows: Rows, fine: Values, hidden: Values, hidden_scales: FloatArray, second: Values) -> None:
        count = rows.stop - rows.start
        self.rows, self.fine, self.hidden, self.hidden_scales, self.second = rows, fine, hidden, hidden_scales, second
        self.fine_rows = torch.from_numpy(fine)[:count]
        self.products = [
            (torch.from_numpy(a)[:count], torch.from_numpy(b)[:count]) for a, b in zip(hidden, second, strict=True)
        ]


class HeadPass:
    """The three heads.

    Args:
        cloud: Points and neighbourhoods.
        weights: The heads'.
        levels: Features of each level.
    """

    def __init__(self, cloud: Cloud, weights: HeadWeights, levels: tuple[Columns, Columns, Columns]) -> None:
        self._cloud, self._weights = cloud, weights
        narrow = weights.second_bias.shape[1]
        self._scales = tuple(np.ones(count, np.float32) for count in cloud.counts)
        self._best = np.zeros((cloud.parts, 3, narrow), np.float32)
        self.values: FloatArray = np.zeros((3, 6), np.float32)
        self._upper = tuple(
            np.zeros((count, len(product.columns)), product.result_type)
            for count, product in zip(cloud.counts[1:], weights.levels[1:], strict=True)
        )
        fine, *upper = zip(levels, self._scales, weights.levels, strict=True)
        self._uppers = [
            [
                (
                    product,
                    Rows(source.buffer, source.place, product.width, *rows, scales),
                    torch.from_numpy(out)[slice(*rows)],
                )
                for (source, scales, product), out in zip(upper, self._upper, strict=True)
                for rows in [cloud.rows(len(out), part)]
            ]
            for part in range(cloud.parts)
        ]
        self._blocks = [self._blocks_of(part, *fine) for part in range(cloud.parts)]
        self.stages: list[Stage] = [self._upper_levels, self._points, self._read]

    def _blocks_of(self, part: int, source: Columns, scales: FloatArray, product: Gemm) -> list[Block]:
        """A part's points in blocks, all with the same room."""
        first, last = self._cloud.rows(self._cloud.seen, part)
        wide, (_, narrow) = len(product.columns) // 3, self._weights.second_bias.shape
        then = self._weights.second[0]
        fine = np.zeros((BLOCK, 3 * wide), product.result_type)
        hidden, second = np.zeros((3, BLOCK, wide), then.operand_type), np.zeros((3, BLOCK, narrow), then.result_type)
        hidden_scales = np.ones((3, BLOCK), np.float32)
        starts = range(first, last, BLOCK)
        return [
            Block(
                Rows(source.buffer, source.place, product.width, start, min(start + BLOCK, last), scales),
                fine, hidden, hidden_scales, second,
            )
            for start in starts
        ]  # fmt: skip

    def _upper_levels(self, part: int) -> None:
        """First layer at the points of the upper levels."""
        for product, rows, out in self._uppers[part]:
            product(rows, out)

    def _points(self, part: int) -> None:
        """First and second layer at every point, and the maximum over this part's points."""
        self._best[part] = -np.inf
        for block in self._blocks[part]:
            self._weights.levels[0](block.rows, block.fine_rows)
            self._spread(block)
            for product, (hidden, second) in zip(self._weights.second, block.products, strict=True):
                product.multiply(hidden, second)
            count = block.rows.stop - block.rows.start
            kernels_rows.raise_maxima(block.second, block.hidden_scales, count, self._best[part])

    def _spread(self, block: Block) -> None:
        weights, cloud = self._weights, self._cloud
        told = (
            block.fine, *self._upper, *self._scales, weights.columns, *cloud.closest, weights.bias[cloud.category],
            cloud.points[0], weights.beside, block.rows.start, block.rows.stop, block.hidden,
        )  # fmt: skip
        if block.hidden.dtype == np.int8:
            kernels_rows.spread_int8(*told, block.hidden_scales)
        else:
            kernels_rows.spread(*told)

    def _read(self, part: int) -> None:
        """The layers behind the maximum, by one part for all."""
        if part:
            return
        weights = self._weights
        kernels_rows.read(
            self._best, weights.second_columns, weights.second_bias, weights.third, weights.third_bias,
            weights.last, weights.last_bias, self.values,
        )  # fmt: skip
