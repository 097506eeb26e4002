"""Ranger compared with steps written out from the three papers, and its state."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from clipose_ros.errors import ConfigError
from clipose_ros.training.optim.ranger import Lookahead, Ranger

LR, BETAS, EPS, DECAY = 0.05, (0.95, 0.999), 1e-5, 0.1


def by_hand(start: Tensor, gradients: list[Tensor], k: int = 6, alpha: float = 0.5) -> Tensor:
    """The weights after the given gradients."""
    beta1, beta2 = BETAS
    weight, slow = start.clone(), start.clone()
    mean, square = torch.zeros_like(start), torch.zeros_like(start)
    rho_inf = 2 / (1 - beta2) - 1
    for step, raw in enumerate(gradients, start=1):
        gradient = raw - raw.mean(dim=1, keepdim=True) if raw.dim() == 2 else raw
        weight = weight * (1 - LR * DECAY)
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        rho = rho_inf - 2 * step * beta2**step / (1 - beta2**step)
        unbiased = mean / (1 - beta1**step)
        if rho > 5:
            rectify = math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            weight = weight - LR * rectify * unbiased * math.sqrt(1 - beta2**step) / (square.sqrt() + EPS)
        else:
            weight = weight - LR * unbiased
        if step % k == 0:
            slow = slow + alpha * (weight - slow)
            weight = slow.clone()
    return weight


def ranger(*parameters: Tensor) -> Ranger:
    return Ranger(parameters, LR, BETAS, EPS, DECAY)


def feed(optimizer: Ranger, parameter: Tensor, gradients: list[Tensor]) -> None:
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()


@pytest.mark.parametrize("shape", [(3,), (4, 3)])
@pytest.mark.parametrize("steps", [1, 5, 6, 7, 20])
def test_ranger_steps_equal_written_out_formula(shape: tuple[int, ...], steps: int) -> None:
    generator = torch.Generator().manual_seed(steps)
    start = torch.randn(shape, dtype=torch.float64, generator=generator)
    gradients = [torch.randn(shape, dtype=torch.float64, generator=generator) for _ in range(steps)]
    weight = nn.Parameter(start.clone())
    feed(ranger(weight), weight, gradients)
    torch.testing.assert_close(weight.detach(), by_hand(start, gradients))


@pytest.mark.parametrize("before", [1, 5, 6, 11])
def test_ranger_resumes_from_state_dict(before: int) -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = [torch.randn(4, 3, generator=generator) for _ in range(before + 9)]
    whole = nn.Parameter(torch.ones(4, 3))
    feed(ranger(whole), whole, gradients)
    first = nn.Parameter(torch.ones(4, 3))
    optimizer = ranger(first)
    feed(optimizer, first, gradients[:before])
    second = nn.Parameter(first.detach().clone())
    resumed = ranger(second)
    resumed.load_state_dict(optimizer.state_dict())
    feed(resumed, second, gradients[before:])
    assert torch.equal(second, whole)


def test_ranger_leaves_parameter_without_gradient_unchanged() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = ranger(used, unused)
    feed(optimizer, used, [torch.ones(2)] * 7)
    assert torch.equal(unused, torch.ones(2)) and not torch.equal(used, torch.ones(2))


def test_ranger_minimises_quadratic_function() -> None:
    weight = nn.Parameter(torch.tensor([2.0, -1.0]))
    optimizer = Ranger([weight], lr=0.05)
    first = optimizer.step(closure=lambda: _bowl(weight))
    for _ in range(300):
        last = optimizer.step(closure=lambda: _bowl(weight))
    assert first is not None and last is not None and last < 0.05 * first


def _bowl(weight: Tensor) -> float:
    weight.grad = None
    loss = weight.square().sum()
    loss.backward()
    return loss.item()


def test_lookahead_rejects_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match="steps >= 1"):
        Lookahead(steps=0)
    with pytest.raises(ConfigError, match=r"alpha.*1\.5"):
        Lookahead(alpha=1.5)
