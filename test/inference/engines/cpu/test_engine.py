"""The CPU engine gives what the network gives, whatever its shape, its companions, its threads and its input."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import ConfigError, ShapeError
from clipose_ros.inference.engines.base import RawPoses
from clipose_ros.inference.engines.cpu.engine import CpuEngine
from clipose_ros.inference.engines.factory import create_engine
from clipose_ros.inference.engines.pytorch import PytorchEngine
from clipose_ros.model import graph
from clipose_ros.model.network import Architecture, CLIPoseNet

TINY = Architecture(
    widths=(8, 12, 8, 16, 20), supports=3, neighbours=8, head_widths=(16, 8), head_points=64, unit_m=0.1, one_hot=True
)
FIELDS = ("axis_y", "axis_x", "confidence_y", "confidence_x", "translation", "size")


def network(architecture: Architecture, seed: int = 0, ops: graph.GraphOps = graph.PYTORCH_OPS) -> CLIPoseNet:
    """Untrained, with normalisations that do something."""
    torch.manual_seed(seed)
    made = CLIPoseNet(architecture, NOCS_CATEGORIES, ops).eval()
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.running_mean, 0.0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, -0.5, 1.5)  # negative factors too: they turn maxima into minima
            torch.nn.init.normal_(module.bias, 0.0, 0.1)
    return made


def clouds(count: int, points: int = 128, seed: int = 2) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(count, points, 3)) * 0.05 + [0.0, 0.1, 0.8]).astype(np.float32)


def with_neighbours_of(engine: CpuEngine, architecture: Architecture, seed: int) -> PytorchEngine:
    """The plain network, but with the neighbours that the CPU engine used for its last shared cloud."""
    near = [level.neighbours for level in engine._passes[0].cloud.neighbourhoods]
    layers = engine._passes[0].layers
    used = list(near)
    if architecture.encoder == "hs":
        used = [
            near[0],
            layers[1].neighbours,
            near[1],
            layers[2].neighbours,
            layers[3].neighbours,
            near[2],
            layers[4].neighbours,
        ]
    turns = iter(used)

    def recorded(features: torch.Tensor, count: int) -> torch.Tensor:
        found = torch.from_numpy(next(turns).astype(np.int64)).unsqueeze(0)
        assert found.shape == (1, features.shape[1], count)
        return found

    ops = graph.GraphOps(recorded, graph.graph_response, graph.max_over_neighbours)
    return PytorchEngine(network(architecture, seed, ops))


def assert_equal_to(expected: RawPoses, got: RawPoses, tolerance: float) -> None:
    for field in FIELDS:
        np.testing.assert_allclose(getattr(got, field), getattr(expected, field), atol=tolerance, err_msg=field)


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    width = st.integers(1, 40)
    return Architecture(
        encoder=draw(st.sampled_from(["hs", "gcn3d"])),
        widths=tuple(draw(width) for _ in range(5)),
        supports=draw(st.integers(1, 4)),
        neighbours=draw(st.integers(4, 24)),
        head_widths=(draw(width), draw(width)),
        points=draw(st.sampled_from([0, 128, 1024])),
        head_points=draw(st.sampled_from([0, 1, 100, 5000])),
        unit_m=draw(st.sampled_from([0.1, 1.0])),
        one_hot=draw(st.booleans()),
    )


@settings(max_examples=30, deadline=None)
@given(architectures(), st.integers(0, 1000), st.sampled_from([128, 176]), st.integers(1, 3))
def test_equals_the_network_given_equal_neighbours(
    architecture: Architecture, seed: int, points: int, threads: int
) -> None:
    engine = CpuEngine(network(architecture, seed), threads=threads)
    cloud, category = clouds(1, points, seed), np.array([seed % 6])
    got = engine(cloud, category)
    assert_equal_to(with_neighbours_of(engine, architecture, seed)(cloud, category), got, 1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_neighbours_are_the_nearest_in_space_and_in_features(seed: int) -> None:
    engine = CpuEngine(network(TINY, seed), threads=1)
    engine(clouds(1, 128, seed), np.array([0]))
    layers, space = engine._passes[0].layers, engine._passes[0].cloud.neighbourhoods[0]
    level0 = layers[1]._joined.buffer[:, 12 : 12 + 8].astype(np.float64)
    for values, near in ((space.points.T.astype(np.float64), space.neighbours), (level0, layers[1].neighbours)):
        distances = np.linalg.norm(values[:, None] - values[None], axis=2) ** 2
        np.fill_diagonal(distances, np.inf)
        expected = np.sort(distances, axis=1)[:, : near.shape[1]]
        np.testing.assert_allclose(np.take_along_axis(distances, near.astype(np.int64), 1), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["cpu", "cpu_int8"])
@pytest.mark.parametrize("threads", [1, 2, 3, 6])
def test_result_does_not_depend_on_companions(name: str, threads: int) -> None:
    engine = create_engine(name, network(TINY), "cpu", threads)
    points, category = clouds(5), np.array([0, 3, 5, 1, 2])
    together = engine(points, category)
    for count in range(1, 5):
        fewer = engine(points[:count], category[:count])
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(fewer, field), getattr(together, field)[:count], err_msg=field)
    assert len(engine(points[:0], category[:0]).axis_y) == 0


def test_int8_stays_near_float32() -> None:
    points, category = clouds(4, 256), np.array([0, 3, 5, 1])
    exact = create_engine("cpu", network(TINY), "cpu", 2)(points, category)
    rounded = create_engine("cpu_int8", network(TINY), "cpu", 2)(points, category)
    assert_equal_to(exact, rounded, 0.1)
    assert not np.array_equal(exact.axis_y, rounded.axis_y)


@pytest.mark.parametrize("name", ["cpu", "cpu_int8"])
def test_degenerate_clouds(name: str) -> None:
    engine = create_engine(name, network(TINY), "cpu", 2)
    batch = clouds(5)
    batch[0] = 0.5  # one place
    batch[1, 64:] = batch[1, :64]  # each point twice
    batch[2, 3, 1] = np.nan
    batch[3, 5] = np.inf
    alone = engine(batch[4:], np.zeros(1, np.int64))
    result = engine(batch, np.zeros(5, np.int64))
    for field in FIELDS:
        values = getattr(result, field)
        assert np.isfinite(values[[0, 1, 4]]).all(), field
        assert np.isnan(values[[2, 3]]).all(), field
        np.testing.assert_array_equal(values[4:], getattr(alone, field))


def test_points_may_change_their_number() -> None:
    engine, reference = CpuEngine(network(TINY), threads=2), PytorchEngine(network(TINY))
    for points in (128, 256, 128):
        cloud, category = clouds(2, points), np.array([1, 4])
        assert_equal_to(reference(cloud, category), engine(cloud, category), 1e-2)  # a tie may fall otherwise


def test_wrong_input_is_named() -> None:
    engine = CpuEngine(network(TINY), threads=1)
    for shape in ((1, 120, 3), (1, 112, 3), (1, 128, 4), (128, 3)):
        with pytest.raises(ShapeError, match=r"multiple of 16 and at least 128, got \(.*" + str(shape[-1])):
            engine(np.zeros(shape, np.float32), np.zeros(1, np.int64))
    with pytest.raises(ConfigError, match="'network.engine' must be one of .* got 'fast'"):
        create_engine("fast", network(TINY), "cpu")
    with pytest.raises(ConfigError, match="'cpu' needs a cpu device, got 'network.device' 'cuda:0'"):
        create_engine("cpu", network(TINY), "cuda:0")


def test_auto_selects_the_compiled_engine_on_a_cpu() -> None:
    assert create_engine("auto", network(TINY), "cpu").name == "cpu"
    assert create_engine("pytorch", network(TINY), "cpu").name == "pytorch"


def test_threads_of_others_stay_and_its_own_end_with_it() -> None:
    before, torchs = threading.active_count(), torch.get_num_threads()
    engine = CpuEngine(network(TINY), threads=3)
    for count in (1, 3, 4):
        engine(clouds(count), np.zeros(count, np.int64))
        assert threading.active_count() == before + 3
    assert torch.get_num_threads() == torchs
    own = [thread for thread in threading.enumerate() if thread.name.startswith("clipose-network")]
    del engine
    gc.collect()
    for thread in own:
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_buffers_are_made_once() -> None:
    engine = CpuEngine(network(TINY), threads=2)
    engine.warm_up(128)
    passes = list(engine._passes)
    first = engine(clouds(3), np.zeros(3, np.int64))
    for _ in range(5):
        engine(clouds(3, seed=8), np.zeros(3, np.int64))
    assert all(one is other for one, other in zip(passes, engine._passes, strict=True))
    again = engine(clouds(3), np.zeros(3, np.int64))
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field))
