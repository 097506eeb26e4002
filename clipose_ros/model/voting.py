"""Face voting head, for training only: every point votes for the six faces of the object's box (GPV-Pose)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipose_ros.model.encoder import Encoding
from clipose_ros.model.ray_alignment import rotation_to_ray
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
        ray_aligned: The encoding is of clouds that are turned to their viewing rays.
    """

    def __init__(
        self, in_channels: int, unit_m: float, widths: Sequence[int] = WIDTHS, ray_aligned: bool = False
    ) -> None:
        super().__init__()
        self.unit_m, self.ray_aligned = unit_m, ray_aligned
        self.points = PointHead(in_channels + 3, widths, out_channels=5 * len(FACES))

    def forward(self, encoding: Encoding, points_camera: Tensor) -> BoxVotes:
        """Predict the votes of the points ``(B, N, 3)`` of an encoded cloud."""
        mean = points_camera.mean(dim=1, keepdim=True)
        centred = (points_camera - mean) / self.unit_m
        R_ray_camera = rotation_to_ray(mean.squeeze(1)) if self.ray_aligned else None
        if R_ray_camera is not None:
            centred = centred @ R_ray_camera.mT
        # Five values per face: normal (3), distance, logit of the confidence.
        values = self.points(encoding, centred).unflatten(-1, (len(FACES), 5))
        normals = F.normalize(values[..., :3], dim=-1)
        if R_ray_camera is not None:
            normals = (normals.flatten(1, 2) @ R_ray_camera.to(normals.dtype)).unflatten(1, normals.shape[1:3])
        return BoxVotes(normals, values[..., 3] * self.unit_m, torch.sigmoid(values[..., 4]))
