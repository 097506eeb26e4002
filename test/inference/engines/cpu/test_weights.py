"""Folded weights compute the layers that they were folded from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cpu_networks import TINY, make_network
from torch.nn import functional as F

from clipose_ros.inference.engines.cpu.gemm import Float32Gemm
from clipose_ros.inference.engines.cpu.weights import encoder_weights, head_weights

PLAIN = replace(TINY, encoder="gcn3d")


@pytest.fixture(scope="module")
def hybrid():
    return make_network(TINY, seed=1)


@pytest.fixture(scope="module")
def plain():
    return make_network(PLAIN, seed=1)


def test_supports_are_unit_vectors_by_support_and_kernel(hybrid) -> None:
    for number, weights in enumerate(encoder_weights(hybrid, Float32Gemm)):
        supports = getattr(hybrid.encoder, f"layer{number}").conv.supports
        channels = TINY.widths[number]
        assert weights.supports.per_kernel == TINY.supports and weights.channels == channels
        np.testing.assert_allclose(np.linalg.norm(weights.supports.directions, axis=0), 1.0, rtol=1e-5)
        for support in range(TINY.supports):
            column = weights.supports.directions[:, support * channels + channels - 1]
            np.testing.assert_allclose(column, F.normalize(supports[:, support, channels - 1], dim=0), rtol=1e-5)


def test_projection_is_the_linear_layer_of_the_convolution(hybrid) -> None:
    weights = encoder_weights(hybrid, Float32Gemm)
    assert weights[0].project is None and weights[0].shift.size == 0, "the surface layer has no features to project"
    features = torch.randn(5, TINY.widths[1], generator=torch.Generator().manual_seed(0))
    out = torch.empty(5, (TINY.supports + 1) * TINY.widths[2])
    weights[2].project.multiply(features, out)
    expected = hybrid.encoder.layer2.conv.project(features)
    np.testing.assert_allclose(
        out.numpy() + weights[2].shift * weights[2].project.columns, expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("number", range(5))
def test_merge_is_global_feature_straight_path_and_normalisation_in_one(hybrid, number: int) -> None:
    """``norm(r + merge [r, g] + straight x)``, for a response r, a global feature g and an input x."""
    weights, layer = encoder_weights(hybrid, Float32Gemm)[number], getattr(hybrid.encoder, f"layer{number}")
    generator = torch.Generator().manual_seed(number)
    channels, width = TINY.widths[number], layer.straight.in_features
    r, g, x = (torch.randn(7, size, generator=generator) for size in (channels, channels, width))
    expected = r + layer.overall.merge(torch.cat([r, g], dim=1)) + layer.straight(x)
    if number in (1, 2, 3):
        expected = getattr(hybrid.encoder, f"norm{number}")(expected.unsqueeze(0))[0]
    got = torch.empty(7, channels)
    weights.merge.multiply(torch.cat([r, x], dim=1), got)
    got = got + g @ torch.from_numpy(weights.global_feature)
    got = got * torch.from_numpy(weights.outputs[0].scale) + torch.from_numpy(weights.outputs[0].shift)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    assert weights.outputs[0].lower_bound == (-np.inf if number == 4 else 0.0)


@pytest.mark.parametrize("number", range(5))
def test_the_plain_encoder_has_only_the_normalisation(plain, number: int) -> None:
    weights = encoder_weights(plain, Float32Gemm)[number]
    assert weights.merge is None and not weights.global_feature.any()
    values = torch.randn(1, 7, TINY.widths[number], generator=torch.Generator().manual_seed(number))
    expected = getattr(plain.encoder, f"norm{number}")(values) if number in (1, 2, 3) else values
    np.testing.assert_allclose(
        values.numpy() * weights.outputs[0].scale + weights.outputs[0].shift, expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("one_hot", [False, True])
def test_first_layer_of_the_heads_is_split_by_levels_coordinates_and_category(one_hot: bool) -> None:
    network = make_network(replace(TINY, one_hot=one_hot))
    weights, (w0, w1, w2, w3, w4) = head_weights(network, Float32Gemm), TINY.widths
    generator = torch.Generator().manual_seed(0)
    levels = [torch.randn(9, width, generator=generator) for width in (w0 + w1, w2 + w3, w4)]
    points, category = torch.randn(9, 3, generator=generator), 2
    chosen = F.one_hot(torch.full((9,), category), len(network.categories)).float()
    inputs = torch.cat([*levels, chosen], dim=1) if one_hot else torch.cat(levels, dim=1)
    expected = []
    for head, first in ((network.head_y, inputs), (network.head_x, inputs), (network.head_ts, None)):
        if first is None:
            first = torch.cat([*levels, points, chosen], dim=1) if one_hot else torch.cat([*levels, points], dim=1)
        expected.append(head.norm1(head.point1(first).unsqueeze(0))[0])
    out = torch.zeros(9, 3 * TINY.head_widths[0])
    total = torch.zeros_like(out)
    for product, features, columns in zip(weights.levels, levels, weights.input.column_scales, strict=True):
        product.multiply(features, out)
        total += out * torch.from_numpy(columns)
    total += points @ torch.from_numpy(weights.input.position) + torch.from_numpy(weights.input.bias[category])
    np.testing.assert_allclose(total, torch.cat(expected, dim=1), rtol=1e-4, atol=1e-4)
    assert (weights.input.bias == weights.input.bias[0]).all() != one_hot, "the category enters by the bias alone"


def test_later_layers_of_the_heads_have_their_normalisations_folded_in(hybrid) -> None:
    weights = head_weights(hybrid, Float32Gemm)
    generator = torch.Generator().manual_seed(0)
    for number, head in enumerate((hybrid.head_y, hybrid.head_x, hybrid.head_ts)):
        wide, narrow = (torch.randn(4, width, generator=generator) for width in TINY.head_widths)
        out = torch.empty(4, TINY.head_widths[1])
        weights.second[number].multiply(wide, out)
        second = out.numpy() * weights.output.column_scales[number] + weights.output.bias[number]
        np.testing.assert_allclose(second, head.norm2(head.point2(wide).unsqueeze(0))[0], rtol=1e-4, atol=1e-4)
        third = narrow.numpy() @ weights.output.third[number] + weights.output.third_bias[number]
        np.testing.assert_allclose(third, head.norm3(head.cloud1(narrow)), rtol=1e-4, atol=1e-4)
        last = narrow.numpy() @ weights.output.last[number] + weights.output.last_bias[number]
        count = head.cloud2.out_features
        np.testing.assert_allclose(last[:, :count], head.cloud2(narrow), rtol=1e-4, atol=1e-4)
        assert not last[:, count:].any()
