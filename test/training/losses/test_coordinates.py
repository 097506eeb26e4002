"""Object coordinates as a target: zero for the truth up to a free yaw, and distances that no pose changes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.training.losses.coordinates import coordinate_loss, nearest_yaw, relation_loss

ANGLES = st.floats(-math.pi, math.pi)


def yaw(angle: float) -> torch.Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]], dtype=torch.float64)


def local_points() -> torch.Tensor:
    return torch.randn(1, 40, 3, generator=torch.Generator().manual_seed(2)).double() * 0.1


def pose(angle: float) -> tuple[torch.Tensor, torch.Tensor]:
    tilt = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.6, -0.8], [0.0, 0.8, 0.6]], dtype=torch.float64)
    return (tilt @ yaw(angle)).unsqueeze(0), torch.tensor([[0.1, -0.2, 0.9]], dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(ANGLES, ANGLES)
def test_coordinates_count_up_to_yaw_where_yaw_is_free(angle: float, turned: float) -> None:
    (R, t), local = pose(angle), local_points()
    points = local @ R.mT + t.unsqueeze(1)
    free, determined = torch.tensor([False]), torch.tensor([True])
    predicted = local @ yaw(turned).T
    assert coordinate_loss(predicted, points, R, t, free).item() == pytest.approx(0.0, abs=1e-9)
    assert coordinate_loss(local, points, R, t, determined).item() == pytest.approx(0.0, abs=1e-9)
    expected = (predicted - local).abs().mean().item()
    assert coordinate_loss(predicted, points, R, t, determined).item() == pytest.approx(expected)


def test_free_yaw_is_the_nearest() -> None:
    truth, predicted = local_points(), local_points() @ yaw(0.7).T + 0.02
    best = (nearest_yaw(truth, predicted, torch.tensor([False])) - predicted).square().sum()
    for angle in torch.linspace(-3.1, 3.1, 40).tolist():
        assert best <= ((truth @ yaw(angle).T) - predicted).square().sum() + 1e-9


@settings(max_examples=20, deadline=None)
@given(ANGLES)
def test_relations_are_the_same_in_every_frame(angle: float) -> None:
    (R, t), local = pose(angle), local_points()
    points = local @ R.mT + t.unsqueeze(1)
    assert relation_loss(local, points).item() == pytest.approx(0.0, abs=1e-9)
    doubled = relation_loss(2.0 * local, points).item()
    distances = (local - local.roll(20, dims=1)).norm(dim=-1)
    assert doubled == pytest.approx(distances.mean().item())


def test_gradients_equal_finite_differences() -> None:
    (R, t), local = pose(0.4), local_points()[:, :8]
    points = local @ R.mT + t.unsqueeze(1)
    predicted = (1.3 * local + 0.03).requires_grad_()
    determined = torch.tensor([True])
    assert torch.autograd.gradcheck(lambda p: coordinate_loss(p, points, R, t, determined), (predicted,))
    assert torch.autograd.gradcheck(lambda p: relation_loss(p, points), (predicted,))


def test_equal_points_give_no_infinite_gradient() -> None:
    predicted = torch.zeros(1, 16, 3, requires_grad=True)
    relation_loss(predicted, torch.zeros(1, 16, 3)).backward()
    assert predicted.grad is not None and torch.isfinite(predicted.grad).all()
