"""Optimizer that updates matrices by Muon and all other parameters by AdamW."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from clipose_ros.training.optim.closure import evaluate_closure

LEAST_SIDE = 8
"""Smallest number of rows and columns of a matrix that Muon updates.

Smaller matrices have coordinates as inputs or poses as outputs; AdamW updates them.
"""


class Muon(torch.optim.Optimizer):
    """torch's Muon for matrices and AdamW for the other parameters, as one optimizer with a common learning rate.

    Muon replaces the singular values of the momentum of a matrix by equal ones. The step is scaled so that an entry
    changes about as much as by AdamW. ``param_groups`` holds the groups of both.

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
        # RMS matching scales a Muon step to the usual size of an AdamW step, so one learning rate serves both.
        self._parts = (
            torch.optim.Muon(matrices, lr, weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr, weight_decay=weight_decay),
        )
        # The groups are those of the parts, not copies: a schedule that sets their learning rates reaches both parts.
        super().__init__([group for part in self._parts for group in part.param_groups], {})

    def step(  # type: ignore[override]  # torch declares two overloads
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """Update every parameter that has a gradient; return the loss of the closure, if there is one."""
        loss = evaluate_closure(closure)
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both optimizers."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what ``state_dict`` returned."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)  # replaces the groups of the part
        self.param_groups = [group for part in self._parts for group in part.param_groups]
