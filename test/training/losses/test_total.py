"""State of the loss modules without frozen parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clipose_ros.training.losses.total import load_trained_state, trained_state


def module():
    made = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    made[0].requires_grad_(False)
    return made


def test_trained_state_omits_frozen_parameters_and_keeps_statistics():
    state = trained_state(module())
    assert not any(name.startswith("0.") for name in state)
    assert {"1.weight", "1.running_mean", "2.weight", "2.bias"} <= state.keys()


def test_load_trained_state_restores_values_and_keeps_frozen_parameters():
    torch.manual_seed(0)
    source, target = module(), module()
    frozen = target[0].weight.clone()
    source(torch.randn(8, 3))  # moves the running statistics
    load_trained_state(target, trained_state(source))
    torch.testing.assert_close(target[2].weight, source[2].weight, rtol=0, atol=0)
    torch.testing.assert_close(target[1].running_mean, source[1].running_mean, rtol=0, atol=0)
    torch.testing.assert_close(target[0].weight, frozen, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["1.running_mean", "2.bias"])
def test_load_trained_state_names_missing_entry(name):
    state = trained_state(module())
    del state[name]
    with pytest.raises(KeyError, match=name):
        load_trained_state(module(), state)
