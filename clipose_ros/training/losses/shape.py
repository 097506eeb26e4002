"""Auxiliary heads of training and their loss terms: symmetry, box votes, and the points against the pose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clipose_ros.categories import CategorySet
from clipose_ros.model.network import CLIPoseNet, NetworkOutput
from clipose_ros.model.reconstruction import CoordinateHead, SymmetryHead
from clipose_ros.model.voting import BoxVoteHead, BoxVotes
from clipose_ros.training.batches import Batch
from clipose_ros.training.losses.box_votes import (
    BOX_VOTE_TERMS,
    box_losses,
    box_vote_losses,
    face_normals,
    voted_planes,
    voting_loss,
)
from clipose_ros.training.losses.coordinates import COORDINATE_TERMS, coordinate_loss, relation_loss
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
from clipose_ros.training.losses.pose import PoseTruth
from clipose_ros.training.losses.shape_weights import ShapeWeights

_TERMS = ("symmetry", "point_matching", "box_matching", *BOX_VOTE_TERMS, *COORDINATE_TERMS)


@dataclass(frozen=True)
class AuxiliaryOutputs:
    """Outputs of the auxiliary heads; None where no enabled term needs them.

    Attributes:
        reconstructed: ``(B, N, 3)`` metres, camera frame: counterparts of the points under the symmetry of the object.
        votes: Votes of each point for the faces of the box.
        coordinates: ``(B, N, 3)`` metres, object frame: coordinates of the points.
    """

    reconstructed: Tensor | None
    votes: BoxVotes | None
    coordinates: Tensor | None


class ShapeLoss(nn.Module):
    """Loss terms on points; a head exists only if one of its terms is enabled.

    Args:
        weights: Weights of the terms; 0 disables a term.
        network: Network whose encoding is the input of the heads.
        categories: Categories with their symmetry.
    """

    signs: Tensor
    axial: Tensor

    def __init__(self, weights: ShapeWeights, network: CLIPoseNet, categories: CategorySet) -> None:
        super().__init__()
        self.weights, self.head_points = weights, network.architecture.head_points
        channels, unit, aligned = (
            network.encoder.out_channels,
            network.architecture.unit_m,
            network.architecture.ray_aligned,
        )
        self.symmetry = SymmetryHead(channels, unit, weights.symmetry_widths, aligned) if weights.symmetry else None
        self.faces = (
            BoxVoteHead(channels, unit, weights.face_widths, aligned) if weights.is_enabled(BOX_VOTE_TERMS) else None
        )
        self.coordinates: CoordinateHead | None = None
        if weights.is_enabled(COORDINATE_TERMS):
            self.coordinates = CoordinateHead(channels, unit, len(categories), weights.coordinate_widths)
        self.register_buffer("signs", symmetry_signs(categories), persistent=False)
        self.register_buffer("axial", torch.tensor([c.symmetry.axial_y for c in categories]), persistent=False)

    def predict(self, batch: Batch, output: NetworkOutput) -> AuxiliaryOutputs:
        """Run the heads. This is the only part of the loss that runs in mixed precision."""
        points = self._head_points(batch)
        encoding = output.encoding.first(points.shape[1])
        return AuxiliaryOutputs(
            None if self.symmetry is None else self.symmetry(encoding, points),
            None if self.faces is None else self.faces(encoding, points),
            None if self.coordinates is None else self.coordinates(encoding, batch.category),
        )

    def _head_points(self, batch: Batch) -> Tensor:
        """Return the points that are input to the heads."""
        return batch.points[:, : self.head_points or None]

    def forward(self, batch: Batch, output: NetworkOutput, auxiliary: AuxiliaryOutputs) -> dict[str, Tensor]:
        """Compute the enabled terms, unweighted scalars by their names in ``ShapeWeights``."""
        if not self.weights.is_enabled(_TERMS):
            return {}
        points = self._head_points(batch)
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
        if auxiliary.reconstructed is not None:
            terms["symmetry"] = self._symmetry(auxiliary.reconstructed, batch, points, R, output.translation)
        if auxiliary.votes is not None:
            pose = PoseTruth(R, output.translation, output.size, truth.x_determined)
            terms |= _box_vote_terms(auxiliary.votes, points, truth, pose, inside)
        if auxiliary.coordinates is not None:
            predicted, determined_x = auxiliary.coordinates, truth.x_determined
            terms["coordinates"] = coordinate_loss(predicted, points, truth.R, truth.t, determined_x)
            terms["relations"] = relation_loss(predicted, points)
        return terms

    def _symmetry(self, reconstructed: Tensor, batch: Batch, points: Tensor, R: Tensor, t: Tensor) -> Tensor:
        """Compute Eq. (13) with the true pose and with the predicted pose, and add both."""
        signs, axial, truth = self.signs[batch.category], self.axial[batch.category], batch.truth
        counted = symmetry_counted(signs, axial, truth.x_determined)
        by_truth = symmetry_loss(reconstructed, counterpart(points, truth.R, truth.t, signs), counted)
        return by_truth + symmetry_loss(reconstructed, counterpart(points, R, t, signs), counted)


def predicted_rotation(output: NetworkOutput, x_determined: Tensor) -> Tensor:
    """Compute the rotation ``(B, 3, 3)`` from the predicted axes, as at inference.

    No gradient flows into the confidences, nor into x axes that the ground truth leaves undetermined.
    """
    axis_x = torch.where(x_determined.unsqueeze(1), output.axis_x, output.axis_x.detach())
    sure_x = output.confidence_x.detach() * x_determined
    return rotation_from_axes(output.axis_y, axis_x, output.confidence_y.detach(), sure_x)


def _box_vote_terms(
    votes: BoxVotes, points: Tensor, truth: PoseTruth, predicted: PoseTruth, distances: Tensor
) -> dict[str, Tensor]:
    """Compute all terms of the box votes."""
    determined, normals, planes = (
        determined_faces(truth.x_determined),
        face_normals(truth.R),
        voted_planes(votes, points),
    )
    return {
        **box_vote_losses(votes, points, normals, distances, determined),
        "voting": voting_loss(planes, normals, truth.t, truth.size, determined),
        **box_losses(planes, predicted.R, predicted.t, predicted.size, determined),
    }
