"""Muon with AdamW: steps, state and learning rate of both."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from clipose_ros.training.optim.muon import LEAST_SIDE, Muon


def parameters(seed: int, rows: int = 12, columns: int = 20) -> list[Tensor]:
    """A matrix, and what Muon is not for: a vector, a narrow matrix, directions."""
    torch.manual_seed(seed)
    shapes = [(rows, columns), (7,), (LEAST_SIDE - 1, 30), (3, 4, 9)]
    return [torch.randn(shape).requires_grad_() for shape in shapes]


def given_gradients(some: list[Tensor], seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in some:
        parameter.grad = torch.randn_like(parameter)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.integers(LEAST_SIDE, 40), st.integers(LEAST_SIDE, 40))
def test_muon_step_of_matrix_has_equal_singular_values_and_size_of_adamw(seed: int, rows: int, columns: int) -> None:
    some = parameters(seed, rows, columns)
    before = some[0].detach().clone()
    stretched = torch.randn(rows, columns) * torch.logspace(-1, 1, columns)
    of_gradient = torch.linalg.svdvals(stretched)
    # Few iterations cannot lift the least singular value of a nearly singular gradient, as square ones may be.
    assume(of_gradient.min() > 1e-3 * of_gradient.max())
    given_gradients(some, seed)
    some[0].grad = stretched
    Muon(some, lr=0.01).step()
    moved = before - some[0].detach()
    lengths = torch.linalg.svdvals(moved)
    assert lengths.min() / lengths.max() > min(0.3, 30 * of_gradient.min() / of_gradient.max())
    assert 0.05 < moved.square().mean().sqrt() / 0.01 < 0.4, "AdamW's entries move by 0.2 to 0.4 of the rate on average"
    assert (moved * stretched).sum() > 0.0


def test_muon_updates_other_parameters_as_adamw_does() -> None:
    some = parameters(0)
    twins = [p.detach().clone().requires_grad_() for p in some[1:]]
    mixed, plain = Muon(some, 0.01, 0.1), torch.optim.AdamW(twins, 0.01, weight_decay=0.1)
    for seed in range(3):
        given_gradients(some, seed)
        for own, twin in zip(some[1:], twins, strict=True):
            twin.grad = own.grad.clone()
        mixed.step()
        plain.step()
    for own, twin in zip(some[1:], twins, strict=True):
        torch.testing.assert_close(own, twin)


def test_muon_resumes_from_state_dict() -> None:
    some = parameters(1)
    first = Muon(some, 0.01)
    given_gradients(some, 1)
    first.step()
    others = [p.detach().clone().requires_grad_() for p in some]
    second = Muon(others, 0.5)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for optimizer, own in ((first, some), (second, others)):
        for group in optimizer.param_groups:
            group["lr"] = 0.003
        given_gradients(own, 2)
        optimizer.step()
    for one, other in zip(some, others, strict=True):
        torch.testing.assert_close(one, other)


def test_learning_rate_of_groups_applies_to_every_parameter() -> None:
    some = parameters(2)
    before = [p.detach().clone() for p in some]
    optimizer = Muon(some, 0.01)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    given_gradients(some, 3)
    optimizer.step()
    for own, old in zip(some, before, strict=True):
        assert torch.equal(own, old)


def test_muon_step_returns_loss_of_closure() -> None:
    some = parameters(3)
    given_gradients(some, 3)
    assert Muon(some).step(lambda: 1.5) == pytest.approx(1.5)
