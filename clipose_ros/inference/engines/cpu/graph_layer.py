"""A graph layer of the fused engine: its buffers, and the stages that fill them."""

from __future__ import annotations

import numpy as np
import torch

from clipose_ros.inference.engines.cpu import kernels_dense as kernels_rows
from clipose_ros.inference.engines.cpu import kernels_graph
from clipose_ros.inference.engines.cpu.buffers import Cloud, Columns, Stage
from clipose_ros.inference.engines.cpu.gemm import Gemm, Rows
from clipose_ros.inference.engines.cpu.weights import LayerWeights


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
        self._weights, self._joined, self._target = weights, joined, target
        self._points, self._near = cloud.points[level], cloud.near[level]
        self._count = cloud.counts[level]
        self._rows = [cloud.rows(self._count, part) for part in range(cloud.parts)]
        self._hybrid = weights.merge is not None
        self.field = self._near
        self.stages: list[Stage] = [self._surface]
        if weights.project is not None:
            self._enter(weights.project)
            self.stages = [self._project, self._respond]
        if weights.merge is not None:
            self._totals = np.zeros((cloud.parts, weights.channels), np.float32)
            merged, sources = torch.zeros(self._count, weights.channels), torch.from_numpy(joined.buffer)
            self._merged = merged.numpy()
            self._merges = [(sources[slice(*rows), : len(weights.merge)], merged[slice(*rows)]) for rows in self._rows]
            self.stages += [self._overall, self._merge]
        else:
            self.stages += [self._settle]

    def _enter(self, product: Gemm) -> None:
        """Make room for the features of centre and supports, and for the field in feature space."""
        self._scales = np.ones(self._count, np.float32)
        self._projected = np.zeros((self._count, len(self._weights.shift)), product.result_type)
        projected, joined = torch.from_numpy(self._projected), self._joined
        self._projects = [
            (Rows(joined.buffer, joined.place, product.width, *rows, self._scales), projected[slice(*rows)])
            for rows in self._rows
        ]
        if self._hybrid:
            self.field = np.zeros_like(self._near)
            products = torch.zeros(self._count, self._count)
            self._products = products.numpy()
            self._features = torch.from_numpy(joined.buffer)[:, joined.place : joined.place + product.width].t()
            self._relations = [products[slice(*rows)] for rows in self._rows]

    def _surface(self, part: int) -> None:
        weights = self._weights
        kernels_graph.surface_response(
            self._points, self._near, weights.supports, weights.count, *self._rows[part], self._joined.buffer
        )

    def _project(self, part: int) -> None:
        """Features of centre and supports; the receptive field in feature space."""
        source, out = self._projects[part]
        assert self._weights.project is not None
        self._weights.project(source, out)
        if self._hybrid:
            torch.mm(source.tensor, self._features, out=self._relations[part])
            kernels_graph.nearest_features(self._products, self._joined.squares, *self._rows[part], self.field)

    def _respond(self, part: int) -> None:
        weights = self._weights
        assert weights.project is not None
        kernels_graph.graph_response(
            self._points, self.field, weights.supports, weights.count, self._projected, self._scales,
            weights.project.columns, weights.shift, *self._rows[part], self._joined.buffer,
        )  # fmt: skip

    def _overall(self, part: int) -> None:
        kernels_graph.sum_of_maxima(self._joined.buffer, self._near, *self._rows[part], self._totals[part])

    def _merge(self, part: int) -> None:
        """ORL and the straight-through path, normalised and rectified."""
        weights, target, (source, out) = self._weights, self._target, self._merges[part]
        assert weights.merge is not None
        torch.mm(source, weights.merge, out=out)
        shift = kernels_rows.shift_of(self._totals, self._count, weights.overall, weights.offset)
        kernels_rows.settle(
            self._merged, weights.scale, shift, weights.least, *self._rows[part],
            target.buffer, target.place, target.squares,
        )  # fmt: skip

    def _settle(self, part: int) -> None:
        """The response alone, normalised and rectified."""
        weights, target = self._weights, self._target
        kernels_rows.settle(
            self._joined.buffer, weights.scale, weights.offset, weights.least, *self._rows[part],
            target.buffer, target.place, target.squares,
        )  # fmt: skip
