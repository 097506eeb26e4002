"""The heads that only training has, and their terms: symmetry, face votes, points against the pose."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clipose_ros.categories import CategorySet
from clipose_ros.model.network import CLIPoseNet, NetworkOutput
from clipose_ros.model.reconstruction import SymmetryHead
from clipose_ros.model.voting import BoxVoteHead, BoxVotes
from clipose_ros.training.batches import Batch
from clipose_ros.training.losses.box_votes import (
    BoxVoteLosses,
    box_losses,
    box_vote_losses,
    face_normals,
    voted_planes,
    voting_loss,
)
from clipose_ros.training.losses.geometry import (
    box_matching,
    counterpart,
    determined_faces,
    face_distances,
    free_yaw,
    point_matching,
    rotation_from_axes,
    symmetry_counted,
    symmetry_loss,
    symmetry_signs,
)
from clipose_ros.training.losses.shape_weights import ShapeWeights

_FACES = tuple(spec.name for spec in fields(BoxVoteLosses))
_TERMS = ("symmetry", "point_matching", "box_matching", *_FACES)


@dataclass(frozen=True)
class AuxiliaryOutputs:
    """What the heads read off an encoding; None where no term needs it.

    Attributes:
        reconstructed: ``(B, N, 3)`` metres, camera frame: each point's counterpart under the object's symmetry.
        votes: Of each point for the faces of the box.
    """

    reconstructed: Tensor | None
    votes: BoxVotes | None


class ShapeLoss(nn.Module):
    """Terms on points; a head exists only where one of its terms counts.

    Args:
        weights: What counts.
        network: Whose encoding the heads read.
        categories: Their symmetry.
    """

    signs: Tensor
    axial: Tensor

    def __init__(self, weights: ShapeWeights, network: CLIPoseNet, categories: CategorySet) -> None:
        super().__init__()
        self.weights, self.seen = weights, network.architecture.head_points
        channels, unit = network.encoder.out_channels, network.architecture.unit_m
        self.symmetry = SymmetryHead(channels, unit, weights.symmetry_widths) if weights.symmetry else None
        self.faces = BoxVoteHead(channels, unit, weights.face_widths) if weights.is_enabled(_FACES) else None
        self.register_buffer("signs", symmetry_signs(categories), persistent=False)
        self.register_buffer("axial", torch.tensor([c.symmetry.axial_y for c in categories]), persistent=False)

    def read(self, batch: Batch, output: NetworkOutput) -> AuxiliaryOutputs:
        """What the heads say: all of the objective that mixed precision may lower."""
        points = self._looked_at(batch)
        encoding = output.encoding.first(points.shape[1])
        return AuxiliaryOutputs(
            None if self.symmetry is None else self.symmetry(encoding, points),
            None if self.faces is None else self.faces(encoding, points),
        )

    def _looked_at(self, batch: Batch) -> Tensor:
        """The points that heads look at."""
        return batch.points[:, : self.seen or None]

    def forward(self, batch: Batch, output: NetworkOutput, readings: AuxiliaryOutputs) -> dict[str, Tensor]:
        """The terms that count, by name, not yet weighted; ``readings`` are what ``read`` gave."""
        if not self.weights.is_enabled(_TERMS):
            return {}
        points = self._looked_at(batch)
        truth, R = batch.truth, predicted_rotation(output, batch.truth.x_determined)
        determined = determined_faces(truth.x_determined)
        inside = face_distances(points, truth.R, truth.t, truth.size)
        terms: dict[str, Tensor] = {}
        if self.weights.point_matching:
            R_true = free_yaw(truth.R, R, truth.x_determined)
            terms["point_matching"] = point_matching(points, R, output.translation, R_true, truth.t)
        if self.weights.box_matching:
            predicted = face_distances(points, R, output.translation, output.size)
            terms["box_matching"] = box_matching(predicted, inside, determined)
        if readings.reconstructed is not None:
            terms["symmetry"] = self._symmetry(readings.reconstructed, batch, points, R, output.translation)
        if readings.votes is not None:
            terms |= _face_terms(
                readings.votes, points, batch, _PredictedBox(R, output.translation, output.size), (inside, determined)
            ).terms()
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The weighted sum of what ``forward`` gave."""
        return torch.stack([getattr(self.weights, name) * term for name, term in terms.items()]).sum()

    def _symmetry(self, reconstructed: Tensor, batch: Batch, points: Tensor, R: Tensor, t: Tensor) -> Tensor:
        """Eq. 13 by the true pose and by the predicted one."""
        signs, axial, truth = self.signs[batch.category], self.axial[batch.category], batch.truth
        counted = symmetry_counted(signs, axial, truth.x_determined)
        by_truth = symmetry_loss(reconstructed, counterpart(points, truth.R, truth.t, signs), counted)
        return by_truth + symmetry_loss(reconstructed, counterpart(points, R, t, signs), counted)


def predicted_rotation(output: NetworkOutput, x_determined: Tensor) -> Tensor:
    """The rotation that the robot would read ``(B, 3, 3)``.

    Confidences, and x axes that nothing determines, learn nothing from it.
    """
    axis_x = torch.where(x_determined.unsqueeze(1), output.axis_x, output.axis_x.detach())
    sure_x = output.confidence_x.detach() * x_determined
    return rotation_from_axes(output.axis_y, axis_x, output.confidence_y.detach(), sure_x)


class _PredictedBox(NamedTuple):
    """Rotation ``(B, 3, 3)``, translation ``(B, 3)`` and size ``(B, 3)`` of the predicted boxes."""

    R: Tensor
    t: Tensor
    size: Tensor


def _face_terms(
    votes: BoxVotes,
    points: Tensor,
    batch: Batch,
    predicted: _PredictedBox,
    masks: tuple[Tensor, Tensor],
) -> BoxVoteLosses:
    """Compute every loss of the box votes.

    Args:
        votes: Votes of each point.
        points: ``(B, N, 3)`` metres, camera frame.
        batch: Clouds with their true boxes.
        predicted: Box that the pose heads predict.
        masks: Which points lie inside the true box, and which faces the symmetry determines.
    """
    inside, determined = masks
    truth, normals, planes = batch.truth, face_normals(batch.truth.R), voted_planes(votes, points)
    return BoxVoteLosses(
        *box_vote_losses(votes, points, normals, inside, determined),
        voting_loss(planes, normals, truth.t, truth.size, determined),
        *box_losses(planes, *predicted, determined),
    )
