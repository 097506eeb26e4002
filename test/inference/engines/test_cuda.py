"""The code of the GPU engine on the CPU: equal results, one graph for all batch sizes, no synchronisation inside."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from random_networks import make_random_network

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import ConfigError, DeviceError, ShapeError
from clipose_ros.inference.engines.base import RawPoses
from clipose_ros.inference.engines.cuda import CudaEngine
from clipose_ros.inference.engines.factory import create_engine
from clipose_ros.inference.engines.pytorch import PytorchEngine
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.types import FloatArray

FIELDS = ("axis_y", "axis_x", "confidence_y", "confidence_x", "translation", "size")
TINY = Architecture(
    widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8), head_points=64, unit_m=0.1, one_hot=True
)
POINTS = 128
BATCHES = (1, 3, 8)
pytestmark = pytest.mark.timeout(600)  # capturing the network's graph takes seconds, more where others compute too


@pytest.fixture(scope="module")
def network() -> CLIPoseNet:
    return make_random_network(TINY)


def clouds(count: int) -> tuple[FloatArray, np.ndarray]:
    rng = np.random.default_rng(count)
    points = rng.normal(size=(count, POINTS, 3)) * 0.05 + (0.1, -0.1, 0.9)
    return points.astype(np.float32), rng.integers(0, len(NOCS_CATEGORIES), count)


def assert_equal(got: RawPoses, expected: RawPoses, tolerance: float) -> None:
    for name in FIELDS:
        one, other = getattr(got, name), getattr(expected, name)
        assert one.dtype == np.float32 and one.shape == other.shape, name
        np.testing.assert_allclose(one, other, atol=tolerance, err_msg=name)


class CountedCompiler:
    """Runs the captured graph as it is; counts the graphs and keeps the names of what they call."""

    def __init__(self) -> None:
        self.graphs = 0
        self.calls: set[str] = set()

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        self.graphs += 1
        self.calls |= {getattr(node.target, "__name__", str(node.target)) for node in graph.graph.nodes}
        return graph.forward


def test_float32_equals_pytorch_with_one_graph_without_synchronisation(network: CLIPoseNet) -> None:
    compiler = CountedCompiler()
    engine, reference = CudaEngine(network, "cpu", backend=compiler), PytorchEngine(network)
    engine.warm_up(POINTS)
    assert compiler.graphs == 1
    for batch in BATCHES:
        points, category = clouds(batch)
        assert_equal(engine(points, category), reference(points, category), tolerance=1e-6)
    assert compiler.graphs == 1, "another number of objects must not compile again"
    assert "topk" in compiler.calls
    assert compiler.calls.isdisjoint({"item", "cpu", "numpy", "tolist", "nonzero", "unique"}), "the host would wait"


def test_half_precision_stays_near_pytorch(network: CLIPoseNet) -> None:
    points, category = clouds(3)
    got = CudaEngine(network, "cpu", "cuda_bf16", "eager")(points, category)
    expected = PytorchEngine(network)(points, category)
    assert_equal(got, expected, tolerance=0.05)
    assert np.abs(got.axis_y - expected.axis_y).max() > 1e-6, "it computed in float32"


def test_clouds_of_another_shape_are_refused(network: CLIPoseNet) -> None:
    with pytest.raises(ShapeError, match=r"got \(1, 100, 3\)"):
        CudaEngine(network, "cpu", backend="eager")(np.zeros((1, 100, 3), np.float32), np.zeros(1, np.int64))


def test_a_failing_compiler_is_named_with_a_remedy(network: CLIPoseNet) -> None:
    def broken(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        raise RuntimeError("no C compiler found")

    with pytest.raises(DeviceError, match=r"'cuda'.*'cpu'.*no C compiler found.*network\.engine 'pytorch'"):
        CudaEngine(network, "cpu", backend=broken).warm_up(POINTS)


def test_the_engine_is_refused_for_a_cpu(network: CLIPoseNet) -> None:
    with pytest.raises(ConfigError, match="'cuda_bf16' needs a cuda device, got 'network.device' 'cpu'"):
        create_engine("cuda_bf16", network, "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("name", "tolerance"), [("cuda", 1e-4), ("cuda_bf16", 0.05), ("cuda_fp16", 0.05)])
def test_on_a_gpu_results_agree_with_one_synchronisation(network: CLIPoseNet, name: str, tolerance: float) -> None:
    reference = PytorchEngine(copy.deepcopy(network))  # stays on the CPU
    engine = CudaEngine(network, "cuda:0", name)
    engine.warm_up(POINTS)
    for batch in BATCHES:
        points, category = clouds(batch)
        torch.cuda.set_sync_debug_mode("error")  # the stream's own synchronize is not an error, all others are
        try:
            got = engine(points, category)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert_equal(got, reference(points, category), tolerance)
