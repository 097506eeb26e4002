"""Heads of the CPU engine: their buffers, and the stages that fill them.

Shapes: N points of the heads, M and L points of the upper levels, W and V the widths of a head's two point layers, P
points of a block. The three heads (y axis, x axis, translation and size) are computed side by side::

    middle, coarse = features of the upper levels times weights      (M, 3 W), (L, 3 W)   stage _project_upper_levels
    for each block of P points:                                                           stage _compute_points
        fine = features of the first level times weights             (P, 3 W)
        hidden = relu(fine + middle[nearest] + coarse[nearest] + ..) (3, P, W)            kernels_dense.head_input
        best = max(best, hidden times weights)                       (3, V)
    values = layers behind the maximum                               (3, 6)               stage _compute_output

A part keeps its own maximum over its points. Only the maximum leaves a block, so the wide features of all points never
exist at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipose_ros.inference.engines.cpu import kernels_dense
from clipose_ros.inference.engines.cpu.buffers import CloudBuffers, Stage
from clipose_ros.inference.engines.cpu.gemm import BufferRows, Gemm
from clipose_ros.inference.engines.cpu.kernel_arguments import ColumnView, HeadLevels, HeadRows, ProductArray
from clipose_ros.inference.engines.cpu.weights import HeadWeights
from clipose_ros.types import FloatArray

BLOCK = 128
"""P, the number of points of a block: enough for fast products, few enough for their features to stay in the cache."""


@dataclass(frozen=True)
class _BlockBuffers:
    """Buffers of the heads for one block of points, shared by all blocks of a part; P is ``BLOCK``.

    Attributes:
        levels: First-layer products; those of the fine level are of the block's points.
        hidden: ``(3, P, W)`` results of the first layer, and ``(3, P)`` their row scales.
        second: ``(3, P, V)`` products of the second layer.
    """

    levels: HeadLevels
    hidden: HeadRows
    second: ProductArray


class _Block:
    """One block of points, with views of the buffers.

    Args:
        rows: Features of the points.
        buffers: Buffers of the part.
    """

    def __init__(self, rows: BufferRows, buffers: _BlockBuffers) -> None:
        self.rows, self.buffers = rows, buffers
        self.count = rows.stop - rows.start
        self.fine_rows = torch.from_numpy(buffers.levels.fine)[: self.count]
        self.products: list[tuple[Tensor, Tensor]] = [
            (torch.from_numpy(a)[: self.count], torch.from_numpy(b)[: self.count])
            for a, b in zip(buffers.hidden.values, buffers.second, strict=True)
        ]


class HeadsPass:
    """The three heads on one cloud.

    Args:
        cloud: Points and neighbourhoods.
        weights: Weights of the heads.
        levels: Features of each level.

    Attributes:
        values: ``(3, 6)`` raw values of the heads y, x, translation and size.
        stages: Stages in order.
    """

    def __init__(
        self, cloud: CloudBuffers, weights: HeadWeights, levels: tuple[ColumnView, ColumnView, ColumnView]
    ) -> None:
        self._cloud, self._weights = cloud, weights
        self._best = np.zeros((cloud.parts, 3, weights.output.bias.shape[1]), np.float32)
        self.values: FloatArray = np.zeros((3, 6), np.float32)
        self._scales = tuple(np.ones(count, np.float32) for count in cloud.counts)
        self._upper = tuple(
            np.zeros((count, len(product.columns)), product.result_type)
            for count, product in zip(cloud.counts[1:], weights.levels[1:], strict=True)
        )
        self._upper_products = [self._make_upper_products(part, levels) for part in range(cloud.parts)]
        self._blocks = [self._make_blocks(part, levels[0]) for part in range(cloud.parts)]
        self.stages: list[Stage] = [self._project_upper_levels, self._compute_points, self._compute_output]

    def _make_upper_products(
        self, part: int, levels: tuple[ColumnView, ColumnView, ColumnView]
    ) -> list[tuple[Gemm, BufferRows, Tensor]]:
        """Return the products of a part with the features of the upper levels: weight, operand and result."""
        products = []
        for product, view, scales, out in zip(
            self._weights.levels[1:], levels[1:], self._scales[1:], self._upper, strict=True
        ):
            rows = self._cloud.part_rows(len(out), part)
            operand = BufferRows(view, product.width, rows, scales)
            products.append((product, operand, torch.from_numpy(out)[slice(*rows)]))
        return products

    def _make_blocks(self, part: int, features: ColumnView) -> list[_Block]:
        """Divide a part's points into blocks that share their buffers."""
        first, last = self._cloud.part_rows(self._cloud.head_points, part)
        product, second = self._weights.levels[0], self._weights.second[0]
        wide, narrow = len(product.columns) // 3, self._weights.output.bias.shape[1]
        fine = np.zeros((BLOCK, 3 * wide), product.result_type)
        levels = HeadLevels(
            fine=fine,
            middle=self._upper[0],
            coarse=self._upper[1],
            fine_scales=self._scales[0],
            middle_scales=self._scales[1],
            coarse_scales=self._scales[2],
            nearest_middle=self._cloud.nearest[0],
            nearest_coarse=self._cloud.nearest[1],
            points=self._cloud.neighbourhoods[0].points,
        )
        hidden = HeadRows(np.zeros((3, BLOCK, wide), second.operand_type), np.ones((3, BLOCK), np.float32))
        buffers = _BlockBuffers(levels, hidden, np.zeros((3, BLOCK, narrow), second.result_type))
        return [
            _Block(BufferRows(features, product.width, (start, min(start + BLOCK, last)), self._scales[0]), buffers)
            for start in range(first, last, BLOCK)
        ]

    def _project_upper_levels(self, part: int) -> None:
        """Compute the first layer's products at the points of the upper levels."""
        for product, rows, out in self._upper_products[part]:
            product(rows, out)

    def _compute_points(self, part: int) -> None:
        """Compute the first and second layer at every point, and the maximum over this part's points."""
        self._best[part] = -np.inf
        for block in self._blocks[part]:
            self._weights.levels[0](block.rows, block.fine_rows)
            self._compute_head_input(block)
            for product, (hidden, second) in zip(self._weights.second, block.products, strict=True):
                product.multiply(hidden, second)
            buffers = block.buffers
            kernels_dense.update_maxima(buffers.second, buffers.hidden.scales, block.count, self._best[part])

    def _compute_head_input(self, block: _Block) -> None:
        """Compute the first layer at a block's points, in the type of the second layer's operand."""
        levels, hidden, rows = block.buffers.levels, block.buffers.hidden, block.rows
        weights, category = self._weights.input, self._cloud.category
        if hidden.values.dtype == np.int8:
            kernels_dense.head_input_int8(levels, weights, category, rows.start, rows.stop, hidden)
        else:
            kernels_dense.head_input(levels, weights, category, rows.start, rows.stop, hidden.values)

    def _compute_output(self, part: int) -> None:
        """Compute the layers behind the maximum, by the first part for all."""
        if part == 0:
            kernels_dense.head_output(self._best, self._weights.output, self.values)
