"""Widening of networks: equal outputs, and separation of the copies by training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.model.network import Architecture, CLIPoseNet, NetworkOutput
from clipose_ros.model.widening import widen, widening_factor

NARROW = Architecture(
    widths=(16, 16, 24, 24, 32), supports=3, neighbours=8, head_widths=(16, 8), dropout=0.0, unit_m=0.1
)


def wider(factor: int, **changes: Any) -> Architecture:
    widths = tuple(factor * width for width in changes.get("widths", NARROW.widths))
    return replace(NARROW, **changes | {"widths": widths})


@pytest.fixture
def clouds() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(12, 128, 3).double() * 0.1, torch.arange(12) % 6


def network(architecture: Architecture, seed: int) -> CLIPoseNet:
    torch.manual_seed(seed)
    return CLIPoseNet(architecture, NOCS_CATEGORIES).double()


def values(output: NetworkOutput) -> Tensor:
    axes = [output.axis_y, output.axis_x, output.translation, output.size]
    return torch.cat([*axes, output.confidence_y[:, None], output.confidence_x[:, None]], dim=1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("one_hot", [True, False])
@pytest.mark.parametrize("encoder", ["hs", "gcn3d"])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_widened_network_has_same_outputs(
    factor: int, encoder: str, one_hot: bool, training: bool, clouds: tuple[Tensor, Tensor]
) -> None:
    shape = {"encoder": encoder, "one_hot": one_hot}
    narrow, wide = network(wider(1, **shape), 2), network(wider(factor, **shape), 3)
    narrow(*clouds)  # a norm whose statistics are not those that it begins with
    widen(narrow, wide)
    with torch.no_grad():
        expected, said = (values(net.train(training)(*clouds)) for net in (narrow, wide))
    # Of points with equal features, which are equally near, rounding chooses the neighbours.
    torch.testing.assert_close(said, expected, rtol=0.0, atol=1e-3)
    assert (said - expected).abs().median() < 1e-9


def test_training_separates_copied_channels(clouds: tuple[Tensor, Tensor]) -> None:
    narrow, wide = network(NARROW, 2), network(wider(2), 3)
    widen(narrow, wide)
    values(wide(*clouds)).square().sum().backward()
    for name, weight in wide.named_parameters():
        if name.startswith("encoder") and weight.shape[-1] % 2 == 0:
            gradient = weight.grad
            assert gradient is not None
            along = gradient.transpose(0, -1) if name.endswith("supports") else gradient
            first, second = along[0::2], along[1::2]
            assert not torch.allclose(first, second, rtol=1e-3, atol=0.0), name


def test_widening_is_determined_by_seed() -> None:
    narrow, nets = network(NARROW, 2), [network(wider(2), 3) for _ in range(3)]
    for net, seed in zip(nets, (5, 5, 6), strict=True):
        widen(narrow, net, seed)
    weights = [net.encoder.layer1.conv.project.weight for net in nets]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("wide", "factor"),
    [
        (wider(1), 1),
        (wider(3), 3),
        (wider(2, points=256, head_points=64, dropout=0.3), 2),
        (replace(NARROW, widths=(32, 32, 48, 48, 63)), None),
        (replace(NARROW, widths=(8, 8, 12, 12, 16)), None),
        (wider(2, head_widths=(32, 16)), None),
        (wider(2, supports=4), None),
        (wider(2, unit_m=1.0), None),
        (wider(2, neighbours=16), None),
        (wider(2, one_hot=True), None),
    ],
)
def test_widening_factor_of_architectures(wide: Architecture, factor: int | None) -> None:
    assert widening_factor(NARROW, wide) == factor
