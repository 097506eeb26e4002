"""What the heads do at every point, in as few passes over memory as it takes: level sums, and normalisation with ReLU.

An array of a paper-sized head's first layer is 100 MB for a batch of 24: it fits no cache, and between the matrix
products the time is that of reading and writing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from clipose_ros.model.cpu_training.graph_kernels import FAST, LANES
from clipose_ros.model.graph import norm_relu as plain_norm_relu
from clipose_ros.model.graph import spread_sum as plain_spread_sum

ROWS = 64
"""Points whose sums a thread keeps in float32 before they are added up in float64."""


in_float32 = torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
"""Of an operation's ``forward``: under autocast its operands become float32 again, for the loops know no bfloat16."""


@njit(parallel=True, cache=True)
def _spread_forward(fine: Any, coarse: Any, places: Any, out: Any) -> None:
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
def _spread_backward(grad: Any, places: Any, grad_coarse: Any) -> None:
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
    """Sums of each block of rows: of the values less ``about``, and of their squares."""
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
def _scale_relu(values: Any, mean: Any, scale: Any, bias: Any, out: Any) -> None:
    rows, channels = values.shape
    zero = values.dtype.type(0)
    for r in prange(rows):
        for c in range(channels):
            out[r, c] = max((values[r, c] - mean[c]) * scale[c] + bias[c], zero)


@njit(parallel=True, fastmath=FAST, cache=True)
def _passed_sums(grad: Any, values: Any, mean: Any, scale: Any, bias: Any, sums: Any, products: Any) -> None:
    """Sums of each block of rows over what the ReLU let pass: of the gradient, and of it times ``values - mean``."""
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
def _norm_gradient(
    grad: Any, values: Any, mean: Any, scale: Any, bias: Any, level: Any, slope: Any, out: Any
) -> None:  # fmt: skip
    rows, channels = values.shape
    zero = values.dtype.type(0)
    for r in prange(rows):
        for c in range(channels):
            value = values[r, c] - mean[c]
            passed = grad[r, c] if value * scale[c] + bias[c] > zero else zero
            out[r, c] = passed * scale[c] - value * slope[c] - level[c]


class _SpreadSum(torch.autograd.Function):
    """Fine values plus the coarse ones that each point stands for."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, fine: Tensor, coarse: Tensor, places: Tensor) -> Tensor:
        fine, coarse = fine.contiguous(), coarse.contiguous()
        out = torch.empty_like(fine)
        _spread_forward(fine.detach().numpy(), coarse.detach().numpy(), places.numpy(), out.numpy())
        ctx.save_for_backward(places)
        ctx.coarse_shape = coarse.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        (places,) = ctx.saved_tensors
        grad_coarse = grad.new_zeros(ctx.coarse_shape)
        _spread_backward(grad.contiguous().numpy(), places.numpy(), grad_coarse.numpy())
        return grad, grad_coarse, None


def spread_sum(fine: Tensor | None, coarse: Sequence[Tensor], nearest: Sequence[Tensor]) -> Tensor:
    """As ``graph.spread_sum``; on the CPU."""
    if fine is None or not coarse:
        return plain_spread_sum(fine, coarse, nearest)
    starts = np.cumsum([0, *(term.shape[1] for term in coarse[:-1])]).tolist()
    places = torch.stack([near + start for near, start in zip(nearest, starts, strict=True)], dim=-1)
    return _SpreadSum.apply(fine, torch.cat(list(coarse), dim=1), places)


class _NormRelu(torch.autograd.Function):
    """Batch normalisation by the batch's own moments, and ReLU; neither the normalised values nor a mask are kept."""

    @staticmethod
    @in_float32
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        values = values.detach().contiguous()
        x, about = values.numpy(), values[0].numpy()  # about one of the values, so that nothing large cancels
        offset, square = (total / len(x) for total in _column_sums(_moments, x, about))
        mean, variance = about + offset, square - offset * offset
        inverse = 1.0 / np.sqrt(variance + eps)
        moments = [each.astype(x.dtype) for each in (mean, weight.detach().numpy() * inverse, bias.detach().numpy())]
        out = torch.empty_like(values)
        _scale_relu(x, *moments, out.numpy())
        ctx.save_for_backward(values)
        ctx.moments, ctx.inverse = moments, inverse
        taken = values.new_tensor(mean), values.new_tensor(variance)
        ctx.mark_non_differentiable(*taken)
        return out, *taken

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (values,) = ctx.saved_tensors
        x, g, scale = values.numpy(), grad.contiguous().numpy(), ctx.moments[1]
        grad_bias, product = _column_sums(_passed_sums, g, x, *ctx.moments)
        grad_weight = product * ctx.inverse
        level, slope = scale * grad_bias / len(x), scale * ctx.inverse * grad_weight / len(x)
        out = torch.empty_like(values)
        _norm_gradient(g, x, *ctx.moments, level.astype(x.dtype), slope.astype(x.dtype), out.numpy())
        return out, values.new_tensor(grad_weight), values.new_tensor(grad_bias), None


def _column_sums(loop: Any, *arrays: Any) -> tuple[Any, Any]:
    """Run a loop that sums blocks of rows in two ways; the sums over all rows, float64 ``(C,)``."""
    rows, channels = arrays[0].shape
    parts = np.empty((2, -(-rows // ROWS), channels), arrays[0].dtype)
    loop(*arrays, *parts)
    first, second = parts.sum(axis=1, dtype=np.float64)
    return first, second


def norm_relu(norm: nn.Module, features: Tensor) -> Tensor:
    """As ``graph.norm_relu``; on the CPU. Outside training there are no moments to take: the plain formula."""
    if not (norm.training and isinstance(norm, nn.BatchNorm1d)):
        return plain_norm_relu(norm, features)
    flat = features.flatten(0, 1)
    out, mean, variance = _NormRelu.apply(flat, norm.weight, norm.bias, norm.eps)
    with torch.no_grad():
        _track(norm, mean, variance * (len(flat) / (len(flat) - 1)))
    return out.reshape(features.shape)


def _track(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor) -> None:
    """Let the running moments follow a batch's."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_(variance, norm.momentum)
