"""The optimiser and its learning rate over a run."""

from __future__ import annotations

import math

import torch

from clipose_ros.training.config import TrainConfig
from clipose_ros.training.optim.muon import Muon
from clipose_ros.training.optim.ranger import Ranger


def make_optimizer(config: TrainConfig, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Create the optimiser of a recipe."""
    kind = {"adamw": torch.optim.AdamW, "muon": Muon, "ranger": Ranger}[config.optimizer]
    return kind(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Linear warm-up, flat, then a cosine down to 0."""
    if step < config.warmup_steps:
        return max(step, 1) / config.warmup_steps
    fall = config.lr_flat_fraction * config.steps
    if step <= fall:
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (step - fall) / max(config.steps - fall, 1.0)))


def initial_steps(config: TrainConfig) -> int:
    """How many steps of the run see only the first points of each cloud."""
    return math.ceil(config.initial_points_fraction * config.steps) if config.initial_points else 0


def points_at(step: int, config: TrainConfig) -> int:
    """How many points of each cloud a step sees; 0: all."""
    fewer = (config.initial_points if step < initial_steps(config) else 0, config.architecture.points)
    return min(filter(None, fewer), default=0)
