"""Networks that see another modality beside the cloud (CLIPose Table VI): to compare with, never deployed.

The other modality comes as CLIP's one feature per object, of its image or of its text.
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
"""Concatenation before or after global pooling; cross-attention with the cloud as Q or as K and V; transformer encoder
with the cloud as Q whose skip connection adds or concatenates."""


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Eq. 16: ``(B, Q, D)``, ``(B, K, D)``, ``(B, K, V)`` to ``(B, Q, V)``."""
    return torch.softmax(q @ k.mT / math.sqrt(k.shape[-1]), dim=-1) @ v


class CrossAttention(nn.Module):
    """One layer of eq. 16 with learnt projections; all widths are the queries'."""

    def __init__(self, channels: int, other: int) -> None:
        super().__init__()
        self.q = nn.Linear(channels, channels)
        self.k, self.v = nn.Linear(other, channels), nn.Linear(other, channels)

    def forward(self, asking: Tensor, answering: Tensor) -> Tensor:
        """``(B, Q, channels)`` and ``(B, K, other)`` to ``(B, Q, channels)``."""
        return attention(self.q(asking), self.k(answering), self.v(answering))


class Fusion(nn.Module):
    """Puts the other modality into a cloud's encoding.

    Args:
        kind: One of ``FUSIONS``.
        channels: Channels of the encoding.
        other: Width of the other modality's feature.
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
        """Encoding of N points and ``(B, other)`` to the encoding that the heads read."""
        points = encoding.points
        everywhere = torch.zeros(points.shape[:2], dtype=torch.int64, device=points.device)
        told = other.unsqueeze(1)
        if self.kind == "concat_before":
            return Encoding((*encoding.levels, Level(told, everywhere)))
        if self.kind == "concat_after":
            pooled = torch.cat([self.cloud(points.amax(dim=1)), self.beside(other)], dim=-1)
            return Encoding((Level(pooled.unsqueeze(1), everywhere),))
        if self.kind == "cloud_answers":
            return Encoding((Level(self.attend(told, points), everywhere),))
        answer = self.attend(points, told)
        if self.kind == "cloud_queries":
            return Encoding((Level(answer, None),))
        joined = points + answer if self.kind == "transformer_plus" else self.merge(torch.cat([points, answer], dim=-1))
        joined = self.norm1(joined)
        return Encoding((Level(self.norm2(joined + self.feed(joined)), None),))


class FusionNet(CLIPoseNet):
    """The network with a fusion between encoder and heads.

    Args:
        architecture: Of the network it is made from.
        categories: The categories it is for.
        kind: One of ``FUSIONS``.
        other: Width of the other modality's feature.
        ops: How neighbourhoods are computed.
    """

    def __init__(
        self, architecture: Architecture, categories: CategorySet, kind: str, other: int, ops: GraphOps = PYTORCH_OPS
    ) -> None:
        super().__init__(architecture, categories, ops)
        self.fusion = Fusion(kind, self.encoder.out_channels, other)
        wide, narrow = architecture.head_widths
        channels = self.fusion.out_channels + (len(categories) if architecture.one_hot else 0)
        self.head_y = AxisHead(channels, (wide, narrow), architecture.dropout)
        self.head_x = AxisHead(channels, (wide, narrow), architecture.dropout)
        self.head_ts = CloudHead(channels + 3, (wide, narrow), out_channels=6, dropout=architecture.dropout)

    def forward(self, points_camera: Tensor, category: Tensor, other: Tensor | None = None) -> NetworkOutput:
        """As ``CLIPoseNet``, with the other modality's unit features ``(B, other)``."""
        if other is None:
            raise ShapeError("a fusion network needs the other modality's features (B, D) beside the points, got none")
        centred, mean = self.centre(points_camera)
        encoding: Encoding = self.encoder(centred)
        fused = self.fusion(encoding, other)
        output = self.read(fused, centred, mean, category)
        return NetworkOutput(
            output.axis_y, output.axis_x, output.confidence_y, output.confidence_x, output.translation, output.size,
            encoding=encoding,
        )  # fmt: skip
