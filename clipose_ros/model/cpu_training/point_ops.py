"""Operations of the heads at every point, with few passes over memory: sums over levels, and normalisation with ReLU.

The first layer of a head at the paper's widths is an array of 100 MB for a batch of 24. It fits no cache, and the time
between the matrix products is that of reading and writing it.

Sum over levels, with i the input point and p(i, l) the point of level l nearest to it::

    out[i] = fine[i] + sum_l coarse_l[p(i, l)]

Batch normalisation with ReLU of values x over R rows, with mean m, variance v, weight w, bias b::

    y = relu((x - m) * scale + b),   scale = w / sqrt(v + eps)

Backward, with g the gradient of y where y > 0, else 0 (sums over rows, per channel)::

    d b = sum g      d w = sum g (x - m) / sqrt(v + eps)
    d x = g * scale - (x - m) * slope - level,   level = scale * d b / R,   slope = scale / sqrt(v + eps) * d w / R
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from clipose_ros.model.cpu_training.graph_kernels import FAST, LANES
from clipose_ros.model.graph import norm_relu as pytorch_norm_relu
from clipose_ros.model.graph import sum_levels as pytorch_sum_levels

ROWS = 64
"""Rows whose sums are accumulated in the type of the values, before the sums are added in float64."""


in_float32 = torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
"""Decorator of ``forward``: under autocast it casts the operands to float32, since the loops have no bfloat16."""


class Normalisation(NamedTuple):
    """Normalisation of C channels: ``(x - mean) * scale + bias``; all ``(C,)``."""

    mean: Any
    scale: Any
    bias: Any


@njit(parallel=True, cache=True)
def _level_sum_forward(fine: Any, coarse: Any, places: Any, out: Any) -> None:
    """Compute the sum over levels.

    Args:
        fine: ``(B, N, C)``.
        coarse: ``(B, M, C)`` values of all coarse levels, one after the other.
        places: ``(B, N, L)`` int64, rows of ``coarse`` that are added to each point.
        out: ``(B, N, C)``.
    """
    batch, points, channels = fine.shape
    for flat in prange(batch * points):
        b, i = flat // points, flat % points
        for c in range(channels):
            out[b, i, c] = fine[b, i, c]
        for place in places[b, i]:
            row = coarse[b, place]
            for c in range(channels):
                out[b, i, c] += row[c]


@njit(parallel=True, cache=True)
def _level_sum_backward(grad: Any, places: Any, grad_coarse: Any) -> None:
    """Add the gradient ``(B, N, C)`` of the sum over levels to that of the coarse values ``(B, M, C)``."""
    batch, points, channels = grad.shape
    groups = (channels + LANES - 1) // LANES
    for flat in prange(batch * groups):
        b, first = flat // groups, flat % groups * LANES
        stop = min(first + LANES, channels)
        for i in range(points):
            row = grad[b, i, first:stop]
            for place in places[b, i]:
                total = grad_coarse[b, place, first:stop]
                for c in range(stop - first):
                    total[c] += row[c]


@njit(parallel=True, fastmath=FAST, cache=True)
def _moments(values: Any, about: Any, sums: Any, squares: Any) -> None:
    """Sum the values less ``about``, and their squares, over each block of rows.

    Args:
        values: ``(R, C)``.
        about: ``(C,)``.
        sums: ``(blocks, C)``.
        squares: ``(blocks, C)``.
    """
    rows, channels = values.shape
    for block in prange(len(sums)):
        total, square = sums[block], squares[block]
        total[:] = 0.0
        square[:] = 0.0
        for r in range(block * ROWS, min((block + 1) * ROWS, rows)):
            for c in range(channels):
                value = values[r, c] - about[c]
                total[c] += value
                square[c] += value * value


@njit(parallel=True, fastmath=FAST, cache=True)
def _normalise_relu(values: Any, norm: Normalisation, out: Any) -> None:
    """Normalise and rectify values ``(R, C)``."""
    mean, scale, bias = norm
    rows, channels = values.shape
    zero = values.dtype.type(0)
    for r in prange(rows):
        for c in range(channels):
            out[r, c] = max((values[r, c] - mean[c]) * scale[c] + bias[c], zero)


@njit(parallel=True, fastmath=FAST, cache=True)
def _gradient_sums(grad: Any, values: Any, norm: Normalisation, sums: Any, products: Any) -> None:
    """Sum the gradient behind the ReLU, and its product with ``values - mean``, over each block of rows.

    Args:
        grad: ``(R, C)`` gradient of the result.
        values: ``(R, C)``.
        norm: Normalisation of the forward pass.
        sums: ``(blocks, C)``.
        products: ``(blocks, C)``.
    """
    mean, scale, bias = norm
    rows, channels = values.shape
    zero = values.dtype.type(0)
    for block in prange(len(sums)):
        total, product = sums[block], products[block]
        total[:] = 0.0
        product[:] = 0.0
        for r in range(block * ROWS, min((block + 1) * ROWS, rows)):
            for c in range(channels):
                value = values[r, c] - mean[c]
                passed = grad[r, c] if value * scale[c] + bias[c] > zero else zero
                total[c] += passed
                product[c] += passed * value


@njit(parallel=True, fastmath=FAST, cache=True)
def _norm_gradient(grad: Any, values: Any, norm: Normalisation, level: Any, slope: Any, out: Any) -> None:
    """Compute the gradient of the values ``(R, C)``; ``level`` and ``slope`` ``(C,)`` are as in the equations above."""
    mean, scale, bias = norm
    rows, channels = values.shape
    zero = values.dtype.type(0)
    for r in prange(rows):
        for c in range(channels):
            value = values[r, c] - mean[c]
            passed = grad[r, c] if value * scale[c] + bias[c] > zero else zero
            out[r, c] = passed * scale[c] - value * slope[c] - level[c]


class _LevelSum(torch.autograd.Function):
    """Sum of fine values and, for each point, the coarse values nearest to it."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, fine: Tensor, coarse: Tensor, places: Tensor) -> Tensor:
        fine, coarse = fine.contiguous(), coarse.contiguous()
        out = torch.empty_like(fine)
        _level_sum_forward(fine.detach().numpy(), coarse.detach().numpy(), places.numpy(), out.numpy())
        ctx.save_for_backward(places)
        ctx.coarse_shape = coarse.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        (places,) = ctx.saved_tensors
        grad_coarse = grad.new_zeros(ctx.coarse_shape)
        _level_sum_backward(grad.contiguous().numpy(), places.numpy(), grad_coarse.numpy())
        return grad, grad_coarse, None


def sum_levels(fine: Tensor | None, coarse: Sequence[Tensor], nearest: Sequence[Tensor]) -> Tensor:
    """Compute ``graph.sum_levels`` on the CPU."""
    if fine is None or not coarse:
        return pytorch_sum_levels(fine, coarse, nearest)
    starts = np.cumsum([0, *(term.shape[1] for term in coarse[:-1])]).tolist()
    places = torch.stack([near + start for near, start in zip(nearest, starts, strict=True)], dim=-1)
    return _LevelSum.apply(fine, torch.cat(list(coarse), dim=1), places)


class _NormRelu(torch.autograd.Function):
    """Batch normalisation by the batch's own moments, and ReLU; neither normalised values nor a mask are saved."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        values = values.detach().contiguous()
        x, about = values.numpy(), values[0].numpy()  # about one of the values, so that nothing large cancels
        offset, square = (total / len(x) for total in _column_sums(_moments, x, about))
        mean, variance = about + offset, square - offset * offset
        inverse = 1.0 / np.sqrt(variance + eps)
        norm = Normalisation(
            mean.astype(x.dtype),
            (weight.detach().numpy() * inverse).astype(x.dtype),
            bias.detach().numpy().astype(x.dtype),
        )
        out = torch.empty_like(values)
        _normalise_relu(x, norm, out.numpy())
        ctx.save_for_backward(values)
        ctx.norm, ctx.inverse = norm, inverse
        moments = values.new_tensor(mean), values.new_tensor(variance)
        ctx.mark_non_differentiable(*moments)
        return out, *moments

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (values,) = ctx.saved_tensors
        x, g, scale = values.numpy(), grad.contiguous().numpy(), ctx.norm.scale
        grad_bias, product = _column_sums(_gradient_sums, g, x, ctx.norm)
        grad_weight = product * ctx.inverse
        level, slope = scale * grad_bias / len(x), scale * ctx.inverse * grad_weight / len(x)
        out = torch.empty_like(values)
        _norm_gradient(g, x, ctx.norm, level.astype(x.dtype), slope.astype(x.dtype), out.numpy())
        return out, values.new_tensor(grad_weight), values.new_tensor(grad_bias), None


def _column_sums(loop: Any, *arrays: Any) -> tuple[Any, Any]:
    """Run a loop that sums blocks of rows in two ways; return the two sums over all rows, float64 ``(C,)``."""
    rows, channels = arrays[0].shape
    parts = np.empty((2, -(-rows // ROWS), channels), arrays[0].dtype)
    loop(*arrays, *parts)
    first, second = parts.sum(axis=1, dtype=np.float64)
    return first, second


def norm_relu(norm: nn.Module, features: Tensor) -> Tensor:
    """Compute ``graph.norm_relu`` on the CPU; outside training, by the PyTorch formula."""
    if not (norm.training and isinstance(norm, nn.BatchNorm1d)):
        return pytorch_norm_relu(norm, features)
    flat = features.flatten(0, 1)
    out, mean, variance = _NormRelu.apply(flat, norm.weight, norm.bias, norm.eps)
    with torch.no_grad():
        _update_running_moments(norm, mean, variance * (len(flat) / (len(flat) - 1)))
    return out.reshape(features.shape)


def _update_running_moments(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor) -> None:
    """Update the running moments of a norm by those of a batch."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance, norm.momentum)
