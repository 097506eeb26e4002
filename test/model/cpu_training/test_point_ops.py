"""Level sums and point norms compared with the PyTorch formulas, alone and in a whole training step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.model.cpu_training.graph_ops import CPU_OPS
from clipose_ros.model.cpu_training.point_ops import norm_relu, sum_levels
from clipose_ros.model.encoder import PointNorm
from clipose_ros.model.graph import PYTORCH_OPS, GraphOps
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.model.reconstruction import SymmetryHead
from clipose_ros.model.voting import BoxVoteHead

shapes = st.tuples(st.integers(1, 3), st.integers(2, 70), st.integers(1, 70), st.integers(0, 2**31))


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def norm_of(channels: int, seed: int, dtype: torch.dtype = torch.float64) -> PointNorm:
    norm = PointNorm(channels).to(dtype)
    with torch.no_grad():
        norm.weight.copy_(random(channels, seed=seed))
        norm.bias.copy_(random(channels, seed=seed + 1))
    return norm


def test_sum_levels_adds_nearest_coarse_value_and_sums_its_gradients() -> None:
    fine = torch.tensor([[[1.0], [2.0], [3.0]]], requires_grad=True)
    coarse = torch.tensor([[[10.0], [20.0]]], requires_grad=True)
    out = sum_levels(fine, [coarse], [torch.tensor([[0, 1, 1]])])
    assert out.flatten().tolist() == [11.0, 22.0, 23.0]
    weight = torch.tensor([1.0, 2.0, 4.0]).view(1, 3, 1)
    to_fine, to_coarse = torch.autograd.grad((out * weight).sum(), [fine, coarse])
    assert torch.equal(to_fine, weight) and to_coarse.flatten().tolist() == [1.0, 2.0 + 4.0]


def test_norm_relu_and_running_moments_by_hand() -> None:
    norm = PointNorm(1, eps=0.0, momentum=0.1)
    with torch.no_grad():
        norm.weight.fill_(2.0)
        norm.bias.fill_(0.5)
    out = norm_relu(norm, torch.tensor([[[1.0], [3.0]]]))  # mean 2, variance 1, unbiased variance 2
    torch.testing.assert_close(out.flatten(), torch.tensor([0.0, 2.0 * 1.0 + 0.5]))
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.running_mean.item() == pytest.approx(0.1 * 2.0)
    assert norm.running_var.item() == pytest.approx(0.9 * 1.0 + 0.1 * 2.0)


@given(shape=shapes, levels=st.integers(0, 3))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_sum_levels_equals_pytorch_formula(shape: tuple[int, int, int, int], levels: int) -> None:
    batch, points, channels, seed = shape
    fine = random(batch, points, channels, seed=seed).requires_grad_()
    coarse = [random(batch, level + 1, channels, seed=seed + level).requires_grad_() for level in range(levels)]
    nearest = [torch.arange(points).remainder(level + 1).expand(batch, -1) for level in range(levels)]
    weight = random(batch, points, channels, seed=seed + 9)
    results = []
    for ops in (PYTORCH_OPS, CPU_OPS):
        out = ops.sum_levels(fine, coarse, nearest)
        results.append([out, *torch.autograd.grad((out * weight).sum(), [fine, *coarse])])
    torch.testing.assert_close(*results)
    if coarse:
        expected = PYTORCH_OPS.sum_levels(None, coarse, nearest)
        torch.testing.assert_close(CPU_OPS.sum_levels(None, coarse, nearest), expected)


@given(shape=shapes, offset=st.sampled_from([0.0, 5.0, -50.0]))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_norm_relu_equals_pytorch_formula(shape: tuple[int, int, int, int], offset: float) -> None:
    batch, points, channels, seed = shape
    values = (random(batch, points, channels, seed=seed) + offset).requires_grad_()
    weight = random(batch, points, channels, seed=seed + 9)
    results = []
    for ops in (PYTORCH_OPS, CPU_OPS):
        norm = norm_of(channels, seed + 2)
        out = ops.norm_relu(norm, values)
        gradients = torch.autograd.grad((out * weight).sum(), [values, *norm.parameters()])
        results.append([out, *gradients, *norm.buffers()])
    torch.testing.assert_close(*results, atol=1e-9, rtol=1e-9)
    in_float32 = CPU_OPS.norm_relu(norm_of(channels, seed + 2).float(), values.float())
    torch.testing.assert_close(in_float32.double(), results[0][0], atol=1e-3, rtol=1e-4)


def test_norm_relu_gradient_equals_finite_differences() -> None:
    norm = norm_of(3, 0)
    for shape in ((1, 2, 3), (2, 5, 3)):
        values = random(*shape, seed=4).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda v, w, b: torch.func.functional_call(Fused(norm), {"norm.weight": w, "norm.bias": b}, (v,)),
            (values, norm.weight, norm.bias),
        )


class Fused(nn.Module):
    def __init__(self, norm: PointNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, values: Tensor) -> Tensor:
        return CPU_OPS.norm_relu(self.norm, values)


def test_constant_channel_has_finite_output_and_gradient() -> None:
    norm, values = norm_of(2, 0), torch.full((2, 5, 2), 3.0, dtype=torch.float64, requires_grad=True)
    out = CPU_OPS.norm_relu(norm, values)
    out.sum().backward()
    torch.testing.assert_close(out, norm.bias.relu().expand_as(out))
    assert values.grad is not None and values.grad.isfinite().all()


def test_norm_relu_uses_running_moments_in_evaluation() -> None:
    norm, values = norm_of(4, 0).eval(), random(2, 6, 4, seed=1)
    before = [buffer.clone() for buffer in norm.buffers()]
    torch.testing.assert_close(CPU_OPS.norm_relu(norm, values), PYTORCH_OPS.norm_relu(norm, values))
    torch.testing.assert_close([*norm.buffers()], before)


@pytest.mark.parametrize("encoder", ["hs", "gcn3d"])
@pytest.mark.parametrize("one_hot", [False, True])
def test_gradients_of_whole_step_equal_pytorch_ops(encoder: str, one_hot: bool) -> None:
    """With equal neighbours and in float64, where rounding hides nothing."""
    architecture = Architecture(
        encoder=encoder, widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8), one_hot=one_hot,
        dropout=0.0,
    )  # fmt: skip
    clouds, category = 0.1 * random(3, 256, 3, seed=0) + 0.5, torch.tensor([0, 3, 5])
    same_neighbours = replace(CPU_OPS, nearest_neighbours=PYTORCH_OPS.nearest_neighbours)
    results = [step(architecture, ops, clouds, category) for ops in (PYTORCH_OPS, same_neighbours)]
    torch.testing.assert_close(*results, atol=1e-9, rtol=1e-7)


def step(architecture: Architecture, ops: GraphOps, clouds: Tensor, category: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = CLIPoseNet(architecture, NOCS_CATEGORIES, ops)
    channels = network.encoder.out_channels
    parts = nn.ModuleDict(
        {
            "network": network,
            "symmetry": SymmetryHead(channels, 1.0, (12, 8)),
            "faces": BoxVoteHead(channels, 1.0, (12, 8)),
        }
    ).double()
    output = network(clouds, category)
    votes = parts["faces"](output.encoding, clouds)
    values = [output.axis_y, output.axis_x, output.confidence_y, output.confidence_x, output.translation, output.size]
    values += [parts["symmetry"](output.encoding, clouds), votes.normals, votes.distances, votes.confidences]
    loss = torch.stack([(value - 0.3).abs().mean() for value in values]).sum()
    loss.backward()
    gradients = {name: p.grad for name, p in parts.named_parameters() if p.grad is not None}
    assert len(gradients) == len(list(parts.parameters()))
    return {"loss": loss.detach(), **gradients, **dict(parts.named_buffers())}


def test_sums_and_norms_are_float32_under_autocast() -> None:
    half = random(2, 16, 6, seed=0).bfloat16().requires_grad_()
    coarse, nearest = random(2, 3, 6, seed=1).bfloat16(), torch.arange(16).remainder(3).expand(2, -1)
    norm = norm_of(6, 2, torch.float32)
    results: list[list[Tensor]] = []
    for autocast_bf16 in (False, True):
        fine = half if autocast_bf16 else half.float()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast_bf16):
            spread = CPU_OPS.sum_levels(fine, [coarse if autocast_bf16 else coarse.float()], [nearest])
            normed = CPU_OPS.norm_relu(norm, fine)
        assert spread.dtype == normed.dtype == torch.float32
        results.append([spread, normed, *torch.autograd.grad((spread * normed).sum(), half)])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, atol=0.02, rtol=0.01)  # gradients are summed in bfloat16
