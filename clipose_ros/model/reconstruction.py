"""Point reconstruction head, for training only: the counterpart of each point under the object's symmetry."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipose_ros.model.encoder import Encoding, PointNorm
from clipose_ros.model.ray_alignment import rotation_to_ray

WIDTHS = (512, 512, 256, 128)
"""Channels of the layers before the last (GPV-Pose)."""


class PointHead(nn.Module):
    """Layers applied to each point separately, with batch normalisation and ReLU between them.

    Args:
        in_channels: Channels of the encoding and of the extra inputs.
        widths: Channels of the layers before the last.
        out_channels: Number of outputs per point.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.first = nn.Linear(in_channels, widths[0])
        later = [*widths[1:], out_channels]
        self.norms = nn.ModuleList(PointNorm(width) for width in widths)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, later, strict=True))

    def forward(self, encoding: Encoding, extra: Tensor | None = None) -> Tensor:
        """Compute ``(B, N, out_channels)`` in the precision of the weights; ``extra`` is ``(B, N, E)`` or None."""
        features = encoding.linear(self.first, extra)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            features = layer(encoding.ops.norm_relu(norm, features))
        return features.to(self.first.weight.dtype)


class SymmetryHead(nn.Module):
    """Head that reconstructs the counterpart of each point under the object's symmetry, Eq. (13).

    Args:
        in_channels: Channels of the encoding.
        unit_m: Unit of length inside the network, metres.
        widths: Channels of the layers before the last.
        ray_aligned: The encoding is of clouds that are turned to their viewing rays.
    """

    def __init__(
        self, in_channels: int, unit_m: float, widths: Sequence[int] = WIDTHS, ray_aligned: bool = False
    ) -> None:
        super().__init__()
        self.unit_m, self.ray_aligned = unit_m, ray_aligned
        self.points = PointHead(in_channels, widths, out_channels=3)

    def forward(self, encoding: Encoding, points_camera: Tensor) -> Tensor:
        """Predict the counterparts ``(B, N, 3)`` of an encoded cloud's points, metres, camera frame."""
        mean = points_camera.mean(dim=1, keepdim=True)
        offsets = self.points(encoding)
        if self.ray_aligned:
            offsets = offsets @ rotation_to_ray(mean.squeeze(1)).to(offsets.dtype)
        return torch.add(mean, offsets, alpha=self.unit_m)


class CoordinateHead(nn.Module):
    """Head that predicts the object coordinates of each point (NOCS, without scaling).

    Args:
        in_channels: Channels of the encoding.
        unit_m: Unit of length inside the network, metres.
        categories: Number of categories; each point gets its object's category as a one-hot vector.
        widths: Channels of the layers before the last.

    References:
        Wang et al., Normalized Object Coordinate Space, CVPR 2019.
    """

    def __init__(self, in_channels: int, unit_m: float, categories: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.unit_m, self.categories = unit_m, categories
        self.points = PointHead(in_channels + categories, widths, out_channels=3)

    def forward(self, encoding: Encoding, category: Tensor) -> Tensor:
        """Predict coordinates ``(B, N, 3)``, metres, object frame, for objects of the categories ``(B,)``."""
        one_hot = F.one_hot(category, self.categories).to(self.points.first.weight.dtype)
        return self.points(encoding, one_hot.unsqueeze(1)) * self.unit_m
