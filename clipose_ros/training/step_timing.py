"""Time and memory of a training step, with the compiled CPU operations or the PyTorch formulas."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.samples import CloudSamples
from clipose_ros.model.graph import PYTORCH_OPS
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.losses.shape_weights import ShapeWeights
from clipose_ros.training.runtime.cpu_tuning import tune_process
from clipose_ros.training.trainer import Trainer

GPV_POSE = ShapeWeights(
    symmetry=1.0, point_matching=2.0, box_matching=1.0, face_normal=3.0, face_distance=3.0, face_confidence=1.0,
    voting=1.0, box_rotation=1.0, box_translation=1.0, box_size=1.0, box_self=1.0,
)  # fmt: skip
"""Shape terms of the ``clipose`` recipes; their two heads take a third of a step."""


@dataclass(frozen=True)
class StepTiming:
    """Duration and memory of training steps.

    Attributes:
        seconds: Duration of each step, in order.
        cpu_seconds: Processor time of each step, summed over threads; other load on the machine changes it little.
        peak_bytes: Peak memory of the process, or on a GPU of its tensors, since the start of the process: time each
            setting in a new one.
    """

    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class StepKind:
    """Implementation of a training step.

    Attributes:
        cpu_ops: Use the compiled CPU operations and tune the process, as in training; else the PyTorch formulas.
        precision: Precision of matrix products, as in a recipe.
        device: ``cpu`` or ``cuda:N``.
    """

    cpu_ops: bool
    precision: str = "fp32"
    device: str = "cpu"


def time_steps(preset: str, batch: int, points: int, kind: StepKind, steps: int) -> StepTiming:
    """Time whole optimisation steps, after one untimed step that compiles and fills caches.

    The loss has the pose terms for ``clipose_small``, pose and shape terms for ``clipose``, and no CLIP terms.

    Args:
        preset: Name in ``network.PRESETS``.
        batch: Clouds per step.
        points: Points per cloud, a multiple of 16, at least 128.
        kind: Implementation and device.
        steps: Number of timed steps.
    """
    if kind.cpu_ops:
        tune_process("cpu")
    config = TrainConfig(
        preset=preset, batch=batch, steps=steps + 1, optimizer="ranger", precision=kind.precision,
        tensorboard=False,
        shape_loss=GPV_POSE if preset == "clipose" else ShapeWeights(),
    )  # fmt: skip
    clouds = box_clouds(max(batch, len(NOCS_CATEGORIES)), points)
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(config.seed)
        trainer = Trainer(config, NOCS_CATEGORIES, clouds, clouds, Path(folder), kind.device)
        if not kind.cpu_ops:
            use_pytorch_ops(trainer)
        trainer.optimise()
        wall, cpu = zip(*(_time_step(trainer) for _ in range(steps)), strict=True)
    return StepTiming(wall, cpu, _peak_bytes(kind.device))


def _time_step(trainer: Trainer) -> tuple[float, float]:
    """Take one step; return its elapsed seconds and the process's CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    trainer.optimise()
    if torch.device(trainer.device).type == "cuda":
        torch.cuda.synchronize(trainer.device)
    return time.perf_counter() - wall, time.process_time() - cpu


def use_pytorch_ops(trainer: Trainer) -> None:
    """Make the network compute with the PyTorch formulas."""
    trainer.modules.network.use_ops(PYTORCH_OPS)


def box_clouds(count: int, points: int) -> CloudSamples:
    """Create clouds of points on boxes of random size and position, of all categories in turn."""
    rng = np.random.default_rng(0)
    size = rng.uniform(0.05, 0.2, (count, 3)).astype(np.float32)
    T = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    T[:, :3, 3] = rng.uniform(-0.2, 0.2, (count, 3)) + np.array([0.0, 0.0, 0.8])
    surface = rng.uniform(-0.5, 0.5, (count, points, 3))
    face = rng.integers(0, 3, (count, points, 1))
    np.put_along_axis(surface, face, np.sign(np.take_along_axis(surface, face, axis=2)) * 0.5, axis=2)
    clouds = (surface * size[:, None] + T[:, None, :3, 3]).astype(np.float32)
    kind = np.arange(count, dtype=np.int64) % len(NOCS_CATEGORIES)
    return CloudSamples(clouds, kind, T, size, np.ones(count, bool), np.ones(count, np.float32))


def _peak_bytes(device: str) -> int:
    """Return the peak memory of this program; ``getrusage`` would include that of the parent process."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
    return int(peak) * 1024
