"""Predictor of poses from point clouds, with NumPy on both sides."""

from __future__ import annotations

import dataclasses
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
from clipose_ros.inference.engines.refining_engine import RefiningEngine
from clipose_ros.inference.engines.tta_engine import TtaEngine
from clipose_ros.inference.pass_plan import PassPlan
from clipose_ros.inference.rotation_correction import correct_rotations
from clipose_ros.inference.surface_normals import MIN_POINTS, estimate_normals
from clipose_ros.model.checkpoint import load_checkpoint
from clipose_ros.model.hub import resolve_model
from clipose_ros.model.score_calibration import ScoreCalibration, measure_features
from clipose_ros.resources import model_path
from clipose_ros.types import FloatArray, PoseEstimate

MODE_DEG = 25.0
"""Largest angle of axes between refined passes that are averaged, see ``TtaEngine``: twice that of a good pose."""

REFINER_ENGINES = {
    "pytorch": "pytorch",
    "cpu": "cpu",
    "cpu_bf16": "cpu",
    "cpu_int8": "cpu",
    "cuda": "cuda",
    "cuda_bf16": "cuda",
    "cuda_fp16": "cuda",
}
"""Engine of the refiner by that of the coarse network: in 8 bit the refiner loses more accuracy than that network.

Engines of other packages compute the coarse network alone: they expect clouds before the camera.
"""

_DEFAULTS = NetworkConfig()


class Predictor:
    """Predictor of poses and sizes from object point clouds.

    Args:
        engine: Engine that computes the network.
        surface_normals: Correct the predicted rotations by the normals of the clouds.
        calibration: Turns confidences into probabilities of a correct pose; None leaves them.
    """

    def __init__(
        self, engine: Engine, surface_normals: bool = False, calibration: ScoreCalibration | None = None
    ) -> None:
        self._engine, self._surface_normals, self._calibration = engine, surface_normals, calibration

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
        """Create a predictor from a checkpoint, with the defaults of the node for all that is not an argument.

        Args:
            model: A ``.safetensors`` file, the name of a shipped model (``clipose_small``), or a model of the Hugging
                Face Hub, which is downloaded: ``hf:owner/name`` or, pinned, ``hf:owner/name@revision``.
            device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
            threads: CPU threads of the network; 0 leaves the choice to torch.
            engine: ``auto``, a built-in engine, or one of an installed package, see ``inference.engines.registry``.
            max_passes: Maximum number of test-time augmentation passes per object. A refiner replaces those beyond the
                second by one correction.
            disagreement_deg: Run passes beyond the second, or the correction, only if the axes of the first two differ
                by more, degrees; 0 always runs all passes, and no correction.

        Raises:
            CheckpointError: The model does not exist, is corrupt, has another architecture, or cannot be downloaded.
            DeviceError: The device does not exist on this machine, or lacks what the engine needs.
            ConfigError: The engine does not exist or does not compute on the device, or a number is out of bounds.
        """
        return cls.from_config(
            NetworkConfig(resolve_model(str(model)), device, threads, engine, TtaConfig(max_passes, disagreement_deg))
        )

    @classmethod
    def from_config(cls, config: NetworkConfig, calibrated: bool = True) -> Predictor:
        """Create a predictor from settings; raises as ``load`` does. It downloads nothing: models of the hub raise.

        Args:
            config: Settings.
            calibrated: Apply the score calibration of the model, if it has one.
        """
        network, device = load_checkpoint(model_path(config.model)), resolve_device(config.device)
        engine = create_engine(config.engine, network, device, config.threads)
        passes, disagreement_deg = config.tta.max_passes, config.tta.disagreement_deg
        several: Engine = TtaEngine(engine, passes, disagreement_deg) if passes > 1 else engine
        name = REFINER_ENGINES.get(engine.name)
        if network.refiner is not None and config.refine != "none" and name is not None:
            refining = RefiningEngine(engine, create_engine(name, network.refiner, device, config.threads))
            several = TtaEngine(refining, passes, disagreement_deg, MODE_DEG, config.refine == "unsettled")
        return cls(several, config.surface_normals, network.score_calibration if calibrated else None)

    def warm_up(self, points: int) -> None:
        """Compile kernels and allocate buffers for clouds of ``points`` points."""
        self._engine.warm_up(points)
        if self._surface_normals:
            estimate_normals(np.zeros((MIN_POINTS, 3)))

    @property
    def engine_name(self) -> str:
        """Return the name of the engine that computes, which ``auto`` chose or the settings name."""
        return self._engine.name

    @property
    def device(self) -> str:
        """Return the device that computes: ``cpu`` or ``cuda:N``."""
        return self._engine.device

    @property
    def categories(self) -> CategorySet:
        """Return the categories that the network was trained on."""
        return self._engine.categories

    @property
    def has_refiner(self) -> bool:
        """Return True if a pass is two runs: of a coarse network and of its refiner."""
        return isinstance(self._engine, TtaEngine) and self._engine.has_refiner

    def predict(self, points_camera: FloatArray, categories: Sequence[str]) -> list[PoseEstimate]:
        """Predict the poses of a batch of clouds. Each object's result is independent of the others.

        Args:
            points_camera: ``(B, N, 3)`` float32, metres, camera optical frame, in random order; N a multiple of 16, at
                least 128.
            categories: B category names.

        Returns:
            B poses. ``score`` is the probability that the pose is correct if the model has a score calibration.
            Otherwise it is the confidence of the pose: that of the y axis if the category is axially symmetric, else
            the mean of the confidences of both axes. If an output of the network is not finite, pose, size and score
            are NaN.

        Raises:
            ShapeError: Points and categories differ in number, or the network does not take so many points.
            ConfigError: The network has no such category.
        """
        return self.predict_passes(points_camera, categories, PassPlan.all_passes(len(categories)))

    def predict_passes(
        self, points_camera: FloatArray, categories: Sequence[str], plan: PassPlan
    ) -> list[PoseEstimate]:
        """Predict as ``predict``, with a single pass of test-time augmentation for some clouds.

        Args:
            points_camera: As for ``predict``.
            categories: As for ``predict``.
            plan: Passes of each cloud.
        """
        points = np.ascontiguousarray(points_camera, dtype=np.float32)
        if points.ndim != 3 or points.shape[2] != 3 or points.shape[0] != len(categories):
            raise ShapeError(
                f"points_camera must be (B, N, 3) with B = {len(categories)} categories, got {points.shape}"
            )
        if not len(categories):
            return []
        index = np.array([self.categories.index(name) for name in categories], np.int64)
        if isinstance(self._engine, TtaEngine):
            raw = self._engine.predict_passes(points, index, plan)
        else:
            raw = self._engine(points, index)
        vectors = np.stack([raw.axis_y, raw.axis_x, raw.translation, raw.size], axis=1).astype(np.float64)
        confidences = np.stack([raw.confidence_y, raw.confidence_x], axis=1).astype(np.float64)
        poses = [
            _make_pose(self.categories[name], v, c) for name, v, c in zip(categories, vectors, confidences, strict=True)
        ]
        if self._surface_normals:
            poses = correct_rotations(poses, points, self.categories)
        return poses if self._calibration is None else calibrate_scores(poses, points, self._calibration)


def calibrate_scores(
    poses: Sequence[PoseEstimate], clouds: FloatArray, calibration: ScoreCalibration
) -> list[PoseEstimate]:
    """Replace the confidences of poses by the probabilities that they are correct. Poses of NaN stay as they are.

    Args:
        poses: B poses whose scores are confidences.
        clouds: ``(B, N, 3)`` metres, camera frame.
        calibration: Calibration with the categories of the poses.
    """
    return [
        dataclasses.replace(
            pose, score=float(calibration.probability(pose.category, measure_features(pose, cloud.astype(np.float64))))
        )
        if np.isfinite(pose.T_camera_object).all()
        else pose
        for pose, cloud in zip(poses, clouds, strict=True)
    ]


def resolve_device(device: str) -> str:
    """Resolve ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` to ``cpu`` or ``cuda:N``.

    Raises:
        DeviceError: The text is none of these, or the device does not exist.
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
            f"device '{device}' does not exist: this machine has {count} CUDA devices; use 'auto' or 'cpu'"
        )
    return f"cuda:{int(number or 0)}"


def _make_pose(category: Category, vectors: FloatArray, confidences: FloatArray) -> PoseEstimate:
    """Return an object's pose from its raw axes, translation and size ``(4, 3)`` and axis confidences ``(2,)``."""
    axis_y, axis_x, translation, size = vectors
    confidence_y, confidence_x = float(confidences[0]), float(confidences[1])
    # The rotation about the y axis of an axially symmetric object is arbitrary: with confidence 0, the x axis does not
    # pull the y axis when the two are made orthogonal.
    if category.symmetry.axial_y:
        confidence_x = 0.0
    try:
        R = rotation_from_axes(axis_y, axis_x, confidence_y, confidence_x)
    except DegenerateInputError:  # not finite, or x along y: the pose checks reject NaN
        R = np.full((3, 3), np.nan)
    confidence = confidence_y if category.symmetry.axial_y else (confidence_y + confidence_x) / 2.0
    if not (np.isfinite(R).all() and np.isfinite(vectors).all()):
        return PoseEstimate(
            category.name, np.full((4, 4), np.nan), np.full(3, np.nan), float("nan"), (confidence_y, confidence_x)
        )
    return PoseEstimate(category.name, make_transform(R, translation), size, confidence, (confidence_y, confidence_x))
