"""Every engine is timed on the same clouds with the same weights, and compared with the plain network."""

import numpy as np
import pytest
import torch

from clipose_ros.benchmark import network
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


def test_inputs_hold_five_clouds_that_repeat(inputs: BenchmarkInputs) -> None:
    assert len(inputs.instances) == len(inputs.object_clouds()) == OBJECTS
    clouds, names = inputs.batch(7, 256)
    assert clouds.shape == (7, 256, 3) and clouds.dtype == np.float32
    assert names[5:] == names[:2] and len(set(names)) == OBJECTS
    np.testing.assert_array_equal(clouds[5:], clouds[:2])


def test_cells_are_measured_once() -> None:
    assert Grid((1, 4), (256, 1024)).cells() == [(1, 1024), (4, 1024), (1, 256)]


def no_export(*arguments):
    raise ExportError("no onnx here")


def test_records_say_what_was_timed(inputs: BenchmarkInputs, monkeypatch) -> None:
    monkeypatch.setattr(network.OnnxRuntime, "__init__", no_export)
    results = time_networks([create_entry("tiny", tiny, "cpu", 0)], inputs, Grid((1, 2), (128,), budget_s=0.0))
    rows = [result.as_record() for result in results]
    assert all(list(row) == KEYS for row in rows)
    assert {row["engine"] for row in rows} >= {"pytorch"}
    assert np.isfinite([row["deviation"] for row in rows]).all()
    plain = [row for row in rows if row["engine"] == "pytorch"]
    assert [(row["batch"], row["points"]) for row in plain] == [(1, 1024), (2, 1024), (1, 128)]
    assert all(row["ratio"] == 1.0 and row["deviation"] == 0.0 for row in plain)
    assert all(row["count"] >= 3 and row["low_ms"] <= row["median_ms"] <= row["high_ms"] for row in rows)
    assert all(row["pose_ms"] == pytest.approx(row["median_ms"] / row["batch"], rel=1e-3) for row in rows)


def test_an_engine_that_is_not_for_this_machine_is_left_out_with_its_reason(monkeypatch) -> None:
    def create(name: str, *arguments):
        if name == "abacus":
            raise ConfigError("no beads here")
        return create_engine(name, *arguments)

    monkeypatch.setattr(network, "create_engine", create)
    monkeypatch.setattr(network.OnnxRuntime, "__init__", no_export)
    monkeypatch.setattr(network, "engine_names", lambda: ["abacus", "pytorch"])
    found = create_entry("tiny", tiny, "cpu", 0)
    assert list(found.engines) == ["pytorch"]
    assert found.unavailable == {"abacus": "no beads here", "onnxruntime": "no onnx here"}


@pytest.mark.timeout(300)
def test_onnxruntime_competes_with_the_same_network(inputs: BenchmarkInputs) -> None:
    pytest.importorskip("onnxruntime")
    rival, plain = network.OnnxRuntime(tiny()), create_engine("pytorch", tiny(), "cpu")
    for batch in (1, 3):
        clouds, names = inputs.batch(batch, 1024)
        index = np.array([rival.categories.index(name) for name in names], np.int64)
        got, expected = rival(clouds, index), plain(clouds, index)
        np.testing.assert_allclose(got.size, expected.size, atol=0.02)
        assert got.axis_y.shape == (batch, 3) and got.confidence_x.shape == (batch,)
