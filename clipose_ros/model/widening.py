"""Widening of a trained network to a wider one with the same outputs, as a start for training (Net2Net)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from clipose_ros.model.network import Architecture, CLIPoseNet


def widening_factor(narrow: Architecture, wide: Architecture) -> int | None:
    """Return how many times as wide ``wide`` is; None if the two differ otherwise or not by a whole number.

    The numbers of points of network and heads, and dropout, may differ: the weights have the same meaning for fewer
    points. Alignment to rays, to which training adapts, and shifts by category, which are zero at first, may
    be added, but not removed. A refiner, which adapts to its frames, may start from a coarse network. Neighbours and
    the unit of length must be equal: they shape no weight, but features change with them.
    """
    factor = max(1, wide.widths[0] // narrow.widths[0])
    fitting = replace(
        narrow,
        widths=tuple(factor * width for width in narrow.widths),
        points=wide.points,
        head_points=wide.head_points,
        ray_aligned=(narrow.ray_aligned or wide.ray_aligned) and not wide.refines,
        refines=narrow.refines or wide.refines,
        category_shift=narrow.category_shift or wide.category_shift,
        dropout=wide.dropout,
    )
    return factor if fitting == wide else None


def widen(narrow: CLIPoseNet, wide: CLIPoseNet, seed: int = 0) -> None:
    """Give a network the weights of a narrower one, so that the outputs are the same.

    The outputs are the same for the same points; they differ if the two networks use different numbers of points, or
    only one of them aligns clouds to their rays.

    Every channel becomes ``factor`` equal channels, side by side. The next layer divides its weight among them in
    random shares, so that training separates them from its first step on. All channels have equally many copies, so
    distances between features keep their order and neighbours in feature space stay the same, except for ties, which
    rounding decides.

    Args:
        narrow: Network whose weights are read.
        wide: Network whose weights are overwritten; ``widening_factor`` of the two is not None.
        seed: Seed of the shares.

    References:
        Chen et al., Net2Net, ICLR 2016.
    """
    random = torch.Generator().manual_seed(seed)
    factor = wide.architecture.widths[0] // narrow.architecture.widths[0]
    target = wide.state_dict()
    # Shifts by category that the narrow network lacks stay as they are: zero.
    wide.load_state_dict(
        target
        | {
            # A shift by category has a channel on its second axis, but no inputs: its copies are equal.
            name: values.repeat_interleave(factor, 1)
            if name.startswith("encoder.shifts.")
            else _widen_tensor(values, target[name].shape, factor, random)
            for name, values in narrow.state_dict().items()
        }
    )


def _widen_tensor(values: Tensor, shape: torch.Size, factor: int, random: torch.Generator) -> Tensor:
    """Return a weight, or statistics of a norm, in the shape of the wide network."""
    for axis, size in enumerate(shape):
        extra = size - values.shape[axis]
        if extra:
            copied = extra // (factor - 1)  # coordinates or the one-hot category behind them are not copied
            once = values.narrow(axis, copied, values.shape[axis] - copied)
            copies = values.narrow(axis, 0, copied).repeat_interleave(factor, axis)
            if axis == 1:  # inputs of a matrix; no other tensor grows along its second axis
                copies = copies * _draw_shares(copies, factor, random)
            values = torch.cat([copies, once], dim=axis)
    return values


def _draw_shares(copies: Tensor, factor: int, random: torch.Generator) -> Tensor:
    """Return positive numbers in the shape of a matrix; each ``factor`` adjacent ones in a row sum to 1."""
    rows, columns = copies.shape
    parts = torch.rand((rows, columns // factor, factor), generator=random, dtype=copies.dtype) + 0.1
    return (parts / parts.sum(dim=-1, keepdim=True)).flatten(1)
