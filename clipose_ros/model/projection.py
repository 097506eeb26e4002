"""Into CLIP's space, for training alone: the cloud's feature, and the tuned text projection."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipose_ros.model.encoder import Encoding


class CloudProjection(nn.Module):
    """The contrastive feature of a cloud: the last graph layer's output, pooled and projected.

    The mean pools, so that projecting first and pooling first, of which the paper's text leaves either, are the same.

    Args:
        in_channels: Channels of the last graph layer.
        out_channels: Width of CLIP's space.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(in_channels, out_channels)

    def forward(self, encoding: Encoding) -> Tensor:
        """Encoding to unit features ``(B, out_channels)``."""
        return F.normalize(self.project(encoding.last.mean(dim=1)), dim=-1)


class TextProjection(nn.Module):
    """A square matrix on fixed text features, the identity at first.

    On top of the frozen projection of the text tower it tunes that projection, and needs no tower at hand.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Unit features ``(..., channels)`` to the same."""
        return F.normalize(features @ self.weight, dim=-1)
