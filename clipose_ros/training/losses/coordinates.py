"""Object coordinates of the points as an auxiliary target, and their distances from each other.

Points are ``(B, N, 3)``, metres. Every loss is a mean over the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clipose_ros.training.losses.geometry import to_object

COORDINATE_TERMS = ("coordinates", "relations")
"""Terms that need predicted object coordinates."""


def nearest_yaw(truth: Tensor, predicted: Tensor, x_determined: Tensor) -> Tensor:
    """Turn true object coordinates about y onto the predicted ones, where the rotation about y is undetermined.

    The turn minimises the sum of squared distances: the angle of the sum of ``conj(truth) predicted``, with x and z as
    real and imaginary part. Without gradient.
    """
    with torch.no_grad():
        x, z, u, w = truth[..., 0], truth[..., 2], predicted[..., 0], predicted[..., 2]
        angle = torch.atan2((x * w - z * u).sum(1), (x * u + z * w).sum(1))
        angle = torch.where(x_determined, torch.zeros_like(angle), angle).unsqueeze(1)
        cosine, sine = torch.cos(angle), torch.sin(angle)
        return torch.stack([cosine * x - sine * z, truth[..., 1], sine * x + cosine * z], dim=-1)


def coordinate_loss(predicted: Tensor, points: Tensor, R: Tensor, t: Tensor, x_determined: Tensor) -> Tensor:
    """Compute the L1 distance of predicted object coordinates and those of the points by the true pose."""
    return (predicted - nearest_yaw(to_object(points, R, t), predicted, x_determined)).abs().mean()


def relation_loss(predicted: Tensor, points: Tensor) -> Tensor:
    """Compute the L1 difference of distances between points, by predicted object coordinates and in the camera frame.

    A rotation and a shift change no distance, so the target needs no pose. Each point is compared with one other: the
    point half a cloud further on, in the cloud's random order.
    """
    half = points.shape[1] // 2

    def distances(cloud: Tensor) -> Tensor:
        return (cloud - cloud.roll(half, dims=1)).square().sum(-1).clamp_min(1e-12).sqrt()

    return (distances(predicted) - distances(points)).abs().mean()
