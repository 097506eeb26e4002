"""Alignment of clouds to their viewing rays (allocentric poses)."""

from __future__ import annotations

import torch
from torch import Tensor


def rotation_to_ray(mean: Tensor) -> Tensor:
    """Compute the smallest rotations that turn positions ``(B, 3)`` in the camera frame onto its z axis.

    A mean at the camera centre gives the identity. One behind the camera, which no camera measures, may give a matrix
    that is no rotation.

    Returns:
        ``R_ray_camera`` ``(B, 3, 3)``.
    """
    x, y, z = (mean / mean.norm(dim=1, keepdim=True).clamp_min(1e-9)).unbind(1)
    # Rodrigues' formula about z x ray, whose sine is the ray's distance from the axis.
    factor = 1.0 / (1.0 + z).clamp_min(1e-6)
    xy = -x * y * factor
    xx, yy = x * x * factor, y * y * factor
    rows = (1.0 - xx, xy, -x, xy, 1.0 - yy, -y, x, y, 1.0 - xx - yy)
    return torch.stack(rows, dim=1).unflatten(1, (3, 3))
