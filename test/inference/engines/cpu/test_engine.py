"""The CPU engine computes the network, for every architecture, batch, number of threads and input."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
import torch
from cpu_networks import (
    TINY,
    architectures,
    make_network,
    ops_with_neighbours_of,
    random_clouds,
    run_pass,
    usable_engines,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.errors import ConfigError, DeviceError, ShapeError
from clipose_ros.inference.engines.base import RawPoses
from clipose_ros.inference.engines.cpu import engine as engine_module
from clipose_ros.inference.engines.cpu.buffers import CloudBuffers
from clipose_ros.inference.engines.cpu.engine import CpuEngine
from clipose_ros.inference.engines.cpu.gemm import Gemm
from clipose_ros.inference.engines.factory import create_engine
from clipose_ros.inference.engines.pytorch import PytorchEngine
from clipose_ros.model.network import PRESETS, Architecture

FIELDS = ("axis_y", "axis_x", "confidence_y", "confidence_x", "translation", "size")


def assert_equal_to(expected: RawPoses, got: RawPoses, tolerance: float) -> None:
    for field in FIELDS:
        np.testing.assert_allclose(getattr(got, field), getattr(expected, field), atol=tolerance, err_msg=field)


@settings(max_examples=30, deadline=None)
@given(architectures(), st.integers(0, 1000), st.sampled_from([128, 176]), st.integers(1, 3), st.booleans())
def test_equals_the_network_given_equal_neighbours(
    architecture: Architecture, seed: int, points: int, threads: int, shares: bool
) -> None:
    network, cloud, category = make_network(architecture, seed), random_clouds(1, points, seed), np.array([seed % 6])
    if architecture.refines:  # gets clouds about the estimated centre
        cloud -= cloud.mean(axis=1, keepdims=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "MIN_SHARED", 0 if shares else engine_module.MIN_SHARED)
        got = CpuEngine(network, threads=threads)(cloud, category)
    centred, _ = engine_module.centre_clouds(
        cloud[:, : architecture.points or None], np.float32(architecture.unit_m), not architecture.refines
    )
    computed = run_pass(network, centred[0], seed % 6, threads if shares else 1)
    plain = PytorchEngine(make_network(architecture, seed, ops_with_neighbours_of(computed, architecture.encoder)))
    assert_equal_to(plain(cloud, category), got, 1e-5)


@pytest.mark.parametrize("name", usable_engines())
@pytest.mark.parametrize("threads", [1, 2, 3, 6])
@pytest.mark.parametrize("shares", [False, True])
def test_result_does_not_depend_on_the_rest_of_the_batch(
    name: str, threads: int, shares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shares:
        monkeypatch.setattr(engine_module, "MIN_SHARED", 0)
    engine = create_engine(name, make_network(TINY), "cpu", threads)
    points, category = random_clouds(5), np.array([0, 3, 5, 1, 2])
    together = engine(points, category)
    for count in range(1, 5):
        fewer = engine(points[:count], category[:count])
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(fewer, field), getattr(together, field)[:count], err_msg=field)
    assert len(engine(points[:0], category[:0]).axis_y) == 0


@pytest.mark.parametrize("name", [name for name in usable_engines() if name != "cpu"])
def test_reduced_precision_stays_near_float32(name: str) -> None:
    points, category = random_clouds(4, 256), np.array([0, 3, 5, 1])
    exact = create_engine("cpu", make_network(TINY), "cpu", 2)(points, category)
    rounded = create_engine(name, make_network(TINY), "cpu", 2)(points, category)
    assert_equal_to(exact, rounded, 0.1)
    assert not np.array_equal(exact.axis_y, rounded.axis_y)


@pytest.mark.parametrize("name", usable_engines())
def test_degenerate_clouds(name: str) -> None:
    engine = create_engine(name, make_network(TINY), "cpu", 2)
    batch = random_clouds(5)
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
    engine, reference = CpuEngine(make_network(TINY), threads=2), PytorchEngine(make_network(TINY))
    for points in (128, 256, 128):
        cloud, category = random_clouds(2, points), np.array([1, 4])
        assert_equal_to(reference(cloud, category), engine(cloud, category), 1e-2)  # a tie may fall otherwise


def test_wrong_input_is_named() -> None:
    engine = CpuEngine(make_network(TINY), threads=1)
    for shape in ((1, 120, 3), (1, 112, 3), (1, 128, 4), (128, 3)):
        with pytest.raises(ShapeError, match=r"multiple of 16 and at least 128, got \(.*" + str(shape[-1])):
            engine(np.zeros(shape, np.float32), np.zeros(1, np.int64))
    with pytest.raises(ConfigError, match="'network.engine' must be one of .* got 'fast'"):
        create_engine("fast", make_network(TINY), "cpu")
    with pytest.raises(ConfigError, match="'cpu' needs a cpu device, got 'network.device' 'cuda:0'"):
        create_engine("cpu", make_network(TINY), "cuda:0")


@pytest.mark.parametrize("name", usable_engines())
def test_every_product_is_computed_by_one_thread(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A team of threads would wait longer for a small product than it computes."""
    create, _ = engine_module.GEMMS[name]
    seen, multiply = set(), create.multiply

    def recorded(gemm: Gemm, operand: torch.Tensor, out: torch.Tensor) -> None:
        seen.add(torch.get_num_threads())
        multiply(gemm, operand, out)

    engine = create_engine(name, make_network(TINY), "cpu", 2)
    monkeypatch.setattr(create, "multiply", recorded)
    engine(random_clouds(3), np.zeros(3, np.int64))
    assert seen == {1}


@pytest.mark.parametrize("name", ["cpu_bf16", "cpu_int8"])
def test_a_processor_without_the_instructions_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with pytest.raises(DeviceError, match=f"'{name}' needs a CPU with one of .*: choose 'cpu'"):
        create_engine(name, make_network(TINY), "cpu")
    assert create_engine("cpu", make_network(TINY), "cpu").name == "cpu"


def test_auto_selects_the_compiled_engine_on_a_cpu() -> None:
    assert create_engine("auto", make_network(TINY), "cpu").name == "cpu"
    assert create_engine("pytorch", make_network(TINY), "cpu").name == "pytorch"


def test_threads_of_others_stay_and_its_own_end_with_it() -> None:
    # threads that earlier tests left may end at any moment, so only new ones count
    before, torchs = set(threading.enumerate()), torch.get_num_threads()
    engine = CpuEngine(make_network(TINY), threads=3)
    for count in (1, 3, 4):
        engine(random_clouds(count), np.zeros(count, np.int64))
        assert len(set(threading.enumerate()) - before) == 3
    assert torch.get_num_threads() == torchs
    own = [thread for thread in threading.enumerate() if thread.name.startswith("clipose-network")]
    del engine
    gc.collect()
    for thread in own:
        thread.join(timeout=30)
        assert not thread.is_alive()


@pytest.mark.parametrize(("preset", "parts"), [("clipose_small", 1), ("clipose_narrow", 1), ("clipose", 4)])
def test_threads_share_the_clouds_of_large_networks_alone(
    preset: str, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls for parts of a small cloud would take longer than a thread computes all of it."""
    given: list[int] = []
    monkeypatch.setattr(engine_module, "CloudBuffers", lambda *sizes: given.append(sizes[-1]))
    monkeypatch.setattr(engine_module, "NetworkPass", lambda *_: None)
    engine = CpuEngine(make_network(PRESETS[preset]), threads=6)
    engine._allocate(PRESETS[preset].points or 1024)
    assert given == [parts] * 6


def test_buffers_are_allocated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    allocated = []

    class CountedBuffers(CloudBuffers):
        def __init__(self, points: int, *sizes: int) -> None:
            allocated.append(points)
            super().__init__(points, *sizes)

    monkeypatch.setattr(engine_module, "CloudBuffers", CountedBuffers)
    engine = CpuEngine(make_network(TINY), threads=2)
    engine.warm_up(128)
    assert allocated == [128, 128], "one set for each thread"
    first = engine(random_clouds(3), np.zeros(3, np.int64))
    for _ in range(5):
        engine(random_clouds(3, seed=8), np.zeros(3, np.int64))
    again = engine(random_clouds(3), np.zeros(3, np.int64))
    assert allocated == [128, 128]
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field))
