"""Losses of the face votes, and between the voted box and the predicted pose (GPV-Pose).

GPV-Pose fits a plane to a face's votes by weighted least squares. Here a face is the plane through the mean vote with
the mean normal, both weighted by confidence: its gradient is defined for every cloud, also for one whose votes
coincide.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from clipose_ros.model.voting import BoxVotes
from clipose_ros.training.losses.geometry import mean_where

FACE_CONFIDENCE_DECAY = 303.5
"""A vote that is off by d metres should have confidence exp(-303.5 d^2) (GPV-Pose)."""


@dataclass(frozen=True)
class BoxVoteLosses:
    """The terms, not yet weighted, each a scalar.

    Attributes:
        face_normal: 1 - cosine of the voted normals.
        face_distance: L1 of the voted distances.
        face_confidence: L1 of the votes' confidences.
        voting: Voted faces against the true ones.
        box_rotation: Voted normals against the predicted axes.
        box_translation: The predicted centre lies midway between opposite voted faces.
        box_size: The predicted size is the distance between opposite voted faces.
        box_self: Opposite voted faces are parallel.
    """

    face_normal: Tensor
    face_distance: Tensor
    face_confidence: Tensor
    voting: Tensor
    box_rotation: Tensor
    box_translation: Tensor
    box_size: Tensor
    box_self: Tensor

    def terms(self) -> dict[str, Tensor]:
        """The terms by name."""
        return {spec.name: getattr(self, spec.name) for spec in fields(self)}


def face_normals(R: Tensor) -> Tensor:
    """Outward normals of a box' faces: ``(B, 3, 3)`` to ``(B, 6, 3)``."""
    return torch.stack([R.mT, -R.mT], dim=2).flatten(1, 2)


def box_vote_losses(
    votes: BoxVotes, points: Tensor, normals: Tensor, distances: Tensor, determined: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What the votes get wrong: normal, distance and confidence terms.

    Args:
        votes: What the points say.
        points: ``(B, N, 3)``.
        normals: ``(B, 6, 3)`` true normals.
        distances: ``(B, N, 6)`` true distances.
        determined: ``(B, 6)`` bool, which faces are asked for.
    """
    true = normals.unsqueeze(1)
    off = (1.0 - (votes.normals * true).sum(-1)).mean(dim=1)
    far = (votes.distances - distances).abs().mean(dim=1)
    on_face = points.unsqueeze(2) + distances.unsqueeze(-1) * true
    apart = (votes.points(points) - on_face).detach().square().sum(-1)
    unsure = (votes.confidences - torch.exp(-FACE_CONFIDENCE_DECAY * apart)).abs().mean(dim=1)
    return mean_where(off, determined), mean_where(far, determined), mean_where(unsure, determined)


def voted_planes(votes: BoxVotes, points: Tensor) -> tuple[Tensor, Tensor]:
    """The planes that the votes make: unit normals ``(B, 6, 3)`` and a point on each ``(B, 6, 3)``."""
    weights = (votes.confidences / votes.confidences.sum(dim=1, keepdim=True).clamp(min=1e-6)).unsqueeze(-1)
    return F.normalize((weights * votes.normals).sum(dim=1), dim=-1), (weights * votes.points(points)).sum(dim=1)


def voting_loss(planes: tuple[Tensor, Tensor], normals: Tensor, t: Tensor, size: Tensor, determined: Tensor) -> Tensor:
    """L1 between voted and true faces: of the normals, and of the distances from the true centre, metres."""
    voted, _ = planes
    half = (size / 2.0).repeat_interleave(2, dim=1)
    error = (voted - normals).abs().mean(-1) + (from_centre(planes, t) - half).abs()
    return mean_where(error, determined)


def box_losses(
    planes: tuple[Tensor, Tensor], R: Tensor, t: Tensor, size: Tensor, determined: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where the voted box and the predicted pose disagree: rotation, translation, size and self terms.

    Args:
        planes: Of ``voted_planes``.
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
    return (
        rotation,
        mean_where((above - below).abs(), axes),
        mean_where((above + below - size).abs(), axes),
        mean_where(opposite, axes),
    )


def from_centre(planes: tuple[Tensor, Tensor], t: Tensor) -> Tensor:
    """Distance of each plane from a centre along its normal: ``(B, 6)``."""
    normals, points = planes
    return (normals * (points - t.unsqueeze(1))).sum(-1)
