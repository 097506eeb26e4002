"""Engines against the plain network: same weights, same clouds, one after the other in the same run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from clipose_ros.benchmark.baselines import OnnxRuntime
from clipose_ros.benchmark.inputs import BenchmarkInputs
from clipose_ros.benchmark.result_tables import POINTS
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
"""The engine that all others are compared with: the plain PyTorch module."""


@dataclass(frozen=True)
class Grid:
    """Which cells are measured: every batch at ``POINTS`` points, every number of points at batch 1.

    Attributes:
        batches: Clouds at a time.
        points: Points of a cloud.
        budget_s: For each cell of each engine.
    """

    batches: tuple[int, ...] = (1, 2, 5, 16)
    points: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    budget_s: float = 1.0

    def cells(self) -> list[tuple[int, int]]:
        """Batch and points of each cell, once."""
        return list(dict.fromkeys([(b, POINTS) for b in self.batches] + [(1, n) for n in self.points]))


@dataclass(frozen=True)
class BenchmarkEntry:
    """Networks of the same weights, one per engine.

    Attributes:
        model: Its name in the tables.
        engines: By name, the reference first.
        absent: Why an engine is not among them.
    """

    model: str
    engines: dict[str, Engine]
    absent: dict[str, str]


def shipped(model: str) -> Callable[[], CLIPoseNet]:
    """Builds the network of a checkpoint."""
    return lambda: load_checkpoint(model_path(model))


def paper_widths() -> CLIPoseNet:
    """The network at the paper's widths, with random weights: how fast it is does not depend on them."""
    torch.manual_seed(0)
    return CLIPoseNet(PRESETS["clipose"], NOCS_CATEGORIES).eval()


def benchmark_entry(model: str, build: Callable[[], CLIPoseNet], device: str, threads: int) -> BenchmarkEntry:
    """All engines that this machine has, and on a CPU onnxruntime for comparison."""
    place = resolve_device(device)
    makers: dict[str, Callable[[], Engine]] = {
        name: partial(create_engine, name, build(), place, threads) for name in engine_names()
    }
    if place == "cpu":
        makers[OnnxRuntime.name] = partial(OnnxRuntime, build(), threads)
    found = BenchmarkEntry(model, {}, {})
    for name in sorted(makers, key=lambda name: name != REFERENCE):
        try:
            found.engines[name] = makers[name]()
        except (ConfigError, DeviceError, ExportError) as error:
            found.absent[name] = str(error)
    return found


def time_networks(entries: Sequence[BenchmarkEntry], inputs: BenchmarkInputs, grid: Grid) -> Iterator[dict[str, Any]]:
    """One record per model, engine and cell, as each is measured.

    ``ratio`` is the reference's median over this engine's, in the same cell; ``deviation`` the largest difference from
    the reference's axes, translations and sizes (metres).
    """
    for contestant_ in entries:
        for batch, points in grid.cells():
            clouds, names = inputs.batch(batch, points)
            plain: tuple[Timing, RawPoses] | None = None
            for name, engine in contestant_.engines.items():
                if name == OnnxRuntime.name and points != POINTS:
                    continue
                index = np.array([engine.categories.index(category) for category in names], np.int64)
                timing, answer = _timed(engine, clouds, index, grid.budget_s)
                plain = plain or (timing, answer)
                yield {
                    "model": contestant_.model,
                    "engine": name,
                    "device": engine.device,
                    "batch": batch,
                    "points": points,
                    **asdict(timing),
                    "pose_ms": round(timing.median_ms / batch, 4),
                    "ratio": round(plain[0].median_ms / timing.median_ms, 2),
                    "deviation": _deviation(plain[1], answer),
                }


def _timed(engine: Engine, clouds: FloatArray, index: IndexArray, budget_s: float) -> tuple[Timing, RawPoses]:
    """How long an engine takes, and what it answers."""
    answers: deque[RawPoses] = deque(maxlen=1)
    timing = time_call(lambda: answers.append(engine(clouds, index)), budget_s)
    return timing, answers[-1]


def _deviation(expected: RawPoses, got: RawPoses) -> float:
    """Largest difference of any value."""
    pairs = (
        (expected.axis_y, got.axis_y),
        (expected.axis_x, got.axis_x),
        (expected.translation, got.translation),
        (expected.size, got.size),
    )
    return max(float(np.abs(a - b).max()) for a, b in pairs)
