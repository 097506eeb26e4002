"""Pose terms: values computed by hand, and undetermined axes."""

from __future__ import annotations

import math

import pytest
import torch

from clipose_ros.model.encoder import Encoding
from clipose_ros.model.network import NetworkOutput
from clipose_ros.training.losses.pose import (
    LossWeights,
    PoseTruth,
    axis_error,
    confidence_target,
    pose_losses,
    welsch_loss,
)
from clipose_ros.training.losses.total import weighted_sum

EYE = torch.eye(3, dtype=torch.float64)


def output(**changes: torch.Tensor) -> NetworkOutput:
    """A perfect answer for the identity pose, two objects, with changes."""
    perfect = {
        "axis_y": EYE[1].repeat(2, 1),
        "axis_x": EYE[0].repeat(2, 1),
        "confidence_y": torch.ones(2, dtype=torch.float64),
        "confidence_x": torch.ones(2, dtype=torch.float64),
        "translation": torch.zeros(2, 3, dtype=torch.float64),
        "size": torch.ones(2, 3, dtype=torch.float64),
    }
    return NetworkOutput(**(perfect | changes), encoding=Encoding(()))


def truth(*determined: bool) -> PoseTruth:
    zeros = torch.zeros(2, 3, dtype=torch.float64)
    return PoseTruth(EYE.repeat(2, 1, 1), zeros, zeros + 1.0, torch.tensor(determined))


def test_pose_terms_vanish_for_true_pose() -> None:
    assert weighted_sum(pose_losses(output(), truth(True, True)), LossWeights()).item() == 0.0


def test_axis_error_is_the_mean_absolute_difference() -> None:
    tilted = torch.tensor([[0.6, 0.8, 0.0]])
    assert axis_error(tilted, torch.tensor([[0.0, 1.0, 0.0]])).item() == pytest.approx((0.6 + 0.2) / 3)


def test_confidence_target_equals_value_computed_by_hand() -> None:
    tilted, up = torch.tensor([[0.6, 0.8, 0.0]]), torch.tensor([[0.0, 1.0, 0.0]])
    assert confidence_target(tilted, up).item() == pytest.approx(math.exp(-13.7 * (0.36 + 0.04)), rel=1e-4)
    assert confidence_target(up, up).item() == 1.0


def test_pose_terms_equal_values_computed_by_hand() -> None:
    wrong = output(
        axis_y=torch.tensor([[0.6, 0.8, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64),
        translation=torch.tensor([[0.03, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64),
        size=torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.6, 1.0]], dtype=torch.float64),
    )
    losses = pose_losses(wrong, truth(True, False))
    assert losses["rotation_y"].item() == pytest.approx((0.8 / 3) / 2)
    assert losses["rotation_x"].item() == 0.0
    assert losses["cosine"].item() == pytest.approx(0.2 / 2)
    assert losses["orthogonality"].item() == pytest.approx(0.6)  # of the one object whose x axis is determined
    assert losses["translation"].item() == pytest.approx(0.03 / 6)
    assert losses["size"].item() == pytest.approx(0.6 / 6)
    target = math.exp(-13.7 * 0.4)
    assert losses["confidence"].item() == pytest.approx(
        (1 - target) / 2 + 1.0 / 2
    )  # the undetermined x should not be sure


def test_undetermined_x_axis_adds_no_loss_and_no_gradient() -> None:
    free = torch.tensor([[0.0, 0.0, 1.0], [0.6, 0.8, 0.0]], dtype=torch.float64, requires_grad=True)
    unsure = torch.zeros(2, dtype=torch.float64)
    total = weighted_sum(pose_losses(output(axis_x=free, confidence_x=unsure), truth(False, False)), LossWeights())
    total.backward()
    assert total.item() == 0.0 and free.grad is not None and not free.grad.any()


def test_gradients_equal_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    names = ("axis_y", "axis_x", "confidence_y", "confidence_x", "translation", "size")
    shapes = [(2, 3), (2, 3), (2,), (2,), (2, 3), (2, 3)]
    inputs = [torch.rand(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes]

    def total(*values: torch.Tensor) -> torch.Tensor:
        pairs = dict(zip(names, values, strict=True))
        losses = pose_losses(output(**pairs), truth(True, False))
        return (
            losses["rotation_y"]
            + losses["rotation_x"]
            + losses["cosine"]
            + losses["orthogonality"]
            + losses["translation"]
            + losses["size"]
        )

    assert torch.autograd.gradcheck(total, inputs)


def test_welsch_loss_equals_value_computed_by_hand() -> None:
    tilted = torch.tensor([[0.6, 0.8, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    away = torch.tensor([[-1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]], dtype=torch.float64)
    loss = welsch_loss(output(axis_y=tilted, axis_x=away), truth(True, False)).item()
    assert loss == pytest.approx((1.0 - math.exp(-20.0 * 0.4)) / 2 + (1.0 - math.exp(-20.0 * 4.0)))
    assert welsch_loss(output(), truth(True, False)).item() == 0.0


def test_welsch_loss_pulls_hardest_at_the_errors_of_its_docstring() -> None:
    angles = torch.deg2rad(torch.arange(1.0, 90.0, 0.5, dtype=torch.float64)).requires_grad_()
    zeros = torch.zeros_like(angles)
    axes = torch.stack([torch.sin(angles), torch.cos(angles), zeros], dim=1)
    right = EYE.repeat(len(angles), 1, 1)
    given = PoseTruth(right, zeros, zeros, torch.zeros(len(angles), dtype=torch.bool))
    perfect = NetworkOutput(axes, right[:, :, 0], zeros, zeros, zeros, zeros, encoding=Encoding(()))
    (pull,) = torch.autograd.grad(welsch_loss(perfect, given), angles)
    degrees = torch.rad2deg(angles.detach())
    assert 8.0 < degrees[pull.argmax()].item() < 10.0
    assert (pull[degrees > 25.0] < 0.1 * pull.max()).all()
