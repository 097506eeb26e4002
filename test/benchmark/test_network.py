"""Inference time and deviation of engines with equal weights on equal clouds."""

import numpy as np
import pytest
import torch

from clipose_ros.benchmark import network
from clipose_ros.benchmark.baselines import CudaGraph
from clipose_ros.benchmark.inputs import OBJECTS, BenchmarkInputs
from clipose_ros.benchmark.network import Grid, create_entry, time_networks
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import ConfigError, ExportError
from clipose_ros.inference.engines.factory import create_engine
from clipose_ros.model.network import Architecture, CLIPoseNet

KEYS = [
    "model", "engine", "device", "batch", "points", "median_ms", "low_ms", "high_ms", "count", "pose_ms", "ratio",
    "deviation",
]  # fmt: skip


@pytest.fixture(scope="module")
def inputs() -> BenchmarkInputs:
    return BenchmarkInputs.rendered()


def tiny() -> CLIPoseNet:
    torch.manual_seed(0)
    return CLIPoseNet(Architecture(widths=(16,) * 5, head_widths=(16, 16)), NOCS_CATEGORIES).eval()


def test_inputs_repeat_five_clouds(inputs: BenchmarkInputs) -> None:
    assert len(inputs.instances) == len(inputs.object_clouds()) == OBJECTS
    clouds, names = inputs.batch(7, 256)
    assert clouds.shape == (7, 256, 3) and clouds.dtype == np.float32
    assert names[5:] == names[:2] and len(set(names)) == OBJECTS
    np.testing.assert_array_equal(clouds[5:], clouds[:2])


def test_grid_lists_each_size_once() -> None:
    assert Grid((1, 4), (256, 1024)).cells() == [(1, 1024), (4, 1024), (1, 256)]


def raise_export_error(*arguments):
    raise ExportError("no onnx here")


def test_time_networks_returns_a_row_per_engine_and_size(inputs: BenchmarkInputs, monkeypatch) -> None:
    monkeypatch.setattr(network.OnnxRuntime, "__init__", raise_export_error)
    results = time_networks([create_entry("tiny", tiny, "cpu", 0)], inputs, Grid((1, 2), (128,), budget_s=0.0))
    rows = [result.to_json() for result in results]
    assert all(list(row) == KEYS for row in rows)
    assert {row["engine"] for row in rows} >= {"pytorch"}
    assert np.isfinite([row["deviation"] for row in rows]).all()
    reference = [row for row in rows if row["engine"] == "pytorch"]
    assert [(row["batch"], row["points"]) for row in reference] == [(1, 1024), (2, 1024), (1, 128)]
    assert all(row["ratio"] == 1.0 and row["deviation"] == 0.0 for row in reference)
    assert all(row["count"] >= 3 and row["low_ms"] <= row["median_ms"] <= row["high_ms"] for row in rows)
    assert all(row["pose_ms"] == pytest.approx(row["median_ms"] / row["batch"], rel=1e-3) for row in rows)


def test_create_entry_gives_the_reason_of_unavailable_engines(monkeypatch) -> None:
    def create(name: str, *arguments):
        if name == "abacus":
            raise ConfigError("no beads here")
        return create_engine(name, *arguments)

    monkeypatch.setattr(network, "create_engine", create)
    monkeypatch.setattr(network.OnnxRuntime, "__init__", raise_export_error)
    monkeypatch.setattr(network, "engine_names", lambda: ["abacus", "pytorch"])
    entry = create_entry("tiny", tiny, "cpu", 0)
    assert list(entry.engines) == ["pytorch"]
    assert entry.unavailable == {"abacus": "no beads here", "onnxruntime": "no onnx here"}


def test_cuda_graph_equals_pytorch_for_every_batch(inputs: BenchmarkInputs) -> None:
    reference, graph = create_engine("pytorch", tiny(), "cpu"), CudaGraph(tiny(), "cpu")
    for batch in (1, 3, 1):  # the last one uses what the first one captured
        clouds, names = inputs.batch(batch, 256)
        index = np.array([graph.categories.index(name) for name in names], np.int64)
        expected, actual = reference(clouds, index), graph(clouds, index)
        for name in ("axis_y", "axis_x", "confidence_y", "confidence_x", "translation", "size"):
            np.testing.assert_allclose(getattr(actual, name), getattr(expected, name), atol=1e-6, err_msg=name)


def test_create_entry_leaves_out_engines_that_fail_when_they_compute(monkeypatch) -> None:
    class Exhausted:
        def warm_up(self, points: int) -> None:
            raise RuntimeError("out of memory")

    monkeypatch.setattr(network, "create_engine", lambda *_: Exhausted())
    monkeypatch.setattr(network.OnnxRuntime, "__init__", raise_export_error)
    monkeypatch.setattr(network, "engine_names", lambda: ["abacus"])
    entry = create_entry("tiny", tiny, "cpu", 0)
    assert not entry.engines and entry.unavailable["abacus"] == "out of memory"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_graph_equals_pytorch_on_a_gpu(inputs: BenchmarkInputs) -> None:
    reference, graph = create_engine("pytorch", tiny(), "cuda:0"), CudaGraph(tiny(), "cuda:0")
    clouds, names = inputs.batch(3, 1024)
    index = np.array([graph.categories.index(name) for name in names], np.int64)
    np.testing.assert_allclose(graph(clouds, index).translation, reference(clouds, index).translation, atol=1e-4)
