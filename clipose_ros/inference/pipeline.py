"""Pipeline from one RGB-D frame to the poses of its objects."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import MAX_INSTANCES_LIMIT, NetworkConfig, PoseNodeConfig, SegmentationConfig
from clipose_ros.inference.core_sharing import detects_in_parallel, share_cores
from clipose_ros.inference.pass_plan import PassPlan
from clipose_ros.inference.pass_schedule import PassSchedule
from clipose_ros.inference.point_cloud import extract_cloud
from clipose_ros.inference.pose_checks import check_poses
from clipose_ros.segmentation.base import Segmenter
from clipose_ros.segmentation.factory import create_segmenter
from clipose_ros.types import (
    FloatArray,
    FrameResult,
    InstanceMask,
    ObjectCloud,
    PoseEstimate,
    Rejection,
    RgbdFrame,
    StageTimes,
)

DoubtFn = Callable[[Sequence[ObjectCloud]], FloatArray]
"""Doubt ``(B,)`` about the pose of each cloud before it is predicted, 0 for none."""


class PosePredictor(Protocol):
    """Predictor of poses from point clouds, such as ``inference.predictor.Predictor``."""

    @property
    def categories(self) -> CategorySet:
        """Return the categories that can be predicted."""
        ...

    @property
    def device(self) -> str:
        """Return the device that computes, such as ``cpu`` or ``cuda:0``."""
        ...

    def predict(self, points_camera: FloatArray, categories: Sequence[str]) -> list[PoseEstimate]:
        """Predict one pose for each cloud of ``(B, N, 3)`` float32 points, metres, camera optical frame."""
        ...


@runtime_checkable
class PassPredictor(Protocol):
    """Predictor that can run a single pass of test-time augmentation for some of the clouds."""

    @property
    def has_refiner(self) -> bool:
        """Return True if a pass is two runs: of a coarse network and of its refiner."""
        ...

    def predict_passes(
        self, points_camera: FloatArray, categories: Sequence[str], plan: PassPlan
    ) -> list[PoseEstimate]:
        """Predict one pose for each cloud, see ``Predictor.predict_passes``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class DetectedFrame:
    """A frame whose objects are found and have no poses yet.

    Attributes:
        frame: The frame.
        config: Settings that hold for this frame.
        clouds: Point clouds of the instances of the enabled categories by descending score, at most
            ``segmentation.max_instances``.
        rejections: Pixels that the segmenter could not interpret, and instances without a cloud.
        times: Times of segmentation and point clouds.
    """

    frame: RgbdFrame
    config: PoseNodeConfig
    clouds: tuple[ObjectCloud, ...]
    rejections: tuple[Rejection, ...]
    times: StageTimes


class PosePipeline:
    """Segmentation, point clouds, network and pose checks, in that order.

    ``detect`` and ``estimate`` may run in different threads at the same time, for successive frames; neither may run
    twice at once. ``reconfigure`` belongs to the thread of ``detect``.

    Args:
        segmenter: Segmentation of the instances.
        predictor: Prediction of a pose from each cloud.
        config: Settings; those marked live can be changed by ``reconfigure``.

    Attributes:
        is_parallel: True if ``detect`` should run in parallel with ``estimate`` of the frame before, by
            ``segmentation.parallel``.

    Raises:
        ConfigError: ``config.categories`` names a category that the predictor does not have.
    """

    def __init__(self, segmenter: Segmenter, predictor: PosePredictor, config: PoseNodeConfig) -> None:
        self.segmenter = segmenter
        self.predictor = predictor
        self.is_parallel = detects_in_parallel(config.segmentation, predictor.device)
        self._schedule = create_schedule(predictor)
        self.reconfigure(config)

    @classmethod
    def from_config(cls, config: PoseNodeConfig, live: bool = False) -> PosePipeline:
        """Load the network and the segmentation backend that the settings name.

        Args:
            config: Settings.
            live: True if ``is_parallel`` is obeyed: detector and network share the cores then. False if both use all.

        Raises:
            CheckpointError: The model file is missing, corrupt or of another architecture.
            DeviceError: The device does not exist on this machine.
            SegmentationError: The backend cannot be set up.
            ConfigError: A category or class map does not exist in the model.
        """
        # imports torch, which the types alone do not need
        from clipose_ros.inference.predictor import Predictor, resolve_device

        shared = share_cores(config, resolve_device(config.network.device)) if live else config
        predictor = Predictor.from_config(shared.network)
        _enabled_names(config, predictor.categories)  # a wrong name fails before the segmenter's weights are loaded
        predictor.warm_up(config.cloud.points)
        segmenter = create_segmenter(shared.segmentation, predictor.categories, predictor.device)
        return cls(segmenter, predictor, config)

    def reconfigure(self, config: PoseNodeConfig) -> None:
        """Apply live settings from the next frame on; other settings are ignored.

        Raises:
            ConfigError: ``config.categories`` names a category that the predictor does not have; nothing changes.
        """
        enabled = _enabled_names(config, self.predictor.categories)
        self.segmenter.reconfigure(_segmenter_config(config))
        self._config, self._enabled = config, enabled

    def process(self, frame: RgbdFrame, doubt_of: DoubtFn | None = None) -> FrameResult:
        """Estimate the pose of every object of a frame: ``detect``, then ``estimate``, which describe the arguments.

        Raises:
            SegmentationError: The backend cannot use this frame.
        """
        return self.estimate(self.detect(frame), doubt_of)

    def detect(self, frame: RgbdFrame) -> DetectedFrame:
        """Find the objects of a frame and extract their point clouds.

        Args:
            frame: One registered colour and depth image.

        Raises:
            SegmentationError: The backend cannot use this frame.
        """
        config = self._config
        start = time.perf_counter()
        segmentation = self.segmenter.segment(frame)
        # Disabled categories are dropped first, so that they do not count towards max_instances.
        enabled = [i for i in segmentation if isinstance(i, InstanceMask) and i.category in self._enabled]
        enabled.sort(key=lambda instance: -instance.score)
        segmented = time.perf_counter()
        results = [extract_cloud(frame, item, config.cloud) for item in enabled[: config.segmentation.max_instances]]
        extracted = time.perf_counter()
        return DetectedFrame(
            frame,
            config,
            clouds=tuple(result for result in results if isinstance(result, ObjectCloud)),
            rejections=tuple(item for item in (*segmentation, *results) if isinstance(item, Rejection)),
            times=StageTimes(1e3 * (segmented - start), 1e3 * (extracted - segmented), 0.0),
        )

    def estimate(self, detected: DetectedFrame, doubt_of: DoubtFn | None = None) -> FrameResult:
        """Estimate the pose of every detected object, all objects in one batch.

        Args:
            detected: Result of ``detect``, whose settings hold.
            doubt_of: Returns the doubt ``(B,)`` about each object before it is posed, such as
                ``Tracker.compute_doubt``; ``PassSchedule`` chooses the passes of each object by it. None gives all
                passes to all objects.

        Returns:
            Poses with their clouds in order of detection score, rejected instances with the reason, and the time of
            each stage. The ``score`` of a pose is the detection score times that of ``Predictor.predict``.
        """
        config, clouds = detected.config, detected.clouds
        start = time.perf_counter()
        poses = self._predict_poses(clouds, config.network, doubt_of)
        network_ms = 1e3 * (time.perf_counter() - start)
        verdicts = check_poses(poses, clouds, config.check, self.predictor.categories)
        pose_rejections = [verdict for verdict in verdicts if verdict is not None]
        return FrameResult(
            poses=tuple(pose for pose, verdict in zip(poses, verdicts, strict=True) if verdict is None),
            clouds=tuple(cloud for cloud, verdict in zip(clouds, verdicts, strict=True) if verdict is None),
            rejections=(*detected.rejections, *pose_rejections),
            times=dataclasses.replace(detected.times, network_ms=network_ms),
        )

    def _predict_poses(
        self, clouds: Sequence[ObjectCloud], network: NetworkConfig, doubt_of: DoubtFn | None
    ) -> list[PoseEstimate]:
        """Return one pose per cloud, with its final score."""
        if not clouds:
            return []
        points_camera = np.stack([cloud.points_camera for cloud in clouds])
        # One batch: the engine shares its threads, or its launches on a GPU, among all objects of the frame.
        categories = [cloud.instance.category for cloud in clouds]
        if doubt_of is None or not isinstance(self.predictor, PassPredictor):
            poses = self.predictor.predict(points_camera, categories)
        else:
            plan = self._schedule.assign(doubt_of(clouds), network)
            start = time.perf_counter()
            poses = self.predictor.predict_passes(points_camera, categories, plan)
            self._schedule.record(plan, network, 1e3 * (time.perf_counter() - start))
        return [
            dataclasses.replace(pose, score=pose.score * cloud.instance.score)
            for pose, cloud in zip(poses, clouds, strict=True)
        ]


def create_schedule(predictor: PosePredictor) -> PassSchedule:
    """Create the schedule of the passes of a predictor."""
    return PassSchedule(isinstance(predictor, PassPredictor) and predictor.has_refiner)


def _enabled_names(config: PoseNodeConfig, categories: CategorySet) -> frozenset[str]:
    """Return the names of the enabled categories; an empty setting enables all."""
    return frozenset(categories[name].name for name in config.categories) or frozenset(categories.names)


def _segmenter_config(config: PoseNodeConfig) -> SegmentationConfig:
    """Return the segmenter's settings. If categories are filtered, disabled ones must not use up ``max_instances``."""
    if not config.categories:
        return config.segmentation
    return dataclasses.replace(config.segmentation, max_instances=MAX_INSTANCES_LIMIT)
