"""3D encoders from a point cloud to one feature vector per point.

``hs`` is HS-Pose's hybrid-scope encoder, which CLIPose uses; ``gcn3d`` is the plain 3D graph-convolution encoder of
Table VII: the same levels without the receptive field in feature space (RF-F), the outlier-robust global feature (ORL)
and the straight-through path (STE).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipose_ros.model.graph import (
    PYTORCH_OPS,
    GraphConv,
    GraphModule,
    GraphOps,
    SurfaceConv,
    gather_points,
    nearest_point,
)

POOLING = 4
"""Factor by which pooling reduces the points, and number of neighbours over which it takes the maximum."""

MIN_POINTS = 128
"""Smallest number of points with a neighbour at the last level and enough neighbours for pooling before it."""


@dataclass(frozen=True)
class Level:
    """Features of one level of the encoder.

    Attributes:
        features: ``(B, M, C)`` features of the level's own points.
        nearest: ``(B, N)`` int64, the level's point nearest to each input point; None if the level has all input
            points.
    """

    features: Tensor
    nearest: Tensor | None

    @property
    def count(self) -> int:
        """Return the number of input points."""
        return (self.features if self.nearest is None else self.nearest).shape[1]

    def first(self, count: int) -> Level:
        """Return the level for the first ``count`` input points; a coarser level keeps all its own points."""
        if self.nearest is None:
            return Level(self.features[:, :count], None)
        return Level(self.features, self.nearest[:, :count])


@dataclass(frozen=True)
class Encoding:
    """Output of an encoder for a batch of clouds.

    Attributes:
        levels: Features of each level, from fine to coarse.
        ops: Operations by which layers on the features are computed.
    """

    levels: tuple[Level, ...]
    ops: GraphOps = PYTORCH_OPS

    @property
    def points(self) -> Tensor:
        """Return ``(B, N, C)`` features of each input point: all levels copied to it and concatenated."""
        return torch.cat([_copy_to_points(level.features, level.nearest) for level in self.levels], dim=-1)

    @property
    def last(self) -> Tensor:
        """Return ``(B, N / 16, C_last)``, the output of the last graph layer, used by the contrastive feature."""
        return self.levels[-1].features

    def first(self, count: int) -> Encoding:
        """Return the encoding of the first ``count`` input points; coarser levels keep all their own points."""
        return Encoding(tuple(level.first(count) for level in self.levels), self.ops)

    def project(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Multiply ``points`` by a weight without computing ``points``.

        A matrix product per point commutes with copying points, so each level is multiplied at its own points.

        Args:
            weight: ``(C', C)``.
            bias: ``(C',)``.

        Returns:
            ``(B, N, C')``.
        """
        fine, coarse = [level for level in self.levels if level.nearest is None], []
        fine_weights: list[Tensor] = []
        # W [f0; f1; f2] = W0 f0 + W1 f1 + W2 f2: each level takes its own columns of the weight.
        parts = weight.split([level.features.shape[-1] for level in self.levels], dim=1)
        for level, part in zip(self.levels, parts, strict=True):
            if level.nearest is None:
                fine_weights.append(part)
            else:
                coarse.append(F.linear(level.features, part))
        if coarse and bias is not None:
            coarse[-1] = coarse[-1] + bias  # each point takes one value per level, and coarse points are few
        fine_values: Tensor | None = None
        if fine:  # all fine levels in one product
            features = torch.cat([level.features for level in fine], dim=-1) if len(fine) > 1 else fine[0].features
            fine_values = F.linear(features, torch.cat(fine_weights, dim=1), None if coarse else bias)
        return self.ops.sum_levels(
            fine_values, coarse, [level.nearest for level in self.levels if level.nearest is not None]
        )

    def linear(self, layer: nn.Linear, extra: Tensor | None = None) -> Tensor:
        """Apply a layer to ``points`` concatenated with ``(B, N, E)`` or, equal for all points, ``(B, 1, E)``."""
        if extra is None:
            return self.project(layer.weight, layer.bias)
        points = self.levels[0].count
        everywhere = extra.new_zeros((extra.shape[0], points), dtype=torch.int64) if extra.shape[1] < points else None
        return Encoding((*self.levels, Level(extra, everywhere)), self.ops).project(layer.weight, layer.bias)


def _copy_to_points(features: Tensor, nearest: Tensor | None) -> Tensor:
    """Copy a level's features to the input points: ``(B, M, C)`` to ``(B, N, C)``."""
    return features if nearest is None else gather_points(features, nearest)


class GlobalFeature(GraphModule):
    """ORL: the mean over points of the neighbourhood maxima, merged into every point's features as a residual."""

    def __init__(self, channels: int, ops: GraphOps) -> None:
        super().__init__(ops)
        self.merge = nn.Linear(2 * channels, channels, bias=False)

    def forward(self, features: Tensor, neighbours: Tensor) -> Tensor:
        """Merge the global feature into ``(B, N, C)``, with xyz neighbours ``(B, N, k)``."""
        overall = self.ops.max_over_neighbours(features, neighbours).mean(dim=1, keepdim=True)
        # the weight is that of the concatenation of both, which is never computed
        point_weight, global_weight = self.merge.weight.chunk(2, dim=1)
        return features + F.linear(features, point_weight) + F.linear(overall, global_weight)


class SurfaceLayer(nn.Module):
    """First layer: surface convolution, and in the hybrid-scope encoder ORL and STE."""

    def __init__(self, out_channels: int, supports: int, hybrid: bool, ops: GraphOps) -> None:
        super().__init__()
        self.conv = SurfaceConv(out_channels, supports, ops)
        self.overall = GlobalFeature(out_channels, ops) if hybrid else None
        self.straight = nn.Linear(3, out_channels, bias=False) if hybrid else None

    def forward(self, points: Tensor, neighbours: Tensor) -> Tensor:
        """Map centred points ``(B, N, 3)`` and their neighbours ``(B, N, k)`` to ``(B, N, C)``."""
        features: Tensor = self.conv(points, neighbours)
        if self.overall is None or self.straight is None:
            return features
        return self.overall(features, neighbours) + self.straight(points)


class GraphLayer(GraphModule):
    """Later layer: graph convolution, and in the hybrid-scope encoder RF-F, ORL and STE."""

    def __init__(self, in_channels: int, out_channels: int, supports: int, hybrid: bool, ops: GraphOps) -> None:
        super().__init__(ops)
        self.conv = GraphConv(in_channels, out_channels, supports, ops)
        self.overall = GlobalFeature(out_channels, ops) if hybrid else None
        self.straight = nn.Linear(in_channels, out_channels, bias=False) if hybrid else None

    def forward(self, points: Tensor, features: Tensor, neighbours: Tensor) -> Tensor:
        """Map points ``(B, N, 3)``, features ``(B, N, C)``, xyz neighbours ``(B, N, k)`` to ``(B, N, C')``."""
        if self.overall is None or self.straight is None:
            return self.conv(points, features, neighbours)
        # RF-F: the convolution uses neighbours in feature space, the global feature those in space.
        field = self.ops.nearest_neighbours(features, neighbours.shape[-1])
        return self.overall(self.conv(points, features, field), neighbours) + self.straight(features)


class PointNorm(nn.BatchNorm1d):
    """Batch normalisation of ``(B, N, C)`` over batch and points."""

    def forward(self, features: Tensor) -> Tensor:
        """Normalise ``(B, N, C)``."""
        return super().forward(features.flatten(0, 1)).reshape(features.shape)


class GraphEncoder(GraphModule):
    """Five graph layers over three levels, all levels copied back to every point.

    Args:
        widths: Output channels of the five layers.
        supports: Support directions per kernel.
        neighbours: Neighbours at the first level; a level never uses more than an eighth of its points.
        hybrid: True for ``hs``, False for ``gcn3d``.
        ops: Operations on neighbourhoods.
        categories: Number of categories whose vectors are added to the features; 0 for none.

    References:
        CLIPose section IV; Zheng et al., HS-Pose, CVPR 2023.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int, int],
        supports: int,
        neighbours: int,
        hybrid: bool,
        ops: GraphOps = PYTORCH_OPS,
        categories: int = 0,
    ) -> None:
        super().__init__(ops)
        w0, w1, w2, w3, w4 = widths
        self.neighbours = neighbours
        self.layer0 = SurfaceLayer(w0, supports, hybrid, ops)
        self.layer1 = GraphLayer(w0, w1, supports, hybrid, ops)
        self.layer2 = GraphLayer(w1, w2, supports, hybrid, ops)
        self.layer3 = GraphLayer(w2, w3, supports, hybrid, ops)
        self.layer4 = GraphLayer(w3, w4, supports, hybrid, ops)
        self.norm1, self.norm2, self.norm3 = PointNorm(w1), PointNorm(w2), PointNorm(w3)
        # Zero at first: the network then ignores the category, as the one whose weights it may start from.
        self.shifts = nn.ParameterList(nn.Parameter(torch.zeros(categories, width)) for width in widths if categories)
        self.out_channels = sum(widths)
        self.last_channels = w4

    def forward(self, points: Tensor, category: Tensor) -> Encoding:
        """Encode centred points.

        Args:
            points: ``(B, N, 3)`` in random order; N is a multiple of 16, at least ``MIN_POINTS``.
            category: ``(B,)`` int64, indices of the categories.
        """
        near0 = self._neighbourhood(points)
        level0 = F.relu(self._shift(0, self.layer0(points, near0), category))
        level1 = self.ops.norm_relu(self.norm1, self._shift(1, self.layer1(points, level0, near0), category))

        points1, pooled1 = self._pool(points, level1, near0)
        near1 = self._neighbourhood(points1)
        level2 = self.ops.norm_relu(self.norm2, self._shift(2, self.layer2(points1, pooled1, near1), category))
        level3 = self.ops.norm_relu(self.norm3, self._shift(3, self.layer3(points1, level2, near1), category))

        points2, pooled2 = self._pool(points1, level3, near1)
        level4 = self._shift(4, self.layer4(points2, pooled2, self._neighbourhood(points2)), category)

        return Encoding(
            (
                Level(torch.cat([level0, level1], dim=-1), None),
                Level(torch.cat([level2, level3], dim=-1), nearest_point(points, points1)),
                Level(level4, nearest_point(points, points2)),
            ),
            self.ops,
        )

    def _shift(self, layer: int, features: Tensor, category: Tensor) -> Tensor:
        """Add the category's vector to a layer's features ``(B, N, C)``."""
        return features + self.shifts[layer][category].unsqueeze(1) if len(self.shifts) else features

    def _neighbourhood(self, points: Tensor) -> Tensor:
        """Find the neighbours of one level's points."""
        # With the paper's 20 neighbours, a level of few points would have a neighbourhood of nearly the whole cloud.
        return self.ops.nearest_neighbours(points, min(self.neighbours, points.shape[1] // 8))

    def _pool(self, points: Tensor, features: Tensor, neighbours: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the first quarter of the points, each with the largest features around it.

        The cloud is in random order, so its first quarter is a random subset, and the same one for the same cloud.
        """
        keep = points.shape[1] // POOLING
        return points[:, :keep], self.ops.max_over_neighbours(features, neighbours[:, :keep, :POOLING])
