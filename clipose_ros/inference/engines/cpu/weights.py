"""A network's weights, rewritten once for the fused engine.

Batch normalisation in evaluation mode is a factor and a shift per channel, and goes into the linear layer before it.
ORL adds ``merge([f, g])`` to f, where g is one vector for all points: ``(1 + W_f) f + W_g g``. Together with the
straight-through path of x that is one product with ``[f, x]`` and one vector per cloud.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipose_ros.inference.engines.cpu.gemm import Gemm
from clipose_ros.model.encoder import GraphLayer, PointNorm, SurfaceLayer
from clipose_ros.model.network import CLIPoseNet
from clipose_ros.types import FloatArray

GemmFactory = Callable[[Tensor], Gemm]


@dataclass(frozen=True)
class LayerWeights:
    """One graph layer with its normalisation.

    Attributes:
        supports: ``(3, S * C)`` unit vectors, support after support.
        count: S.
        project: To the centre's and the supports' features, ``C + S * C``; None in the surface layer.
        shift: ``(C + S * C,)``, its bias over its columns' factors.
        merge: ``(C + C_in, C)``, of the response beside the layer's input; None in ``gcn3d``.
        overall: ``(C, C)``, of the global feature, which comes first.
        scale: ``(C,)``, what multiplies the result.
        offset: ``(C,)``, what is added to it.
        least: 0 where a rectifier follows, else minus infinity.
    """

    supports: FloatArray
    count: int
    project: Gemm | None
    shift: FloatArray
    merge: Tensor | None
    overall: FloatArray
    scale: FloatArray
    offset: FloatArray
    least: np.float32

    @property
    def channels(self) -> int:
        """C."""
        return len(self.scale)


@dataclass(frozen=True)
class HeadWeights:
    """The three heads side by side, in the order y, x, translation and size; W and V are their widths.

    Attributes:
        levels: First layer, ``3 W`` outputs, of the features of each level.
        columns: ``(3, 3 W)``, factors of the levels' columns.
        bias: ``(categories, 3 W)``, its bias where the cloud is of a category.
        beside: ``(3, 3 W)``, of a point's place.
        second: Second layer of each head, W to V.
        second_columns: ``(3, V)``, factors of its columns.
        second_bias: ``(3, V)``.
        third: ``(3, V, V)``.
        third_bias: ``(3, V)``.
        last: ``(3, V, 6)``, filled up with zeros.
        last_bias: ``(3, 6)``.
    """

    levels: tuple[Gemm, Gemm, Gemm]
    columns: FloatArray
    bias: FloatArray
    beside: FloatArray
    second: tuple[Gemm, ...]
    second_columns: FloatArray
    second_bias: FloatArray
    third: FloatArray
    third_bias: FloatArray
    last: FloatArray
    last_bias: FloatArray


def encoder_weights(network: CLIPoseNet, make: GemmFactory) -> tuple[LayerWeights, ...]:
    """The five graph layers of a float32 network without gradients, on the CPU; products as ``make`` makes them."""
    encoder = network.encoder
    return (
        _layer(encoder.layer0, None, make),
        _layer(encoder.layer1, encoder.norm1, make),
        _layer(encoder.layer2, encoder.norm2, make),
        _layer(encoder.layer3, encoder.norm3, make),
        dataclasses.replace(_layer(encoder.layer4, None, make), least=np.float32(-np.inf)),
    )


def _layer(layer: SurfaceLayer | GraphLayer, norm: PointNorm | None, make: GemmFactory) -> LayerWeights:
    _, count, channels = layer.conv.supports.shape
    scale, offset = (torch.ones(channels), torch.zeros(channels)) if norm is None else _factors(norm)
    project: Gemm | None = None
    shift: FloatArray = np.zeros(0, np.float32)
    if isinstance(layer, GraphLayer):
        project = make(layer.conv.project.weight)
        shift = layer.conv.project.bias.numpy() / project.columns
    merge, overall = None, torch.zeros(channels, channels)
    if layer.overall is not None and layer.straight is not None:
        own, other = layer.overall.merge.weight.split(channels, dim=1)
        straight = layer.straight.weight
        merge = (scale.unsqueeze(1) * torch.cat([own + torch.eye(channels), straight], dim=1)).t().contiguous()
        overall, scale = scale.unsqueeze(1) * other, torch.ones(channels)
    supports = F.normalize(layer.conv.supports, dim=0).reshape(3, count * channels)
    return LayerWeights(
        supports.numpy(),
        count,
        project,
        shift,
        merge,
        overall.t().contiguous().numpy(),
        scale.numpy(),
        offset.numpy(),
        np.float32(0.0),
    )


def head_weights(network: CLIPoseNet, make: GemmFactory) -> HeadWeights:
    """The three heads of such a network."""
    w0, w1, w2, w3, w4 = network.architecture.widths
    categories = len(network.categories)
    heads = (network.head_y, network.head_x, network.head_ts)
    firsts = [_folded(head.point1, head.norm1) for head in heads]
    seconds = [_folded(head.point2, head.norm2) for head in heads]
    thirds = [_folded(head.cloud1, head.norm3) for head in heads]
    lasts = [(head.cloud2.weight, head.cloud2.bias) for head in heads]
    wide = len(firsts[0][0])
    encoded = torch.cat([weight[:, : sum((w0, w1, w2, w3, w4))] for weight, _ in firsts])
    rest = [weight[:, sum((w0, w1, w2, w3, w4)) :] for weight, _ in firsts]
    beside = torch.cat([torch.zeros(2 * wide, 3), rest[2][:, :3]])
    bias = torch.cat([bias for _, bias in firsts]).expand(categories, -1)
    if network.architecture.one_hot:
        bias = bias + torch.cat([rest[0], rest[1], rest[2][:, 3:]]).t()
    fine, middle, coarse = (make(part) for part in encoded.split((w0 + w1, w2 + w3, w4), dim=1))
    second = tuple(make(weight) for weight, _ in seconds)
    padded = [(F.pad(weight, (0, 0, 0, 6 - len(weight))), F.pad(bias, (0, 6 - len(bias)))) for weight, bias in lasts]
    return HeadWeights(
        levels=(fine, middle, coarse),
        columns=np.stack([fine.columns, middle.columns, coarse.columns]),
        bias=bias.contiguous().numpy(),
        beside=beside.t().contiguous().numpy(),
        second=second,
        second_columns=np.stack([product.columns for product in second]),
        second_bias=torch.stack([bias for _, bias in seconds]).numpy(),
        third=torch.stack([weight.t() for weight, _ in thirds]).numpy(),
        third_bias=torch.stack([bias for _, bias in thirds]).numpy(),
        last=torch.stack([weight.t() for weight, _ in padded]).numpy(),
        last_bias=torch.stack([bias for _, bias in padded]).numpy(),
    )


def _factors(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """What evaluation-mode normalisation multiplies with and adds, per channel."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale


def _folded(linear: nn.Linear, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer with the normalisation behind it."""
    scale, shift = _factors(norm)
    return linear.weight * scale.unsqueeze(1), linear.bias * scale + shift
