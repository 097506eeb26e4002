"""A wider network that says what a narrower, trained one says: a head start for training it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from clipose_ros.model.network import Architecture, CLIPoseNet


def widening_factor(narrow: Architecture, wide: Architecture) -> int | None:
    """How many times as wide the one's encoder is; None where they differ otherwise or not by a whole number.

    How many points the network and its heads look at may differ, and dropout: the weights mean the same for fewer
    points. Neighbours and the unit of length must not, though they shape no weight either: features change with them.
    """
    factor = max(1, wide.widths[0] // narrow.widths[0])
    fitting = replace(
        narrow,
        widths=tuple(factor * width for width in narrow.widths),
        points=wide.points,
        head_points=wide.head_points,
        dropout=wide.dropout,
    )
    return factor if fitting == wide else None


def widen(narrow: CLIPoseNet, wide: CLIPoseNet, seed: int = 0) -> None:
    """Give a network the weights of a narrower one, so that it says the same (Chen et al., Net2Net, ICLR 2016).

    That holds of the same points: where the two look at different numbers of them, what they say differs by that.

    Every channel becomes ``factor`` alike, side by side. Whoever reads them gives each a random share of the weight
    that the one had, so that training tells them apart from its first step on. As all channels have equally many
    copies, distances between features keep their order, and neighbours in feature space stay the same; but where two
    are equally near, rounding chooses.

    Args:
        narrow: Whose weights; it stays as it is.
        wide: Its weights are overwritten. ``widening_factor`` of the two is a number.
        seed: Of the shares.
    """
    random = torch.Generator().manual_seed(seed)
    factor = wide.architecture.widths[0] // narrow.architecture.widths[0]
    theirs = wide.state_dict()
    wide.load_state_dict(
        {name: _widened(values, theirs[name].shape, factor, random) for name, values in narrow.state_dict().items()}
    )


def _widened(values: Tensor, shape: torch.Size, factor: int, random: torch.Generator) -> Tensor:
    """A weight, or a norm's statistics, of the wide network's shape."""
    for axis, size in enumerate(shape):
        extra = size - values.shape[axis]
        if extra:
            copied = extra // (factor - 1)  # then come coordinates or the category, of which there is one each
            once = values.narrow(axis, copied, values.shape[axis] - copied)
            copies = values.narrow(axis, 0, copied).repeat_interleave(factor, axis)
            if axis == 1:  # what a matrix reads; nothing else with two axes or more grows along its second
                copies = copies * _shares(copies, factor, random)
            values = torch.cat([copies, once], dim=axis)
    return values


def _shares(copies: Tensor, factor: int, random: torch.Generator) -> Tensor:
    """Of a matrix' shape, positive numbers of which every ``factor`` in a row, side by side, make 1."""
    rows, columns = copies.shape
    parts = torch.rand((rows, columns // factor, factor), generator=random, dtype=copies.dtype) + 0.1
    return (parts / parts.sum(dim=-1, keepdim=True)).flatten(1)
