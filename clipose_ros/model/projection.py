"""Projections into CLIP's space, for training only: of the point cloud, and of fixed features of CLIP."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipose_ros.model.encoder import Encoding


class CloudProjection(nn.Module):
    """Contrastive feature of a cloud: the last graph layer's output, pooled and projected.

    The paper does not say whether projection or pooling comes first. Pooling by the mean makes both orders equal.

    Args:
        in_channels: Channels of the last graph layer.
        out_channels: Width of CLIP's space.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(in_channels, out_channels)

    def forward(self, encoding: Encoding) -> Tensor:
        """Project an encoding to unit features ``(B, out_channels)``."""
        return F.normalize(self.project(encoding.last.mean(dim=1)), dim=-1)


class FeatureProjection(nn.Module):
    """Square matrix applied to fixed features of a CLIP tower, initially the identity.

    It is applied behind the frozen projection of the tower and so tunes it, without the tower itself.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Project unit features ``(..., channels)`` to unit features of the same shape."""
        return F.normalize(features @ self.weight, dim=-1)
