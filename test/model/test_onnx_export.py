"""ONNX files: outputs equal to those of the network, metadata, and errors."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from random_networks import make_random_network

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.cli.export import main
from clipose_ros.errors import ExportError, ShapeError
from clipose_ros.model import onnx_export
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.graph import PYTORCH_OPS, distance_order
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.model.onnx_export import INPUTS, OUTPUTS, compare_onnx, export_onnx

TINY = Architecture(
    widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8), head_points=64, unit_m=0.1, one_hot=True
)
POINTS = 128
pytestmark = pytest.mark.timeout(600)  # exporting takes 20 s of one core


def network(architecture: Architecture = TINY, seed: int = 0) -> CLIPoseNet:
    return make_random_network(architecture, seed)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[CLIPoseNet, Path]:
    """A network and its file, written by the command."""
    folder = tmp_path_factory.mktemp("export")
    net = network()
    save_checkpoint(folder / "tiny.safetensors", net)
    arguments = ("--model", str(folder / "tiny.safetensors"), "--out", str(folder / "tiny.onnx"))
    assert main([*arguments, "--points", str(POINTS)]) == 0
    return net, folder / "tiny.onnx"


def distinct_clouds(net: CLIPoseNet, count: int) -> torch.Tensor:
    """Clouds in which no rounding can change a neighbour: the next candidate is clearly farther, in every layer."""
    gaps: list[float] = []

    def watched(features: torch.Tensor, near: int) -> torch.Tensor:
        order = distance_order(features, features)
        order.diagonal(dim1=1, dim2=2).fill_(float("inf"))
        gaps.append(float(order.topk(near + 1, largest=False).values.diff().min() / features.square().sum(-1).max()))
        return PYTORCH_OPS.nearest_neighbours(features, near)

    twin = CLIPoseNet(net.architecture, net.categories, replace(PYTORCH_OPS, nearest_neighbours=watched)).eval()
    twin.load_state_dict(net.state_dict())
    generator = torch.Generator().manual_seed(3)
    found: list[torch.Tensor] = []
    for _ in range(5000):
        cloud = torch.randn(1, POINTS, 3, generator=generator) * 0.05 + torch.tensor([0.1, -0.1, 0.9])
        gaps.clear()
        with torch.no_grad():
            twin(cloud, torch.tensor([0]))
        for thinning in (4, 16):
            nearest = distance_order(cloud, cloud[:, : POINTS // thinning])
            gaps.append(float(nearest.topk(2, largest=False).values.diff().min()))
        if min(gaps) > 2e-7:
            found.append(cloud)
        if len(found) == count:
            break
    return torch.cat(found)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_onnx_outputs_equal_network_outputs_for_distinct_neighbours(
    exported: tuple[CLIPoseNet, Path], batch: int
) -> None:
    net, path = exported
    clouds, category = distinct_clouds(net, batch), torch.arange(batch) % len(NOCS_CATEGORIES)
    assert len(clouds) == batch
    got = onnxruntime.InferenceSession(path).run(
        list(OUTPUTS), dict(zip(INPUTS, (clouds.numpy(), category.numpy()), strict=True))
    )
    with torch.no_grad():
        expected = net(clouds, category)
    for name, values in zip(OUTPUTS, got, strict=True):
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, getattr(expected, name).numpy(), atol=1e-5, rtol=1e-4, err_msg=name)


def test_onnx_metadata_describes_model_and_outputs(exported: tuple[CLIPoseNet, Path]) -> None:
    net, path = exported
    session = onnxruntime.InferenceSession(path)
    told = session.get_modelmeta().custom_metadata_map
    assert CategorySet.from_records(json.loads(told["categories"])).mean_sizes.tolist() == (
        net.categories.mean_sizes.tolist()
    )
    assert Architecture.from_mapping(json.loads(told["architecture"])) == TINY
    assert told["format"] == onnx_export.FORMAT and told["points"] == str(POINTS) and told["model"] == "tiny"
    assert told["model_sha256"] == hashlib.sha256(path.with_suffix(".safetensors").read_bytes()).hexdigest()
    shapes = {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
    assert shapes["points_camera"] == ["batch", POINTS, 3] and shapes["category"] == ["batch"]
    assert shapes["confidence_x"] == ["batch"] and shapes["size"] == ["batch", 3]
    assert not list(path.parent.glob("*.part*"))


def test_exported_file_holds_no_path_of_the_exporting_machine(exported: tuple[CLIPoseNet, Path]) -> None:
    _, path = exported
    content = path.read_bytes()
    for folder in (Path(onnx_export.__file__).parents[2], Path(torch.__file__).parents[1], path.parent):
        assert str(folder).encode() not in content
    assert b".py" not in content and not any(node.metadata_props for node in onnx.load(path).graph.node)


def test_compare_onnx_detects_other_weights(exported: tuple[CLIPoseNet, Path]) -> None:
    net, path = exported
    assert compare_onnx(net, path, POINTS).equal >= onnx_export.LEAST_EQUAL
    with pytest.raises(ExportError, match=r"tiny\.onnx' does not compute what its network does: only 0%"):
        compare_onnx(network(seed=1), path, POINTS)


@pytest.mark.parametrize("package", ["onnxscript", "onnxruntime"])
def test_missing_package_is_named_before_export(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name == package else name)
    assert main(["--out", str(tmp_path / "x.onnx")]) == 1
    assert f"pip install {package}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("points", [100, 64])
def test_export_rejects_unsupported_number_of_points(points: int, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=rf"multiple of 16.*got \(2, {points}, 3\)"):
        export_onnx(network(), tmp_path / "x.onnx", points)
