"""Fusion networks of Table VI: Eq. (16) by hand, and dependence on both modalities."""

from __future__ import annotations

import math

import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import ShapeError
from clipose_ros.model.fusion import FUSIONS, FusionNet, attention
from clipose_ros.model.network import Architecture, CLIPoseNet

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=2, neighbours=6, head_widths=(16, 8))


def test_attention_equals_value_computed_by_hand() -> None:
    q = torch.tensor([[[2.0, 0.0]]])
    k = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    v = torch.tensor([[[10.0], [20.0]]])
    first = math.exp(2.0 / math.sqrt(2.0))
    assert attention(q, k, v).item() == pytest.approx((10.0 * first + 20.0) / (first + 1.0))


@pytest.mark.parametrize("kind", FUSIONS)
def test_fusion_output_depends_on_both_modalities(kind: str) -> None:
    torch.manual_seed(0)
    network = FusionNet(TINY, NOCS_CATEGORIES, kind, other=12).eval()
    points, category = torch.randn(2, 128, 3) * 0.1, torch.tensor([0, 5])
    told = torch.nn.functional.normalize(torch.randn(2, 12), dim=1).requires_grad_()
    output = network(points, category, told)
    (output.axis_y.sum() + output.size.sum()).backward()
    assert told.grad is not None and told.grad.abs().sum() > 0.0
    grad = network.encoder.layer0.conv.supports.grad
    learns_from_points = grad is not None and bool(grad.abs().sum() > 0.0)
    # A single feature answers every point alike: nothing of the cloud but its centre is left, as the paper's row shows.
    assert learns_from_points == (kind != "cloud_queries")
    assert output.encoding.last.shape == (2, 8, 16)  # the encoder's own, which alignment would stand on


def test_fusion_network_adds_only_fusion_weights() -> None:
    torch.manual_seed(0)
    plain = CLIPoseNet(TINY, NOCS_CATEGORIES)
    fused = FusionNet(TINY, NOCS_CATEGORIES, "concat_before", other=12)
    assert set(plain.state_dict()) == {n for n in fused.state_dict() if not n.startswith("fusion.")}
    with pytest.raises(ShapeError, match="second modality"):
        fused(torch.randn(2, 128, 3), torch.tensor([0, 5]))
