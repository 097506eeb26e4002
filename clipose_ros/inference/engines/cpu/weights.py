"""Weights of a network, folded once for the CPU engine.

Batch normalisation in evaluation mode is ``norm(v) = s * v + o`` with scale s and shift o per channel. It is folded
into the linear layer before it::

    norm(W v + b) = (s * W) v + (s * b + o)

The layers of the hybrid-scope encoder add the global feature g (ORL), one vector for all points, and the
straight-through path of the input x (STE) to the response r, ``(N, C)``::

    norm(r + W_r r + W_g g + W_x x) = [r, x] (s * [1 + W_r, W_x])^T + (s * W_g g + o)

This is one product with the rows ``[r, x]`` of a buffer and one vector per cloud. A vector t of the category that is
added before the normalisation becomes a part of the shift, ``s * t + o``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipose_ros.inference.engines.cpu.gemm import Float32Gemm, Gemm
from clipose_ros.inference.engines.cpu.kernel_arguments import (
    HeadInputWeights,
    HeadOutputWeights,
    ScaleShift,
    SupportVectors,
)
from clipose_ros.model.encoder import GraphLayer, PointNorm, SurfaceLayer
from clipose_ros.model.heads import CloudHead
from clipose_ros.model.network import CLIPoseNet
from clipose_ros.types import FloatArray

GemmFactory = Callable[[Tensor], Gemm]
"""Maker of the matrix product with a weight ``(C', C)``."""


@dataclass(frozen=True)
class LayerWeights:
    """Weights of one graph layer with its normalisation.

    Attributes:
        supports: Kernels.
        project: Product with the input to the features of the centre and of the supports, ``C + S * C``; None in the
            surface layer.
        shift: ``(C + S * C,)``, the bias of that product divided by its column scales.
        merge: Product with response and input side by side, ``C + C_in`` to C; None in ``gcn3d``.
        global_feature: ``(C, C)`` weights of the global feature, inputs first; zero in ``gcn3d``.
        outputs: Scale, shift and lower bound of the result, for each category.
    """

    supports: SupportVectors
    project: Gemm | None
    shift: FloatArray
    merge: Gemm | None
    global_feature: FloatArray
    outputs: tuple[ScaleShift, ...]

    @property
    def channels(self) -> int:
        """Return C, the number of output channels."""
        return len(self.outputs[0].scale)


@dataclass(frozen=True)
class HeadWeights:
    """Weights of the three heads side by side, in the order y, x, translation and size; W and V are their widths.

    Attributes:
        levels: First layer, ``3 W`` outputs: products with the features of each level.
        input: The rest of the first layer.
        second: Second layer of each head, W to V.
        output: The layers behind it.
    """

    levels: tuple[Gemm, Gemm, Gemm]
    input: HeadInputWeights
    second: tuple[Gemm, ...]
    output: HeadOutputWeights


def encoder_weights(
    network: CLIPoseNet, create_gemm: GemmFactory, create_merge: GemmFactory = Float32Gemm
) -> tuple[LayerWeights, ...]:
    """Fold the five graph layers.

    Args:
        network: Float32 network without gradients, on the CPU.
        create_gemm: Makes the larger matrix products.
        create_merge: Makes the products with response and input.
    """
    encoder, gemms = network.encoder, (create_gemm, create_merge)
    shifts = list(encoder.shifts) or [torch.zeros(len(network.categories), w) for w in network.architecture.widths]
    return (
        _fold_layer(encoder.layer0, None, shifts[0], gemms),
        _fold_layer(encoder.layer1, encoder.norm1, shifts[1], gemms),
        _fold_layer(encoder.layer2, encoder.norm2, shifts[2], gemms),
        _fold_layer(encoder.layer3, encoder.norm3, shifts[3], gemms),
        _fold_layer(encoder.layer4, None, shifts[4], gemms, lower_bound=-np.inf),
    )


def _fold_layer(
    layer: SurfaceLayer | GraphLayer,
    norm: PointNorm | None,
    category_shifts: Tensor,
    gemms: tuple[GemmFactory, GemmFactory],
    lower_bound: float = 0.0,
) -> LayerWeights:
    """Fold one graph layer; a lower bound of 0 is the ReLU that follows it."""
    create_gemm, create_merge = gemms
    _, count, channels = layer.conv.supports.shape
    scale, offset = (torch.ones(channels), torch.zeros(channels)) if norm is None else _scale_and_shift(norm)
    offsets = offset + scale * category_shifts
    project: Gemm | None = None
    shift: FloatArray = np.zeros(0, np.float32)
    if isinstance(layer, GraphLayer):
        project = create_gemm(layer.conv.project.weight)
        # The kernel adds the shift before it multiplies by the column scales: (value * row + shift) * column.
        shift = layer.conv.project.bias.numpy() / project.columns
    merge: Gemm | None = None
    global_feature = torch.zeros(channels, channels)
    if layer.overall is not None and layer.straight is not None:
        response_weight, global_weight = layer.overall.merge.weight.split(channels, dim=1)
        straight = layer.straight.weight
        both = torch.cat([response_weight + torch.eye(channels), straight], dim=1)
        merge = create_merge(scale.unsqueeze(1) * both)
        global_feature, scale = scale.unsqueeze(1) * global_weight, torch.ones(channels)
    supports = F.normalize(layer.conv.supports, dim=0).reshape(3, count * channels)
    return LayerWeights(
        supports=SupportVectors(supports.numpy(), count),
        project=project,
        shift=shift,
        merge=merge,
        global_feature=global_feature.t().contiguous().numpy(),
        outputs=tuple(ScaleShift(scale.numpy(), row.numpy(), np.float32(lower_bound)) for row in offsets),
    )


def head_weights(network: CLIPoseNet, create_gemm: GemmFactory) -> HeadWeights:
    """Fold the three heads; arguments as of ``encoder_weights``."""
    heads = (network.head_y, network.head_x, network.head_ts)
    levels, head_input = _fold_first_layer(network, heads, create_gemm)
    seconds = [_fold_norm(head.point2, head.norm2) for head in heads]
    thirds = [_fold_norm(head.cloud1, head.norm3) for head in heads]
    # The axis heads have four outputs; zeros make them as wide as the third head.
    lasts = [
        (
            F.pad(head.cloud2.weight, (0, 0, 0, 6 - len(head.cloud2.weight))),
            F.pad(head.cloud2.bias, (0, 6 - len(head.cloud2.bias))),
        )
        for head in heads
    ]
    second = tuple(create_gemm(weight) for weight, _ in seconds)
    return HeadWeights(
        levels=levels,
        input=head_input,
        second=second,
        output=HeadOutputWeights(
            column_scales=np.stack([product.columns for product in second]),
            bias=torch.stack([bias for _, bias in seconds]).numpy(),
            third=torch.stack([weight.t() for weight, _ in thirds]).numpy(),
            third_bias=torch.stack([bias for _, bias in thirds]).numpy(),
            last=torch.stack([weight.t() for weight, _ in lasts]).numpy(),
            last_bias=torch.stack([bias for _, bias in lasts]).numpy(),
        ),
    )


def _fold_first_layer(
    network: CLIPoseNet, heads: tuple[CloudHead, CloudHead, CloudHead], create_gemm: GemmFactory
) -> tuple[tuple[Gemm, Gemm, Gemm], HeadInputWeights]:
    """Fold the first layer of the heads and split its inputs: features of each level, coordinates, category."""
    w0, w1, w2, w3, w4 = network.architecture.widths
    firsts = [_fold_norm(head.point1, head.norm1) for head in heads]
    wide, encoded = len(firsts[0][0]), sum(network.architecture.widths)
    features = torch.cat([weight[:, :encoded] for weight, _ in firsts])
    rest = [weight[:, encoded:] for weight, _ in firsts]
    position = torch.cat([torch.zeros(2 * wide, 3), rest[2][:, :3]])  # the axis heads read no coordinates
    bias = torch.cat([bias for _, bias in firsts]).expand(len(network.categories), -1)
    if network.architecture.one_hot:  # multiplying by a one-hot vector selects a column, which is added to the bias
        bias = bias + torch.cat([rest[0], rest[1], rest[2][:, 3:]]).t()
    fine, middle, coarse = (create_gemm(part) for part in features.split((w0 + w1, w2 + w3, w4), dim=1))
    return (fine, middle, coarse), HeadInputWeights(
        column_scales=np.stack([fine.columns, middle.columns, coarse.columns]),
        position=position.t().contiguous().numpy(),
        bias=bias.contiguous().numpy(),
    )


def _scale_and_shift(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Return scale and shift ``(C,)`` of batch normalisation in evaluation mode."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale


def _fold_norm(linear: nn.Linear, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a linear layer with the normalisation behind it folded in."""
    scale, shift = _scale_and_shift(norm)
    return linear.weight * scale.unsqueeze(1), linear.bias * scale + shift
