"""Face voting head, for training only: every point votes for the six faces of the object's box (GPV-Pose)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipose_ros.model.encoder import Encoding
from clipose_ros.model.reconstruction import PointHead

FACES = ("x+", "x-", "y+", "y-", "z+", "z-")
"""Order of a box's faces in every array: along the object's axes, the positive one first."""

WIDTHS = (512, 256, 128)
"""Channels of the layers before the last."""


@dataclass(frozen=True)
class BoxVotes:
    """Votes of every point for every face of the box.

    Attributes:
        normals: ``(B, N, 6, 3)`` unit vectors that point out of the box, camera frame.
        distances: ``(B, N, 6)`` metres from the point to the face along its normal.
        confidences: ``(B, N, 6)`` in (0, 1).
    """

    normals: Tensor
    distances: Tensor
    confidences: Tensor

    def points(self, points_camera: Tensor) -> Tensor:
        """Return the point on each face that each point ``(B, N, 3)`` votes for: ``(B, N, 6, 3)``."""
        return points_camera.unsqueeze(2) + self.distances.unsqueeze(-1) * self.normals


class BoxVoteHead(nn.Module):
    """Head for the votes of each point.

    Args:
        in_channels: Channels of the encoding.
        unit_m: Unit of length inside the network, metres.
        widths: Channels of the layers before the last.
    """

    def __init__(self, in_channels: int, unit_m: float, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.unit_m = unit_m
        self.points = PointHead(in_channels + 3, widths, out_channels=5 * len(FACES))

    def forward(self, encoding: Encoding, points_camera: Tensor) -> BoxVotes:
        """Predict the votes of the points ``(B, N, 3)`` of an encoded cloud."""
        centred = (points_camera - points_camera.mean(dim=1, keepdim=True)) / self.unit_m
        # Five values per face: normal (3), distance, logit of the confidence.
        values = self.points(encoding, centred).unflatten(-1, (len(FACES), 5))
        return BoxVotes(
            F.normalize(values[..., :3], dim=-1), values[..., 3] * self.unit_m, torch.sigmoid(values[..., 4])
        )
