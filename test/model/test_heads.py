"""Heads compared with the same layers written in plain PyTorch, and their invariances."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clipose_ros.model.cpu_training.graph_ops import CPU_OPS
from clipose_ros.model.encoder import Encoding, Level
from clipose_ros.model.graph import PYTORCH_OPS, GraphOps
from clipose_ros.model.heads import AxisHead, CloudHead

BATCH, POINTS = 3, 12


def make_encoding(ops: GraphOps = PYTORCH_OPS) -> Encoding:
    """Create an encoding with 4 channels at every point and 2 channels at three coarse points."""
    generator = torch.Generator().manual_seed(0)
    fine = torch.randn(BATCH, POINTS, 4, generator=generator)
    coarse = torch.randn(BATCH, 3, 2, generator=generator)
    nearest = torch.randint(3, (BATCH, POINTS), generator=generator)
    return Encoding((Level(fine, None), Level(coarse, nearest)), ops)


def make_head(in_channels: int, dropout: float = 0.0) -> CloudHead:
    torch.manual_seed(1)
    return CloudHead(in_channels, (8, 6), out_channels=5, dropout=dropout)


def norm(values: Tensor) -> Tensor:
    """Normalise each channel over all other axes; a fresh batch norm has weight 1 and bias 0."""
    flat = values.flatten(0, -2)
    return ((flat - flat.mean(0)) / (flat.var(0, correction=0) + 1e-5).sqrt()).reshape(values.shape)


@pytest.mark.parametrize("ops", [PYTORCH_OPS, CPU_OPS])
def test_cloud_head_equals_plain_layers(ops: GraphOps) -> None:
    head, extra = make_head(9), torch.randn(BATCH, POINTS, 3, generator=torch.Generator().manual_seed(2))
    encoding = make_encoding(ops)
    inputs = torch.cat([encoding.points, extra], dim=-1)
    features = F.relu(norm(F.linear(inputs, head.point1.weight, head.point1.bias)))
    features = F.relu(norm(F.linear(features, head.point2.weight, head.point2.bias)))
    pooled = features.max(dim=1).values
    pooled = F.relu(norm(F.linear(pooled, head.cloud1.weight, head.cloud1.bias)))
    expected = F.linear(pooled, head.cloud2.weight, head.cloud2.bias)
    torch.testing.assert_close(head(encoding, extra), expected, atol=1e-5, rtol=1e-4)


def test_cloud_head_takes_inputs_common_to_all_points() -> None:
    head, common = make_head(8).eval(), torch.randn(BATCH, 1, 2)
    encoding = make_encoding()
    torch.testing.assert_close(head(encoding, common), head(encoding, common.expand(-1, POINTS, -1)))


def test_cloud_head_is_invariant_to_point_order() -> None:
    head, encoding = make_head(6).eval(), make_encoding()
    fine, coarse = encoding.levels
    order = torch.randperm(POINTS)
    assert coarse.nearest is not None
    shuffled = Encoding((Level(fine.features[:, order], None), Level(coarse.features, coarse.nearest[:, order])))
    torch.testing.assert_close(head(shuffled), head(encoding))


def test_dropout_acts_in_training_only() -> None:
    head, encoding = make_head(6, dropout=0.5), make_encoding()
    assert not torch.equal(head(encoding), head(encoding))
    head.eval()
    assert torch.equal(head(encoding), head(encoding))


def test_head_outputs_precision_of_weights_under_autocast() -> None:
    head, encoding = make_head(6).eval(), make_encoding()
    with torch.autocast("cpu", torch.bfloat16):
        values = head(encoding)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, head(encoding), atol=0.05, rtol=0.05)


def test_axis_head_splits_outputs_into_unit_axis_and_confidence() -> None:
    torch.manual_seed(1)
    head, encoding = AxisHead(6, (8, 6), dropout=0.0).eval(), make_encoding()
    axis, confidence = head.axis(encoding)
    values = head(encoding)
    torch.testing.assert_close(axis.norm(dim=1), torch.ones(BATCH))
    torch.testing.assert_close(axis * values[:, 1:].norm(dim=1, keepdim=True), values[:, 1:])
    torch.testing.assert_close(confidence, 1.0 / (1.0 + torch.exp(-values[:, 0])))
