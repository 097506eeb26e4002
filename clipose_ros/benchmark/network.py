"""Inference time and deviation of all engines for the same network and the same clouds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from clipose_ros.benchmark.baselines import CudaGraph, OnnxRuntime
from clipose_ros.benchmark.inputs import BenchmarkInputs
from clipose_ros.benchmark.rows import POINTS, NetworkRow
from clipose_ros.benchmark.timing import Timing, time_call
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import ConfigError, DeviceError, ExportError
from clipose_ros.inference.engines.base import Engine, RawPoses
from clipose_ros.inference.engines.factory import create_engine
from clipose_ros.inference.engines.registry import engine_names
from clipose_ros.inference.predictor import resolve_device
from clipose_ros.model.checkpoint import load_checkpoint
from clipose_ros.model.network import PRESETS, CLIPoseNet
from clipose_ros.resources import model_path
from clipose_ros.types import FloatArray, IndexArray

REFERENCE = "pytorch"
"""Engine that all others are compared with: the PyTorch module in eager mode."""


@dataclass(frozen=True)
class Grid:
    """Measured sizes: every batch size at ``POINTS`` points and every number of points at batch size 1.

    Attributes:
        batches: Numbers of clouds in a batch.
        points: Numbers of points of a cloud.
        budget_s: Time for each measurement, seconds.
    """

    batches: tuple[int, ...] = (1, 2, 5, 16)
    points: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    budget_s: float = 1.0

    def cells(self) -> list[tuple[int, int]]:
        """Return the distinct pairs of batch size and number of points."""
        return list(dict.fromkeys([(b, POINTS) for b in self.batches] + [(1, n) for n in self.points]))


GPU_GRID = Grid((1, 2, 4, 8, 16), (POINTS,))
"""Measured sizes on a GPU: every further number of points would be compiled anew."""


@dataclass(frozen=True)
class BenchmarkEntry:
    """Engines of one network, all with the same weights.

    Attributes:
        model: Name of the network in the tables.
        engines: Engines by name, ``pytorch`` first.
        unavailable: Engines that this machine cannot run: reason by name.
    """

    model: str
    engines: Mapping[str, Engine]
    unavailable: Mapping[str, str]


def load_shipped_network(model: str) -> CLIPoseNet:
    """Load the network of a shipped model or of a checkpoint file."""
    return load_checkpoint(model_path(model))


def build_paper_network() -> CLIPoseNet:
    """Build the network at the paper's widths with random weights; the weights do not affect the speed."""
    torch.manual_seed(0)
    return CLIPoseNet(PRESETS["clipose"], NOCS_CATEGORIES).eval()


def create_entry(model: str, build: Callable[[], CLIPoseNet], device: str, threads: int) -> BenchmarkEntry:
    """Create all engines that this machine can run, and for comparison onnxruntime on a CPU, a CUDA graph on a GPU.

    Args:
        model: Name of the network in the tables.
        build: Function that builds the network; called once per engine.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads; 0 for the default of each engine.
    """
    resolved = resolve_device(device)
    factories: dict[str, Callable[[], Engine]] = {
        name: partial(create_engine, name, build(), resolved, threads) for name in engine_names()
    }
    if resolved == "cpu":
        factories[OnnxRuntime.name] = partial(OnnxRuntime, build(), threads)
    else:
        factories[CudaGraph.name] = partial(CudaGraph, build(), resolved)
    engines: dict[str, Engine] = {}
    unavailable: dict[str, str] = {}
    for name in sorted(factories, key=lambda name: name != REFERENCE):
        try:
            engine = factories[name]()
            engine.warm_up(POINTS)
            engines[name] = engine
        except (ConfigError, DeviceError, ExportError, RuntimeError) as error:  # RuntimeError: out of memory on a GPU
            unavailable[name] = str(error)
    return BenchmarkEntry(model, engines, unavailable)


def time_networks(entries: Sequence[BenchmarkEntry], inputs: BenchmarkInputs, grid: Grid) -> Iterator[NetworkRow]:
    """Measure every engine of every network at every size and yield each result."""
    for entry in entries:
        for batch, points in grid.cells():
            yield from _time_engines(entry, inputs, batch, points, grid.budget_s)


def _time_engines(
    entry: BenchmarkEntry, inputs: BenchmarkInputs, batch: int, points: int, budget_s: float
) -> Iterator[NetworkRow]:
    """Measure the engines of one network at one size."""
    clouds, names = inputs.batch(batch, points)
    reference: tuple[Timing, RawPoses] | None = None
    for name, engine in entry.engines.items():
        if name == OnnxRuntime.name and points != POINTS:  # the exported network has a fixed number of points
            continue
        index = np.array([engine.categories.index(category) for category in names], np.int64)
        timing, output = _time_engine(engine, clouds, index, budget_s)
        reference = reference or (timing, output)
        yield NetworkRow(
            entry.model,
            name,
            engine.device,
            batch,
            points,
            timing,
            pose_ms=round(timing.median_ms / batch, 4),
            ratio=round(reference[0].median_ms / timing.median_ms, 2),
            deviation=_max_deviation(reference[1], output),
        )


def _time_engine(engine: Engine, clouds: FloatArray, index: IndexArray, budget_s: float) -> tuple[Timing, RawPoses]:
    """Return the duration of a call and the output of the last one."""
    outputs: deque[RawPoses] = deque(maxlen=1)
    timing = time_call(lambda: outputs.append(engine(clouds, index)), budget_s)
    return timing, outputs[-1]


def _max_deviation(expected: RawPoses, actual: RawPoses) -> float:
    """Return the largest absolute difference of axes, translations and sizes."""
    pairs = (
        (expected.axis_y, actual.axis_y),
        (expected.axis_x, actual.axis_x),
        (expected.translation, actual.translation),
        (expected.size, actual.size),
    )
    return max(float(np.abs(a - b).max()) for a, b in pairs)
