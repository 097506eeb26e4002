"""onnxruntime as a baseline of the engines."""

import numpy as np
import pytest
import torch

from clipose_ros.benchmark.baselines import OnnxRuntime
from clipose_ros.benchmark.rows import POINTS
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import ExportError
from clipose_ros.inference.engines.factory import create_engine
from clipose_ros.model.network import Architecture, CLIPoseNet


@pytest.fixture(scope="module")
def network() -> CLIPoseNet:
    torch.manual_seed(0)
    return CLIPoseNet(Architecture(widths=(16,) * 5, head_widths=(16, 16)), NOCS_CATEGORIES).eval()


@pytest.fixture(scope="module")
def baseline(network: CLIPoseNet) -> OnnxRuntime:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    return OnnxRuntime(network, threads=1)


def clouds(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    points = rng.normal((0.0, 0.0, 0.8), 0.05, (count, POINTS, 3)).astype(np.float32)
    return points, np.arange(count, dtype=np.int64) % len(NOCS_CATEGORIES)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("batch", [1, 3])
def test_onnx_runtime_agrees_with_the_pytorch_engine(baseline: OnnxRuntime, network: CLIPoseNet, batch: int) -> None:
    points, index = clouds(batch)
    actual, expected = baseline(points, index), create_engine("pytorch", network, "cpu")(points, index)
    np.testing.assert_allclose(actual.size, expected.size, atol=0.02)
    np.testing.assert_allclose(actual.translation, expected.translation, atol=0.02)
    assert actual.axis_y.shape == (batch, 3) and actual.confidence_x.shape == (batch,)


@pytest.mark.timeout(300)
def test_onnx_runtime_warms_up_at_the_exported_number_of_points_only(baseline: OnnxRuntime) -> None:
    assert (baseline.name, baseline.device, baseline.categories) == ("onnxruntime", "cpu", NOCS_CATEGORIES)
    baseline.warm_up(POINTS)
    with pytest.raises(Exception, match="(?i)dimension"):
        baseline.warm_up(POINTS // 2)


def test_onnx_runtime_names_the_missing_package(network: CLIPoseNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipose_ros.model.onnx_export.find_spec", lambda name: None)
    with pytest.raises(ExportError, match="pip install onnxruntime"):
        OnnxRuntime(network)
