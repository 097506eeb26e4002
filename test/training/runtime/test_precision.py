"""Mixed precision: bfloat16 matrix products, and losses close to float32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.samples import CloudSamples
from clipose_ros.model import network
from clipose_ros.model.cpu_training.graph_ops import CPU_OPS
from clipose_ros.model.encoder import Encoding, Level
from clipose_ros.model.graph import PYTORCH_OPS, nearest_neighbours, nearest_point
from clipose_ros.model.network import Architecture, NetworkOutput
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.runtime.precision import to_float32, uses_bf16
from clipose_ros.training.trainer import Trainer


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch: pytest.MonkeyPatch, tiny_architecture: Architecture) -> None:
    monkeypatch.setitem(network.PRESETS, "clipose_small", tiny_architecture)


def trainer(precision: str, samples: CloudSamples, folder: Path, clip: str) -> Trainer:
    """Every kind of part takes part: heads, training-only heads, both towers."""
    config = TrainConfig.from_mapping(
        {
            "batch": 6, "steps": 4, "threads": 1, "warmup_steps": 0, "precision": precision,
            "clip": {"model": clip, "pretrained": "random", "tune_text": True},
            "clip_loss": {"cloud_text": 1.0, "cloud_image": 1.0, "classification": 1.0},
            "shape_loss": {"symmetry": 1.0, "face_distance": 1.0, "symmetry_widths": [8], "face_widths": [8]},
        }
    )  # fmt: skip
    torch.manual_seed(config.seed)
    return Trainer(config, NOCS_CATEGORIES, samples, samples, folder)


def test_bf16_step_is_close_to_fp32_step(tmp_path: Path, seen_samples: CloudSamples, tiny_clip: str) -> None:
    full = trainer("fp32", seen_samples, tmp_path / "full", tiny_clip)
    low = trainer("bf16", seen_samples, tmp_path / "low", tiny_clip)
    seen: list[Tensor] = []
    for module in (*low.modules.network.modules(), *low.modules.loss.shape.modules()):
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda _, inputs, output: seen.append(output))
    for run in (full, low):
        run.modules.network.eval()  # dropout draws other numbers in another precision
    expected, terms = full.optimise(), low.optimise()
    assert seen and all(output.dtype == torch.bfloat16 for output in seen)
    for name, value in terms.items():
        assert value == pytest.approx(expected[name], rel=0.03, abs=0.01), name
    assert terms != expected
    low.optimise()
    for parameter in low.modules.parameters:
        assert parameter.dtype == torch.float32 and parameter.isfinite().all()
    assert low.validate()


@pytest.mark.parametrize("fused", [True, False])
def test_bf16_axes_are_unit_vectors(fused: bool, tiny_architecture: Architecture) -> None:
    torch.manual_seed(0)
    autocast_bf16 = network.CLIPoseNet(tiny_architecture, NOCS_CATEGORIES, CPU_OPS if fused else PYTORCH_OPS).train()
    points = torch.randn(3, 128, 3)
    with torch.autocast("cpu", torch.bfloat16):
        output = autocast_bf16(points, torch.arange(3))
    for axis in (output.axis_x, output.axis_y):
        assert axis.dtype == torch.float32
        torch.testing.assert_close(axis.norm(dim=1), torch.ones(3))
    output.axis_y.sum().backward()
    assert all(p.grad.isfinite().all() for p in autocast_bf16.encoder.parameters() if p.grad is not None)
    assert autocast_bf16.encoder.layer1.conv.project.weight.grad is not None


def test_auto_precision_is_fp32_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not uses_bf16("auto", "cpu") and uses_bf16("bf16", "cpu") and not uses_bf16("fp32", "cuda")
    for able in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda able=able: able)
        assert uses_bf16("auto", "cuda:1") == able


def test_to_float32_converts_floating_point_tensors() -> None:
    half = torch.ones(2, 3, dtype=torch.bfloat16)
    places = torch.ones(2, 3, dtype=torch.int64)
    output = NetworkOutput(half, half, half, half, half, half, Encoding((Level(half, None), Level(half, places))))
    full = to_float32(output)
    assert {value.dtype for value in vars(full).values() if isinstance(value, Tensor)} == {torch.float32}
    assert [level.features.dtype for level in full.encoding.levels] == [torch.float32] * 2
    assert full.encoding.levels[1].nearest is places and to_float32(None) is None


def test_neighbours_are_computed_in_float32_under_autocast() -> None:
    points = 1.0 + 1e-3 * torch.rand(2, 128, 3, generator=torch.Generator().manual_seed(0))
    expected = nearest_neighbours(points, 5), nearest_point(points, points[:, :32])
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest_neighbours(points, 5), expected[0])
        assert torch.equal(nearest_point(points, points[:, :32]), expected[1])
