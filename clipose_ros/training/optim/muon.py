"""Muon for the network's matrices, AdamW for all else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

LEAST_SIDE = 8
"""Matrices with fewer rows or columns read points or write poses; AdamW takes them."""


class Muon(torch.optim.Optimizer):
    """torch's Muon on matrices and its AdamW on the other parameters, as one optimiser with a learning rate in common.

    Muon moves a matrix by its momentum with all singular values made alike, scaled so that an entry moves about as far
    as AdamW would move it. Lookups of ``param_groups`` see the groups of both.

    Args:
        params: Parameters; at least one of them a matrix of at least ``LEAST_SIDE`` rows and columns.
        lr: Learning rate of both.
        weight_decay: Decoupled from the gradient.

    References:
        Jordan et al., Muon: an optimizer for hidden layers, 2024; Liu et al., Muon is scalable for LLM training, 2025.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 1e-3, weight_decay: float = 0.0) -> None:
        matrices: list[Tensor] = []
        others: list[Tensor] = []
        for parameter in params:
            (matrices if parameter.dim() == 2 and min(parameter.shape) >= LEAST_SIDE else others).append(parameter)
        self._parts = (
            torch.optim.Muon(matrices, lr, weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr, weight_decay=weight_decay),
        )
        super().__init__([group for part in self._parts for group in part.param_groups], {})

    def step(  # type: ignore[override]  # torch declares two overloads
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """Update every parameter that has a gradient; returns what the closure, if any, returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both optimisers."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` gave."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self._parts for group in part.param_groups]
