"""Networks with a second modality beside the point cloud (CLIPose Table VI), for comparison only.

The second modality is CLIP's feature of the object's image or text, one vector per object.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from clipose_ros.categories import CategorySet
from clipose_ros.errors import ShapeError
from clipose_ros.model.encoder import Encoding, Level
from clipose_ros.model.graph import PYTORCH_OPS, GraphOps
from clipose_ros.model.heads import AxisHead, CloudHead
from clipose_ros.model.network import Architecture, CLIPoseNet, NetworkOutput

FUSIONS = ("concat_before", "concat_after", "cloud_queries", "cloud_answers", "transformer_plus", "transformer_concat")
"""Kinds of fusion.

Concatenation before or after global pooling; cross-attention with the cloud as Q or as K and V; transformer encoder
with the cloud as Q, whose skip connection adds or concatenates.
"""


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute scaled dot-product attention, Eq. (16): ``(B, Q, D)``, ``(B, K, D)``, ``(B, K, V)`` to ``(B, Q, V)``."""
    return torch.softmax(q @ k.mT / math.sqrt(k.shape[-1]), dim=-1) @ v


class CrossAttention(nn.Module):
    """One layer of Eq. (16) with learnt projections; all widths are the queries'."""

    def __init__(self, channels: int, other: int) -> None:
        super().__init__()
        self.q = nn.Linear(channels, channels)
        self.k, self.v = nn.Linear(other, channels), nn.Linear(other, channels)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Attend from queries ``(B, Q, channels)`` to keys ``(B, K, other)``: ``(B, Q, channels)``."""
        return attention(self.q(queries), self.k(keys), self.v(keys))


class Fusion(nn.Module):
    """Fusion of a second modality into the encoding of a cloud.

    Args:
        kind: One of ``FUSIONS``.
        channels: Channels of the encoding.
        other: Width of the second modality's feature.
    """

    def __init__(self, kind: str, channels: int, other: int) -> None:
        super().__init__()
        self.kind, self.out_channels = kind, channels
        if kind == "concat_before":
            self.out_channels = channels + other
        elif kind == "concat_after":
            self.cloud, self.beside = nn.Linear(channels, other), nn.Linear(other, other)
            self.out_channels = 2 * other
        elif kind == "cloud_answers":
            self.attend = CrossAttention(other, channels)
            self.out_channels = other
        else:
            self.attend = CrossAttention(channels, other)
        if kind.startswith("transformer"):
            self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
            self.feed = nn.Sequential(nn.Linear(channels, 2 * channels), nn.ReLU(), nn.Linear(2 * channels, channels))
        if kind == "transformer_concat":
            self.merge = nn.Linear(2 * channels, channels)

    def forward(self, encoding: Encoding, other: Tensor) -> Encoding:
        """Fuse the encoding of N points with ``(B, other)`` to the encoding that the heads use."""
        points = encoding.points
        # A level with one feature vector, to which every point refers: the heads get it without copies.
        everywhere = torch.zeros(points.shape[:2], dtype=torch.int64, device=points.device)
        other_token = other.unsqueeze(1)
        if self.kind == "concat_before":
            return Encoding((*encoding.levels, Level(other_token, everywhere)))
        # The heads pool over points; an already pooled feature is again a level with one vector.
        if self.kind == "concat_after":
            pooled = torch.cat([self.cloud(points.amax(dim=1)), self.beside(other)], dim=-1)
            return Encoding((Level(pooled.unsqueeze(1), everywhere),))
        if self.kind == "cloud_answers":
            return Encoding((Level(self.attend(other_token, points), everywhere),))
        attended = self.attend(points, other_token)
        if self.kind == "cloud_queries":
            return Encoding((Level(attended, None),))
        if self.kind == "transformer_plus":
            joined = points + attended
        else:
            joined = self.merge(torch.cat([points, attended], dim=-1))
        # Rest of a transformer encoder layer with the norm after each part (post-norm).
        joined = self.norm1(joined)
        return Encoding((Level(self.norm2(joined + self.feed(joined)), None),))


class FusionNet(CLIPoseNet):
    """Network with a fusion between encoder and heads.

    Args:
        architecture: Shape of the network.
        categories: Categories of the network.
        kind: One of ``FUSIONS``.
        other: Width of the second modality's feature.
        ops: Operations on neighbourhoods.
    """

    def __init__(
        self, architecture: Architecture, categories: CategorySet, kind: str, other: int, ops: GraphOps = PYTORCH_OPS
    ) -> None:
        super().__init__(architecture, categories, ops)
        self.fusion = Fusion(kind, self.encoder.out_channels, other)
        wide, narrow = architecture.head_widths
        # The heads of the base class have the wrong number of inputs and are replaced.
        channels = self.fusion.out_channels + (len(categories) if architecture.one_hot else 0)
        self.head_y = AxisHead(channels, (wide, narrow), architecture.dropout)
        self.head_x = AxisHead(channels, (wide, narrow), architecture.dropout)
        self.head_ts = CloudHead(channels + 3, (wide, narrow), out_channels=6, dropout=architecture.dropout)

    def forward(self, points_camera: Tensor, category: Tensor, other: Tensor | None = None) -> NetworkOutput:
        """Predict as ``CLIPoseNet`` does, with the second modality's unit features ``(B, other)``."""
        if other is None:
            raise ShapeError("a fusion network needs features (B, D) of the second modality, got none")
        clouds = self.centre(points_camera)
        encoding: Encoding = self.encoder(clouds.points, category)
        fused = self.fusion(encoding, other)
        output = self.read(fused, clouds, category)
        return NetworkOutput(
            output.axis_y, output.axis_x, output.confidence_y, output.confidence_x, output.translation, output.size,
            encoding=encoding,
        )  # fmt: skip
