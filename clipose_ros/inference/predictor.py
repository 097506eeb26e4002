"""Clouds in, poses out: NumPy on both sides, torch stays inside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from clipose_ros.categories import Category, CategorySet
from clipose_ros.config import NetworkConfig, TtaConfig
from clipose_ros.errors import DegenerateInputError, DeviceError, ShapeError
from clipose_ros.geometry.rotation import rotation_from_axes
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.inference.engines.base import Engine
from clipose_ros.inference.engines.factory import create_engine
from clipose_ros.inference.engines.tta_engine import TtaEngine
from clipose_ros.model.checkpoint import load_checkpoint
from clipose_ros.resources import model_path
from clipose_ros.types import FloatArray, PoseEstimate

_DEFAULTS = NetworkConfig()


class Predictor:
    """Poses and sizes of object clouds.

    Args:
        engine: What computes the network.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def load(
        cls,
        model: str | Path,
        device: str = _DEFAULTS.device,
        threads: int = _DEFAULTS.threads,
        engine: str = _DEFAULTS.engine,
        max_passes: int = _DEFAULTS.tta.max_passes,
        disagreement_deg: float = _DEFAULTS.tta.disagreement_deg,
    ) -> Predictor:
        """Make a predictor from a checkpoint.

        Args:
            model: A ``.safetensors`` file, or the name of a shipped model (``clipose_small``).
            device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
            threads: CPU threads of the network; 0 leaves the choice to torch.
            engine: What computes it, one of ``engine.ENGINES``.
            max_passes: Maximum number of test-time augmentation passes per object.
            disagreement_deg: Run passes beyond the second only if the first two differ by more, degrees; 0 runs all.

        Raises:
            CheckpointError: There is no such model, or it is corrupt or of another architecture.
            DeviceError: The device does not exist here.
            ConfigError: There is no such engine, or it cannot compute on the device, or a number is out of bounds.
        """
        return cls.from_config(
            NetworkConfig(str(model), device, threads, engine, TtaConfig(max_passes, disagreement_deg))
        )

    @classmethod
    def from_config(cls, config: NetworkConfig) -> Predictor:
        """As ``load``, from settings."""
        network, device = load_checkpoint(model_path(config.model)), resolve_device(config.device)
        engine = create_engine(config.engine, network, device, config.threads)
        passes, disagreement_deg = config.tta.max_passes, config.tta.disagreement_deg
        return cls(TtaEngine(engine, passes, disagreement_deg) if passes > 1 else engine)

    def warm_up(self, points: int) -> None:
        """Compile and allocate what the first clouds of so many points would have to wait for."""
        self._engine.warm_up(points)

    @property
    def device(self) -> str:
        """Where it computes."""
        return self._engine.device

    @property
    def categories(self) -> CategorySet:
        """What the network was trained on."""
        return self._engine.categories

    def predict(self, points_camera: FloatArray, categories: Sequence[str]) -> list[PoseEstimate]:
        """Pose a batch of clouds. An object's result does not depend on its companions in the batch.

        Args:
            points_camera: ``(B, N, 3)`` float32, metres, camera optical frame, in random order; N a multiple of 16, at
                least 128.
            categories: B category names.

        Returns:
            B poses. ``score`` is the pose's own confidence: that of the y axis where the category is axially
            symmetric, else the mean of both axes' confidences. Where the network gives values that are not finite,
            pose, size and score are NaN.

        Raises:
            ShapeError: Points and categories do not fit each other or the network.
            ConfigError: A category is unknown to the network.
        """
        points = np.ascontiguousarray(points_camera, dtype=np.float32)
        if points.ndim != 3 or points.shape[2] != 3 or points.shape[0] != len(categories):
            raise ShapeError(
                f"points_camera must be (B, N, 3) with B = {len(categories)} categories, got {points.shape}"
            )
        if not len(categories):
            return []
        index = np.array([self.categories.index(name) for name in categories], np.int64)
        raw = self._engine(points, index)
        vectors = np.stack([raw.axis_y, raw.axis_x, raw.translation, raw.size], axis=1).astype(np.float64)
        sure = np.stack([raw.confidence_y, raw.confidence_x], axis=1).astype(np.float64)
        return [_pose(self.categories[name], v, c) for name, v, c in zip(categories, vectors, sure, strict=True)]


def resolve_device(device: str) -> str:
    """``cpu`` or ``cuda:N`` for what was asked.

    Raises:
        DeviceError: The words are not understood, or there is no such device.
    """
    count = torch.cuda.device_count()
    if device == "auto":
        return "cuda:0" if count else "cpu"
    if device == "cpu":
        return device
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number or "0").isdecimal():
        raise DeviceError(f"device must be auto, cpu, cuda or cuda:N, got '{device}'")
    if int(number or 0) >= count:
        raise DeviceError(
            f"device '{device}' was asked for, but this machine has {count} CUDA devices: use 'auto' or 'cpu'"
        )
    return f"cuda:{int(number or 0)}"


def _pose(category: Category, vectors: FloatArray, confidences: FloatArray) -> PoseEstimate:
    """One object's pose from its raw axes, translation and size ``(4, 3)`` and axis confidences ``(2,)``."""
    axis_y, axis_x, translation, size = vectors
    sure_y, sure_x = float(confidences[0]), float(confidences[1])
    if category.symmetry.axial_y:
        sure_x = 0.0
    try:
        R = rotation_from_axes(axis_y, axis_x, sure_y, sure_x)
    except DegenerateInputError:  # not finite, or x along y: no orientation, and the caller rejects NaN with its reason
        R = np.full((3, 3), np.nan)
    confidence = sure_y if category.symmetry.axial_y else (sure_y + sure_x) / 2.0
    if not (np.isfinite(R).all() and np.isfinite(vectors).all()):
        return PoseEstimate(category.name, np.full((4, 4), np.nan), np.full(3, np.nan), float("nan"), (sure_y, sure_x))
    return PoseEstimate(category.name, make_transform(R, translation), size, confidence, (sure_y, sure_x))
