"""Mean of the weights of several pose models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from clipose_ros.categories import CategorySet
from clipose_ros.errors import CheckpointError, ConfigError
from clipose_ros.model.checkpoint import load_checkpoint
from clipose_ros.model.network import Architecture, CLIPoseNet


def average_checkpoints(paths: Sequence[Path]) -> CLIPoseNet:
    """Return a network with the mean of the weights of several models, without score calibration.

    The mean of runs from one start errs less on data unlike those of the training than each of them.

    Args:
        paths: Models of one architecture and with the same categories.

    Raises:
        CheckpointError: A model cannot be loaded, or differs from the first one in architecture or categories.
        ConfigError: There is no model.

    References:
        M. Wortsman et al., Model soups: averaging weights of multiple fine-tuned models improves accuracy without
        increasing inference time, ICML 2022.
    """
    if not paths:
        raise ConfigError("the mean of weights needs at least one model, got none")
    networks = [load_checkpoint(path) for path in paths]
    mean = networks[0]
    for path, network in zip(paths[1:], networks[1:], strict=True):
        if _shape(network) != _shape(mean):
            raise CheckpointError(
                f"model file '{path}' has another architecture or other categories than '{paths[0]}': average models "
                "that were trained from one start"
            )
    states = [network.state_dict() for network in networks]
    # In double precision, so that the order of the files does not matter.
    sums = {name: torch.stack([state[name].double() for state in states]).mean(dim=0) for name in states[0]}
    mean.load_state_dict({name: value.to(states[0][name].dtype) for name, value in sums.items()})
    mean.score_calibration = None
    return mean


def _shape(network: CLIPoseNet) -> tuple[Architecture, Architecture | None, CategorySet]:
    """Return all that networks whose weights are averaged must have in common."""
    refiner = None if network.refiner is None else network.refiner.architecture
    return network.architecture, refiner, network.categories
