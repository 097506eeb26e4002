"""Network: determinism, independence within a batch, invariances, and published number of parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from random_networks import make_random_network

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import ConfigError, ShapeError
from clipose_ros.model.cpu_training.graph_ops import CPU_OPS
from clipose_ros.model.graph import PYTORCH_OPS
from clipose_ros.model.network import PRESETS, Architecture, CLIPoseNet, NetworkOutput

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))
FIELDS = ("axis_y", "axis_x", "confidence_y", "confidence_x", "translation", "size")


def network(architecture: Architecture = TINY, seed: int = 0) -> CLIPoseNet:
    return make_random_network(architecture, seed)


def clouds(count: int, points: int = 256, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = torch.rand(count, 1, 3, generator=generator) * 0.1 + 0.02
    return torch.randn(count, points, 3, generator=generator) * shape + torch.tensor([0.1, -0.2, 0.9])


def values(output: NetworkOutput) -> dict[str, torch.Tensor]:
    return {name: getattr(output, name) for name in FIELDS}


def test_paper_widths_have_published_number_of_parameters() -> None:
    published = CLIPoseNet(Architecture(one_hot=True), NOCS_CATEGORIES)  # HS-Pose tells its heads the category
    assert sum(p.numel() for p in published.parameters()) == pytest.approx(8.06e6, rel=2e-3)
    encoding = CLIPoseNet(PRESETS["clipose"], NOCS_CATEGORIES).encoder
    assert encoding.out_channels == 1280


@pytest.mark.parametrize("encoder", ["hs", "gcn3d"])
@pytest.mark.parametrize("one_hot", [False, True])
def test_outputs_have_documented_shapes_and_ranges(encoder: str, one_hot: bool) -> None:
    net = network(replace(TINY, encoder=encoder, one_hot=one_hot))
    with torch.no_grad():
        output = net(clouds(3), torch.tensor([0, 2, 5]))
    for axis in (output.axis_y, output.axis_x):
        torch.testing.assert_close(axis.norm(dim=1), torch.ones(3))
    for confidence in (output.confidence_y, output.confidence_x):
        assert confidence.shape == (3,) and (confidence > 0).all() and (confidence < 1).all()
    assert output.translation.shape == output.size.shape == (3, 3)
    assert output.encoding.points.shape == (3, 256, sum(TINY.widths))
    assert output.encoding.last.shape == (3, 16, TINY.widths[-1])


def test_network_is_deterministic() -> None:
    net, batch, category = network(), clouds(4), torch.tensor([0, 1, 2, 3])
    with torch.no_grad():
        first, second = values(net(batch, category)), values(net(batch, category))
    assert all(torch.equal(first[name], second[name]) for name in FIELDS)


@pytest.mark.parametrize("ops", [PYTORCH_OPS, CPU_OPS])
def test_output_does_not_depend_on_other_clouds_of_batch(ops: object) -> None:
    torch.manual_seed(0)
    net = CLIPoseNet(TINY, NOCS_CATEGORIES, ops).eval()
    batch, category = clouds(5), torch.tensor([0, 1, 2, 3, 4])
    with torch.no_grad():
        together = values(net(batch, category))
        for i in range(5):
            alone = values(net(batch[i : i + 1], category[i : i + 1]))
            for name in FIELDS:
                torch.testing.assert_close(alone[name][0], together[name][i], atol=1e-4, rtol=1e-4)


def test_shift_of_cloud_shifts_translation_only() -> None:
    net, batch, category = network(), clouds(2), torch.tensor([0, 5])
    shift = torch.tensor([0.25, -0.5, 0.125])
    with torch.no_grad():
        here, there = values(net(batch, category)), values(net(batch + shift, category))
    torch.testing.assert_close(there.pop("translation"), here.pop("translation") + shift, atol=1e-4, rtol=1e-4)
    for name in here:
        torch.testing.assert_close(there[name], here[name], atol=1e-3, rtol=1e-3)


def test_size_is_category_mean_plus_residual() -> None:
    net, batch = network(), clouds(1)
    with torch.no_grad():
        bottle, laptop = (net(batch, torch.tensor([i])).size[0] for i in (0, 4))
    torch.testing.assert_close(laptop - bottle, net.mean_sizes[4] - net.mean_sizes[0])


def test_unit_m_changes_scale_only() -> None:
    """A cloud ten times as large, seen in a unit ten times as long, is the same cloud to the network."""
    metres, decametres = network(), network(replace(TINY, unit_m=10.0))
    batch, category = clouds(2), torch.tensor([0, 5])
    with torch.no_grad():
        near, far = values(metres(batch, category)), values(decametres(10.0 * batch, category))
    torch.testing.assert_close(far["translation"], 10.0 * near["translation"], atol=1e-3, rtol=1e-3)
    residual = near["size"] - metres.mean_sizes[category]
    torch.testing.assert_close(far["size"] - metres.mean_sizes[category], 10.0 * residual, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(far["axis_y"], near["axis_y"], atol=1e-3, rtol=1e-3)


def test_projection_by_levels_equals_projection_of_concatenation() -> None:
    net = network()
    weight = torch.randn(10, net.encoder.out_channels)
    with torch.no_grad():
        encoding = net.encoder(clouds(2) - clouds(2).mean(1, keepdim=True), torch.zeros(2, dtype=torch.int64))
        torch.testing.assert_close(encoding.project(weight), encoding.points @ weight.T, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("told", [0, 1, 256])
def test_linear_on_encoding_equals_linear_on_concatenation(told: int) -> None:
    net = network()
    beside = torch.randn(2, told, 5) if told else None
    layer = torch.nn.Linear(net.encoder.out_channels + (5 if told else 0), 10)
    with torch.no_grad():
        encoding = net.encoder(clouds(2) - clouds(2).mean(1, keepdim=True), torch.zeros(2, dtype=torch.int64))
        whole = encoding.points if beside is None else torch.cat([encoding.points, beside.expand(-1, 256, -1)], dim=-1)
        torch.testing.assert_close(encoding.linear(layer, beside), layer(whole), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("one_hot", [False, True])
def test_heads_use_all_points_by_default(one_hot: bool) -> None:
    every, all_named = replace(TINY, one_hot=one_hot), replace(TINY, one_hot=one_hot, head_points=256)
    batch, category = clouds(2), torch.tensor([1, 4])
    with torch.no_grad():
        one, other = values(network(every)(batch, category)), values(network(all_named)(batch, category))
    for name in FIELDS:
        torch.testing.assert_close(one[name], other[name])


def test_head_points_limits_heads_to_first_points() -> None:
    batch, category = clouds(2), torch.tensor([1, 4])
    with torch.no_grad():
        encoding = network().encoder(batch, category)
        torch.testing.assert_close(encoding.first(64).points, encoding.points[:, :64])
        few, every = network(replace(TINY, head_points=64)), network()
        assert not torch.equal(few(batch, category).translation, every(batch, category).translation)


def test_points_limits_network_to_first_points() -> None:
    batch, category = clouds(2), torch.tensor([1, 4])
    with torch.no_grad():
        few, given_few = network(replace(TINY, points=128))(batch, category), network()(batch[:, :128], category)
        for name in FIELDS:
            torch.testing.assert_close(getattr(few, name), getattr(given_few, name))
        whole = network(replace(TINY, points=512))(batch, category)  # of 256 there are
        torch.testing.assert_close(whole.translation, network()(batch, category).translation)


@pytest.mark.parametrize("points", [16, 112, 200])
def test_unsupported_number_of_points_is_rejected(points: int) -> None:
    with pytest.raises(ConfigError, match=str(points)):
        Architecture(points=points)


def test_every_weight_gets_a_gradient() -> None:
    net = network().train()
    output = net(clouds(4), torch.tensor([0, 1, 2, 3]))
    torch.stack([v.square().sum() for v in values(output).values()]).sum().backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


@pytest.mark.parametrize("shape", [(1, 250, 3), (1, 112, 3), (256, 3), (1, 256, 4)])
def test_clouds_of_wrong_shape_are_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=str(shape[-1])):
        network()(torch.zeros(shape), torch.tensor([0]))


def test_architecture_of_wrong_depth_is_rejected() -> None:
    with pytest.raises(ConfigError, match="5 widths"):
        Architecture(widths=(8, 8))
