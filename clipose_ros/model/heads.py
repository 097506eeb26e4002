"""Heads that predict rotation axes, translation and size from point features (GPV-Pose, HS-Pose)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipose_ros.model.encoder import Encoding, PointNorm


class CloudHead(nn.Module):
    """Per-point layers, maximum over points, then layers on the pooled vector.

    Args:
        in_channels: Channels of the encoding and of the extra inputs.
        widths: Channels of the two per-point layers; the layer after the maximum keeps the second.
        out_channels: Number of outputs.
        dropout: Probability of dropping a value before the last layer.
    """

    def __init__(self, in_channels: int, widths: tuple[int, int], out_channels: int, dropout: float) -> None:
        super().__init__()
        wide, narrow = widths
        self.point1, self.norm1 = nn.Linear(in_channels, wide), PointNorm(wide)
        self.point2, self.norm2 = nn.Linear(wide, narrow), PointNorm(narrow)
        self.cloud1, self.norm3 = nn.Linear(narrow, narrow), nn.BatchNorm1d(narrow)
        self.dropout = nn.Dropout(dropout)
        self.cloud2 = nn.Linear(narrow, out_channels)

    def forward(self, encoding: Encoding, extra: Tensor | None = None) -> Tensor:
        """Compute the outputs ``(B, out_channels)``, in the precision of the weights also under autocast.

        Args:
            encoding: Features of the points.
            extra: Extra inputs ``(B, N, E)`` or, equal for all points, ``(B, 1, E)``.
        """
        # encoding.linear multiplies each level at its own points, which are fewer than the input points.
        features = encoding.ops.norm_relu(self.norm1, encoding.linear(self.point1, extra))
        features = encoding.ops.norm_relu(self.norm2, self.point2(features))
        pooled = F.relu(self.norm3(self.cloud1(features.amax(dim=1))))
        values: Tensor = self.cloud2(self.dropout(pooled))
        return values.to(self.cloud2.weight.dtype)


class AxisHead(CloudHead):
    """Head for one axis of the object and its confidence."""

    def __init__(self, in_channels: int, widths: tuple[int, int], dropout: float) -> None:
        super().__init__(in_channels, widths, out_channels=4, dropout=dropout)

    def axis(self, encoding: Encoding, extra: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Predict the unit axis ``(B, 3)``, camera frame, and its confidence ``(B,)`` in (0, 1)."""
        values = self(encoding, extra)
        return F.normalize(values[:, 1:], dim=-1), torch.sigmoid(values[:, 0])
