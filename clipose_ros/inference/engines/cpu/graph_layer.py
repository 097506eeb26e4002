"""Graph layer of the CPU engine: its buffers, and the stages that fill them.

With input x, response r = conv(x) and mean neighbourhood maximum g of r, a layer computes
``relu(norm(merge [r, g] + straight x))``. ``weights`` folds this into one product with ``[r, x]`` and a shift that
depends on g.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from clipose_ros.inference.engines.cpu import kernels_dense, kernels_graph
from clipose_ros.inference.engines.cpu.buffers import CloudBuffers, Stage
from clipose_ros.inference.engines.cpu.gemm import BufferRows, Gemm
from clipose_ros.inference.engines.cpu.kernel_arguments import ColumnView, Neighbourhood, ProjectedFeatures, ScaleShift
from clipose_ros.inference.engines.cpu.weights import LayerWeights


@dataclass(frozen=True)
class LayerColumns:
    """Buffers that a layer reads and writes.

    Attributes:
        response: Response in the columns from 0 on; the view begins with the layer's input x behind it.
        target: Columns that receive the layer's result.
    """

    response: ColumnView
    target: ColumnView


class GraphLayerPass:
    """One graph layer on one cloud.

    Args:
        cloud: Points and neighbourhoods.
        level: Index of the layer's level.
        weights: Weights of the layer.
        columns: Buffers of input and result.

    Attributes:
        neighbours: ``(N, k)`` int32, the neighbours of the convolution: in feature space in the hybrid-scope encoder,
            else in space.
        stages: Stages in order.
    """

    def __init__(self, cloud: CloudBuffers, level: int, weights: LayerWeights, columns: LayerColumns) -> None:
        self._weights, self._joined, self._target = weights, columns.response, columns.target
        self._neighbourhood = cloud.neighbourhoods[level]
        self._count = cloud.counts[level]
        self._rows = [cloud.part_rows(self._count, part) for part in range(cloud.parts)]
        self._hybrid = weights.merge is not None
        self.neighbours = self._neighbourhood.neighbours
        self.stages: list[Stage] = [self._convolve_surface]
        if weights.project is not None:
            self._allocate_projection(weights.project)
            self.stages = [self._project, self._convolve]
        if weights.merge is not None:
            self._totals = np.zeros((cloud.parts, weights.channels), np.float32)
            merged, sources = torch.zeros(self._count, weights.channels), torch.from_numpy(self._joined.buffer)
            self._merged = merged.numpy()
            self._merges = [(sources[slice(*rows), : len(weights.merge)], merged[slice(*rows)]) for rows in self._rows]
            self.stages += [self._sum_maxima, self._merge]
        else:
            self.stages += [self._scale_shift_relu]

    def _allocate_projection(self, product: Gemm) -> None:
        """Allocate the projected features, and the neighbours in feature space."""
        joined, scales = self._joined, np.ones(self._count, np.float32)
        values = np.zeros((self._count, len(self._weights.shift)), product.result_type)
        self._projected = ProjectedFeatures(values, scales, product.columns, self._weights.shift)
        self._projects = [
            (BufferRows(joined, product.width, rows, scales), torch.from_numpy(values)[slice(*rows)])
            for rows in self._rows
        ]
        if self._hybrid:
            self.neighbours = np.zeros_like(self.neighbours)
            products = torch.zeros(self._count, self._count)
            self._products = products.numpy()
            columns = slice(joined.first_column, joined.first_column + product.width)
            self._features = torch.from_numpy(joined.buffer)[:, columns].t()
            self._product_rows = [products[slice(*rows)] for rows in self._rows]
        self._feature_neighbourhood = Neighbourhood(self._neighbourhood.points, self.neighbours)

    def _convolve_surface(self, part: int) -> None:
        """Compute the response of bare coordinates."""
        kernels_graph.surface_convolution(
            self._neighbourhood, self._weights.supports, *self._rows[part], self._joined.buffer
        )

    def _project(self, part: int) -> None:
        """Project the features, and find the neighbours in feature space."""
        source, out = self._projects[part]
        assert self._weights.project is not None
        self._weights.project(source, out)
        if self._hybrid:
            torch.mm(source.tensor, self._features, out=self._product_rows[part])
            kernels_graph.nearest_features(self._products, self._joined.squares, *self._rows[part], self.neighbours)

    def _convolve(self, part: int) -> None:
        """Compute the response of the projected features."""
        kernels_graph.graph_convolution(
            self._feature_neighbourhood, self._weights.supports, self._projected, *self._rows[part], self._joined.buffer
        )

    def _sum_maxima(self, part: int) -> None:
        """Sum the neighbourhood maxima of the response over the part's points."""
        neighbours = self._neighbourhood.neighbours
        kernels_graph.sum_of_maxima(self._joined.buffer, neighbours, *self._rows[part], self._totals[part])

    def _merge(self, part: int) -> None:
        """Add the global feature (ORL) and the straight-through path (STE), normalise and rectify."""
        weights, (source, out) = self._weights, self._merges[part]
        assert weights.merge is not None
        torch.mm(source, weights.merge, out=out)
        shift = kernels_dense.global_feature_shift(
            self._totals, self._count, weights.global_feature, weights.output.shift
        )
        function = ScaleShift(weights.output.scale, shift, weights.output.lower_bound)
        kernels_dense.scale_shift_relu(self._merged, function, *self._rows[part], self._target)

    def _scale_shift_relu(self, part: int) -> None:
        """Normalise and rectify the response alone."""
        kernels_dense.scale_shift_relu(self._joined.buffer, self._weights.output, *self._rows[part], self._target)
