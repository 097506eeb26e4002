"""Losses of the box votes, and between the voted box and the predicted pose (GPV-Pose).

GPV-Pose fits a plane to the votes of a face by weighted least squares. Here a face is the plane through the mean vote
with the mean normal, both weighted by confidence. The gradient of this plane is defined for every cloud, also if all
votes coincide.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipose_ros.model.voting import BoxVotes
from clipose_ros.training.losses.geometry import mean_where

FACE_CONFIDENCE_DECAY = 303.5
"""The target confidence of a vote with an error of d metres is exp(-303.5 d^2) (GPV-Pose)."""


BOX_VOTE_TERMS = (
    "face_normal", "face_distance", "face_confidence", "voting",
    "box_rotation", "box_translation", "box_size", "box_self",
)  # fmt: skip
"""Names of the terms in ``ShapeWeights``.

face_normal: 1 - cosine of the voted normals. face_distance: L1 of the voted distances. face_confidence: L1 of the
confidences of the votes. voting: voted faces against the true ones. box_rotation: voted normals against the predicted
axes. box_translation: the predicted centre lies midway between opposite voted faces. box_size: the predicted size is
the distance between opposite voted faces. box_self: opposite voted faces are parallel.
"""


def face_normals(R: Tensor) -> Tensor:
    """Compute the outward normals ``(B, 6, 3)`` of the faces of boxes with rotation ``(B, 3, 3)``."""
    return torch.stack([R.mT, -R.mT], dim=2).flatten(1, 2)


def box_vote_losses(
    votes: BoxVotes, points: Tensor, normals: Tensor, distances: Tensor, determined: Tensor
) -> dict[str, Tensor]:
    """Compute the terms ``face_normal``, ``face_distance`` and ``face_confidence``.

    Args:
        votes: Votes of the points.
        points: ``(B, N, 3)`` metres, camera frame.
        normals: ``(B, 6, 3)`` true normals.
        distances: ``(B, N, 6)`` true distances, metres.
        determined: ``(B, 6)`` bool, the faces that the ground truth determines.
    """
    true = normals.unsqueeze(1)
    normal_error = (1.0 - (votes.normals * true).sum(-1)).mean(dim=1)
    distance_error = (votes.distances - distances).abs().mean(dim=1)
    on_face = points.unsqueeze(2) + distances.unsqueeze(-1) * true
    squared_error = (votes.points(points) - on_face).detach().square().sum(-1)
    confidence_error = (votes.confidences - torch.exp(-FACE_CONFIDENCE_DECAY * squared_error)).abs().mean(dim=1)
    return {
        "face_normal": mean_where(normal_error, determined),
        "face_distance": mean_where(distance_error, determined),
        "face_confidence": mean_where(confidence_error, determined),
    }


def voted_planes(votes: BoxVotes, points: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the planes of the votes: unit normals ``(B, 6, 3)`` and a point on each ``(B, 6, 3)``."""
    weights = (votes.confidences / votes.confidences.sum(dim=1, keepdim=True).clamp(min=1e-6)).unsqueeze(-1)
    return F.normalize((weights * votes.normals).sum(dim=1), dim=-1), (weights * votes.points(points)).sum(dim=1)


def voting_loss(planes: tuple[Tensor, Tensor], normals: Tensor, t: Tensor, size: Tensor, determined: Tensor) -> Tensor:
    """Compute the L1 error of voted faces: of the normals, and of the distances from the true centre, metres."""
    voted, _ = planes
    half = (size / 2.0).repeat_interleave(2, dim=1)
    error = (voted - normals).abs().mean(-1) + (from_centre(planes, t) - half).abs()
    return mean_where(error, determined)


def box_losses(
    planes: tuple[Tensor, Tensor], R: Tensor, t: Tensor, size: Tensor, determined: Tensor
) -> dict[str, Tensor]:
    """Compute the terms ``box_rotation``, ``box_translation``, ``box_size`` and ``box_self``.

    Args:
        planes: Result of ``voted_planes``.
        R: ``(B, 3, 3)`` predicted rotation.
        t: ``(B, 3)`` predicted centre.
        size: ``(B, 3)`` predicted size.
        determined: ``(B, 6)`` bool.
    """
    voted, _ = planes
    rotation = mean_where(1.0 - (voted * face_normals(R)).sum(-1), determined)
    above, below = from_centre(planes, t).unflatten(1, (3, 2)).unbind(-1)
    axes = determined[:, ::2]
    opposite = 1.0 + (voted[:, ::2] * voted[:, 1::2]).sum(-1)
    return {
        "box_rotation": rotation,
        "box_translation": mean_where((above - below).abs(), axes),
        "box_size": mean_where((above + below - size).abs(), axes),
        "box_self": mean_where(opposite, axes),
    }


def from_centre(planes: tuple[Tensor, Tensor], t: Tensor) -> Tensor:
    """Compute the distance ``(B, 6)`` of each plane from a centre along its normal."""
    normals, points = planes
    return (normals * (points - t.unsqueeze(1))).sum(-1)
