"""Evaluation of the closure that ``torch.optim.Optimizer.step`` may be given."""

from __future__ import annotations

from collections.abc import Callable

import torch


def evaluate_closure(closure: Callable[[], float] | None) -> float | None:
    """Evaluate a closure with gradients enabled and return its loss; None if there is no closure."""
    if closure is None:
        return None
    # Optimizers run without gradients, but the closure computes those of the loss.
    with torch.enable_grad():
        return closure()
