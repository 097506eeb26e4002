"""Ranger, the optimizer of the paper: RAdam, Lookahead and gradient centralisation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clipose_ros.errors import ConfigError
from clipose_ros.training.optim.closure import evaluate_closure

SLOW = "slow"
"""Key of the slow weights in the state of a parameter."""


@dataclass(frozen=True)
class Lookahead:
    """Settings of Lookahead.

    Attributes:
        steps: Number of steps between two updates of the slow weights, at least 1.
        alpha: Fraction of the way from the slow to the fast weights that an update takes, 0 to 1.

    Raises:
        ConfigError: A value is out of range.
    """

    steps: int = 6
    alpha: float = 0.5

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0.0 <= self.alpha <= 1.0:
            raise ConfigError(f"Lookahead needs steps >= 1 and alpha in [0, 1], got {self.steps} and {self.alpha}")


_DEFAULT_LOOKAHEAD = Lookahead()


class Ranger(torch.optim.RAdam):
    """RAdam on centred gradients, with slow weights that follow the fast ones every few steps.

    ``step`` centres gradients in place.

    Args:
        params: Parameters, or groups of them.
        lr: Learning rate.
        betas: Decay rates of the running means of the gradient and of its square.
        eps: Term in the denominator for numerical stability.
        weight_decay: Weight decay, decoupled from the gradient.
        lookahead: Settings of Lookahead.

    References:
        Liu et al., RAdam, ICLR 2020; Zhang et al., Lookahead, NeurIPS 2019; Yong et al., gradient centralisation, ECCV
        2020.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        weight_decay: float = 0.0,
        lookahead: Lookahead = _DEFAULT_LOOKAHEAD,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, decoupled_weight_decay=True)
        for settings in (self.defaults, *self.param_groups):
            # In the groups, and so in the state file: a resumed run continues with the same settings.
            settings.setdefault("lookahead_steps", lookahead.steps)
            settings.setdefault("lookahead_alpha", lookahead.alpha)

    @torch.no_grad()
    def step(  # type: ignore[override]  # torch declares two overloads
        self, closure: Callable[[], float] | None = None
    ) -> float | None:
        """Update every parameter that has a gradient; return the loss of the closure, if there is one."""
        loss = evaluate_closure(closure)
        # Slow weights start at the values before the first step. They are stored after it: RAdam initialises its own
        # state only for parameters whose state is empty.
        started: dict[Tensor, Tensor] = {}
        for parameter in self._with_gradient():
            centre_gradient(parameter)
            if SLOW not in self.state[parameter]:
                started[parameter] = parameter.clone()
        super().step()
        for parameter, slow in started.items():
            self.state[parameter][SLOW] = slow
        for group in self.param_groups:
            for parameter in (p for p in group["params"] if p.grad is not None):
                state = self.state[parameter]
                if int(state["step"]) % group["lookahead_steps"] == 0:
                    # slow += alpha * (fast - slow), then fast = slow
                    parameter.copy_(state[SLOW].lerp_(parameter, group["lookahead_alpha"]))
        return loss

    def _with_gradient(self) -> Iterable[Tensor]:
        """Return the parameters that have a gradient."""
        return (p for group in self.param_groups for p in group["params"] if p.grad is not None)


def centre_gradient(parameter: Tensor) -> None:
    """Subtract from a gradient its mean over all axes but the first; gradients of vectors are unchanged."""
    if parameter.grad is not None and parameter.dim() > 1:
        parameter.grad -= parameter.grad.mean(dim=tuple(range(1, parameter.dim())), keepdim=True)
