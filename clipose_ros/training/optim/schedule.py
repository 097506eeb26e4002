"""Optimizer, learning rate and number of points over the steps of a run."""

from __future__ import annotations

import math

import torch

from clipose_ros.training.config import TrainConfig
from clipose_ros.training.optim.muon import Muon
from clipose_ros.training.optim.ranger import Ranger


def make_optimizer(config: TrainConfig, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Create the optimizer of a recipe."""
    kind = {"adamw": torch.optim.AdamW, "muon": Muon, "ranger": Ranger}[config.optimizer]
    return kind(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)


def require_fitting_state(optimizer: torch.optim.Optimizer) -> None:
    """Check that the tensors in an optimizer's state are numbers or have the shape of their parameter.

    ``load_state_dict`` of torch checks no shape.

    Raises:
        ValueError: One has another shape.
    """
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor) and value.dim() and value.shape != parameter.shape:
                raise ValueError(f"'{name}' has shape {tuple(value.shape)}, expected {tuple(parameter.shape)}")


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Compute the factor on the learning rate: linear warm-up, constant 1, then cosine decay to 0."""
    if step < config.warmup_steps:
        # At least 1: a factor of 0 would waste the first step.
        return max(step, 1) / config.warmup_steps
    decay_start = config.lr_flat_fraction * config.steps
    if step <= decay_start:
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (step - decay_start) / max(config.steps - decay_start, 1.0)))


def initial_steps(config: TrainConfig) -> int:
    """Return the number of first steps that use ``initial_points`` points of each cloud."""
    return math.ceil(config.initial_points_fraction * config.steps) if config.initial_points else 0


def points_at(step: int, config: TrainConfig) -> int:
    """Return the number of points of each cloud that a step uses; 0 for all."""
    limits = (config.initial_points if step < initial_steps(config) else 0, config.architecture.points)
    # A limit of 0 means none, so zeros are left out of the minimum.
    return min(filter(None, limits), default=0)
