"""Graph layer of the CPU engine: its buffers, and the stages that fill them.

Shapes: N points, k neighbours, C_in input and C output channels, S supports. A layer of the hybrid-scope encoder maps
features x ``(N, C_in)`` to y ``(N, C)``::

    p = project x                                      (N, C + S * C)   stage _project
    j(i) = k nearest rows of x[i]                      (N, k)           stage _project
    r = graph convolution of p over j                  (N, C)           stage _convolve
    g = mean over i of max over neighbours in space r  (C,)             stage _sum_maxima
    y = relu(norm(r + merge [r, g] + straight x))      (N, C)           stage _merge

``weights`` folds the last line into ``relu([r, x] W + shift(g))``: one matrix product whose operand lies side by side
in one buffer. The surface layer has no features to project: x are the coordinates, and ``_convolve_surface`` replaces
the first three lines. The layers of ``gcn3d`` search no neighbours in feature space and compute ``y = relu(norm(r))``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from clipose_ros.inference.engines.cpu import kernels_dense, kernels_graph, onednn
from clipose_ros.inference.engines.cpu.buffers import CloudBuffers, Stage
from clipose_ros.inference.engines.cpu.gemm import BufferRows, Gemm
from clipose_ros.inference.engines.cpu.kernel_arguments import ColumnView, Neighbourhood, ProjectedFeatures, ScaleShift
from clipose_ros.inference.engines.cpu.weights import LayerWeights


@dataclass(frozen=True)
class LayerColumns:
    """Buffers that a layer reads and writes.

    Attributes:
        response: Buffer ``(N, C + C_in)`` of response and input. The response is written to its first C columns; the
            view begins behind them, at the input.
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
        columns: Buffers of input and result.
        neighbours: ``(N, k)`` int32, the neighbours of the convolution: in feature space in the hybrid-scope encoder,
            else in space.
        stages: Stages in order.
    """

    def __init__(self, cloud: CloudBuffers, level: int, weights: LayerWeights, columns: LayerColumns) -> None:
        self._weights, self.columns = weights, columns
        self._cloud, self._neighbourhood = cloud, cloud.neighbourhoods[level]
        self._count = cloud.counts[level]
        self._rows = [cloud.part_rows(self._count, part) for part in range(cloud.parts)]
        self._hybrid = weights.merge is not None
        self.neighbours = self._neighbourhood.neighbours
        self.stages: list[Stage] = [self._convolve_surface]
        if weights.project is not None:
            self._allocate_projection(weights.project)
            self.stages = [self._project, self._convolve]
        if weights.merge is not None:
            self._allocate_merge(weights.merge, cloud.parts)
            self.stages += [self._sum_maxima, self._merge]
        else:
            self.stages += [self._scale_shift_relu]

    def _allocate_projection(self, product: Gemm) -> None:
        """Allocate the projected features, and the neighbours in feature space."""
        response, scales = self.columns.response, np.ones(self._count, np.float32)
        values = np.zeros((self._count, len(self._weights.shift)), product.result_type)
        self._projected = ProjectedFeatures(values, scales, product.columns, self._weights.shift)
        self._projections = [
            (BufferRows(response, product.width, rows, scales), torch.from_numpy(values)[slice(*rows)])
            for rows in self._rows
        ]
        if self._hybrid:
            self.neighbours = np.zeros_like(self.neighbours)
            # Distances are float32 in every engine: neighbours decide which features are compared.
            products = torch.zeros(self._count, self._count)
            self._products = products.numpy()
            inputs = slice(response.first_column, response.first_column + product.width)
            self._inner_products = onednn.InnerProducts(torch.from_numpy(response.buffer)[:, inputs])
            self._product_rows = [products[slice(*rows)] for rows in self._rows]
        self._feature_neighbourhood = Neighbourhood(self._neighbourhood.points, self.neighbours)

    def _allocate_merge(self, product: Gemm, parts: int) -> None:
        """Allocate the sums of the maxima, and the result of the product with ``[r, x]``."""
        self._sums = np.zeros((parts, self._weights.channels), np.float32)
        merged = torch.zeros(self._count, self._weights.channels)
        self._merged, scales = merged.numpy(), np.ones(self._count, np.float32)
        both = self.columns.response._replace(first_column=0)
        self._merges = [(BufferRows(both, product.width, rows, scales), merged[slice(*rows)]) for rows in self._rows]

    def _convolve_surface(self, part: int) -> None:
        """Compute the response of bare coordinates."""
        kernels_graph.surface_convolution(
            self._neighbourhood, self._weights.supports, *self._rows[part], self.columns.response.buffer
        )

    def _project(self, part: int) -> None:
        """Project the features, and find the neighbours in feature space."""
        source, out = self._projections[part]
        assert self._weights.project is not None
        self._weights.project(source, out)
        if self._hybrid:
            self._inner_products(source.tensor, self._product_rows[part])
            kernels_graph.nearest_features(
                self._products, self.columns.response.squares, *self._rows[part], self.neighbours
            )

    def _convolve(self, part: int) -> None:
        """Compute the response of the projected features."""
        kernels_graph.graph_convolution(
            self._feature_neighbourhood,
            self._weights.supports,
            self._projected,
            *self._rows[part],
            self.columns.response.buffer,
        )

    def _sum_maxima(self, part: int) -> None:
        """Sum the neighbourhood maxima of the response over the part's points."""
        neighbours = self._neighbourhood.neighbours
        kernels_graph.sum_of_maxima(self.columns.response.buffer, neighbours, *self._rows[part], self._sums[part])

    def _merge(self, part: int) -> None:
        """Add the global feature (ORL) and the straight-through path (STE), normalise and rectify."""
        weights, (source, out) = self._weights, self._merges[part]
        output = weights.outputs[self._cloud.category]
        assert weights.merge is not None
        weights.merge(source, out)
        # Every part computes this small vector itself, which needs no further stage and barrier.
        shift = kernels_dense.global_feature_shift(self._sums, self._count, weights.global_feature, output.shift)
        function = ScaleShift(output.scale, shift, output.lower_bound)
        kernels_dense.scale_shift_relu(self._merged, function, *self._rows[part], self.columns.target)

    def _scale_shift_relu(self, part: int) -> None:
        """Normalise and rectify the response alone."""
        output = self._weights.outputs[self._cloud.category]
        kernels_dense.scale_shift_relu(self.columns.response.buffer, output, *self._rows[part], self.columns.target)
