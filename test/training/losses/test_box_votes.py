"""Losses of box votes: zero for true votes, and values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from clipose_ros.model.voting import BoxVotes
from clipose_ros.training.losses.box_votes import (
    BOX_VOTE_TERMS,
    box_losses,
    box_vote_losses,
    face_normals,
    voted_planes,
    voting_loss,
)
from clipose_ros.training.losses.geometry import determined_faces, face_distances

SIZE = torch.tensor([[0.2, 0.4, 0.6]], dtype=torch.float64)
T = torch.tensor([[0.1, -0.2, 1.0]], dtype=torch.float64)
R = torch.tensor([[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]], dtype=torch.float64)
ALL = torch.ones(1, 6, dtype=torch.bool)


def cloud(count: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    local = (torch.rand(1, count, 3, dtype=torch.float64, generator=generator) - 0.5) * SIZE.unsqueeze(1)
    return local @ R.mT + T.unsqueeze(1)


def true_votes(points: torch.Tensor) -> BoxVotes:
    normals = face_normals(R).unsqueeze(1).expand(-1, points.shape[1], -1, -1)
    return BoxVotes(normals, face_distances(points, R, T, SIZE), torch.ones((*points.shape[:2], 6)).double())


def test_face_normals_point_outward_along_axes() -> None:
    expected = torch.stack([R[0, :, 0], -R[0, :, 0], R[0, :, 1], -R[0, :, 1], R[0, :, 2], -R[0, :, 2]])
    torch.testing.assert_close(face_normals(R)[0], expected)


def test_box_vote_terms_vanish_for_true_votes() -> None:
    points = cloud()
    votes = true_votes(points)
    local = (votes.points(points) - T) @ R[0]
    for face, (axis, sign) in enumerate((a, s) for a in range(3) for s in (1.0, -1.0)):
        torch.testing.assert_close(local[0, :, face, axis], (sign * SIZE[0, axis] / 2).expand(7))
    terms = box_vote_losses(votes, points, face_normals(R), votes.distances, ALL)
    planes = voted_planes(votes, points)
    terms |= {"voting": voting_loss(planes, face_normals(R), T, SIZE, ALL), **box_losses(planes, R, T, SIZE, ALL)}
    assert set(terms) == set(BOX_VOTE_TERMS)
    assert max(abs(term.item()) for term in terms.values()) < 1e-9


def test_box_vote_terms_equal_values_computed_by_hand() -> None:
    points = cloud()
    right = true_votes(points)
    votes = BoxVotes(right.normals, right.distances + 0.05, right.confidences)
    normal, distance, confidence = box_vote_losses(votes, points, face_normals(R), right.distances, ALL).values()
    assert normal.item() == pytest.approx(0.0, abs=1e-9) and distance.item() == pytest.approx(0.05)
    assert confidence.item() == pytest.approx(1.0 - math.exp(-303.5 * 0.05**2))
    flipped = BoxVotes(-right.normals, right.distances, right.confidences)
    assert box_vote_losses(flipped, points, face_normals(R), right.distances, ALL)[
        "face_normal"
    ].item() == pytest.approx(2.0)


def test_box_terms_equal_values_computed_by_hand() -> None:
    points = cloud()
    right = true_votes(points)
    wide = voted_planes(BoxVotes(right.normals, right.distances + 0.05, right.confidences), points)
    assert voting_loss(wide, face_normals(R), T, SIZE, ALL).item() == pytest.approx(0.05)
    rotation, translation, size, own = (term.item() for term in box_losses(wide, R, T, SIZE, ALL).values())
    assert (rotation, translation, own) == pytest.approx((0.0, 0.0, 0.0), abs=1e-9) and size == pytest.approx(0.1)
    planes = voted_planes(right, points)
    moved = T + 0.03 * R[:, :, 1]
    assert box_losses(planes, R, moved, SIZE, ALL)["box_translation"].item() == pytest.approx(0.06 / 3)
    turned = R @ torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]], dtype=torch.float64)
    assert box_losses(planes, turned, T, SIZE, ALL)["box_rotation"].item() == pytest.approx(4.0 / 6.0)
    only_y = determined_faces(torch.tensor([False]))
    assert box_losses(planes, turned, T, SIZE, only_y)["box_rotation"].item() == pytest.approx(0.0, abs=1e-9)
    bent = right.normals.clone()
    bent[:, :, 1] = bent[:, :, 0]  # both x faces look the same way
    both = voted_planes(BoxVotes(bent, right.distances, right.confidences), points)
    assert box_losses(both, R, T, SIZE, ALL)["box_self"].item() == pytest.approx(2.0 / 3.0)


def test_votes_of_low_confidence_have_low_weight() -> None:
    points = cloud()
    right = true_votes(points)
    distances, sure = right.distances.clone(), right.confidences.clone()
    distances[:, 0] += 1.0
    sure[:, 0] = 1e-9
    planes = voted_planes(BoxVotes(right.normals, distances, sure), points)
    assert voting_loss(planes, face_normals(R), T, SIZE, ALL).item() < 1e-6


def test_gradients_equal_finite_differences() -> None:
    points, generator = cloud(4), torch.Generator().manual_seed(1)
    shapes = [(1, 4, 6, 3), (1, 4, 6), (1, 4, 6), (1, 3), (1, 3)]
    inputs = [torch.rand(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes]

    def total(n: torch.Tensor, d: torch.Tensor, c: torch.Tensor, t: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
        votes = BoxVotes(F.normalize(n, dim=-1), d, c)
        planes = voted_planes(votes, points)
        terms = box_vote_losses(votes, points, face_normals(R), face_distances(points, R, T, SIZE), ALL)
        del terms["face_confidence"]  # its target has no gradient
        terms |= {"voting": voting_loss(planes, face_normals(R), T, SIZE, ALL), **box_losses(planes, R, t, size, ALL)}
        return torch.stack([*terms.values()]).sum()

    assert torch.autograd.gradcheck(total, inputs)
