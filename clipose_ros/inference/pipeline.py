"""One RGB-D frame in, the poses of its objects out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import MAX_INSTANCES_LIMIT, PoseNodeConfig, SegmentationConfig
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


class PosePredictor(Protocol):
    """What the pipeline needs of ``inference.predictor.Predictor``; anything else that poses clouds fits as well."""

    @property
    def categories(self) -> CategorySet:
        """What can be posed."""
        ...

    @property
    def device(self) -> str:
        """Where it computes, such as ``cpu`` or ``cuda:0``."""
        ...

    def predict(self, points_camera: FloatArray, categories: Sequence[str]) -> list[PoseEstimate]:
        """B poses of ``(B, N, 3)`` float32 points, metres, camera optical frame."""
        ...


class PosePipeline:
    """Segmentation, clouds, network and plausibility, in that order.

    Args:
        segmenter: Finds the instances.
        predictor: Poses their clouds.
        config: Settings; those marked live can be changed by ``reconfigure``.

    Raises:
        ConfigError: ``config.categories`` names one that the predictor does not know.
    """

    def __init__(self, segmenter: Segmenter, predictor: PosePredictor, config: PoseNodeConfig) -> None:
        self.segmenter = segmenter
        self.predictor = predictor
        self.reconfigure(config)

    @classmethod
    def from_config(cls, config: PoseNodeConfig) -> PosePipeline:
        """Load the network and the segmentation backend that the settings name.

        Raises:
            CheckpointError: The model file is missing, corrupt or of another architecture.
            DeviceError: The device does not exist on this machine.
            SegmentationError: The backend cannot be set up.
            ConfigError: A category or class map does not exist in the model.
        """
        from clipose_ros.inference.predictor import Predictor  # torch loads here, not where only the types are needed

        predictor = Predictor.from_config(config.network)
        _enabled(config, predictor.categories)  # before the segmenter's weights are loaded in vain
        predictor.warm_up(config.cloud.points)
        segmenter = create_segmenter(config.segmentation, predictor.categories, predictor.device)
        return cls(segmenter, predictor, config)

    def reconfigure(self, config: PoseNodeConfig) -> None:
        """Take over live settings from the next frame on; the others are ignored.

        Raises:
            ConfigError: ``config.categories`` names one that the predictor does not know; nothing changes then.
        """
        enabled = _enabled(config, self.predictor.categories)
        self.segmenter.reconfigure(_asked_for(config))
        self._config, self._enabled = config, enabled

    def process(self, frame: RgbdFrame) -> FrameResult:
        """Pose every object of a frame; all clouds go through the network in one batch.

        Args:
            frame: One registered colour and depth image.

        Returns:
            Poses with their clouds in order of detection score, those that got no pose with the reason, and the time of
            each stage. ``score`` of a pose is the detection score times the pose's confidence.

        Raises:
            SegmentationError: The backend cannot use this frame.
        """
        config, enabled = self._config, self._enabled
        start = time.perf_counter()
        segmentation = self.segmenter.segment(frame)
        unread = [rejection for rejection in segmentation if isinstance(rejection, Rejection)]
        found = [item for item in segmentation if isinstance(item, InstanceMask) and item.category in enabled]
        found = sorted(found, key=lambda instance: -instance.score)[: config.segmentation.max_instances]
        segmented = time.perf_counter()
        clouds, rejections = _clouds(frame, found, config)
        extracted = time.perf_counter()
        poses = self._poses(clouds)
        predicted = time.perf_counter()
        verdicts = check_poses(poses, clouds, config.check, self.predictor.categories)
        rejections = unread + rejections + [verdict for verdict in verdicts if verdict is not None]
        return FrameResult(
            poses=tuple(pose for pose, verdict in zip(poses, verdicts, strict=True) if verdict is None),
            clouds=tuple(cloud for cloud, verdict in zip(clouds, verdicts, strict=True) if verdict is None),
            rejections=tuple(rejections),
            times=StageTimes(
                segmentation_ms=(segmented - start) * 1e3,
                cloud_ms=(extracted - segmented) * 1e3,
                network_ms=(predicted - extracted) * 1e3,
            ),
        )

    def _poses(self, clouds: Sequence[ObjectCloud]) -> list[PoseEstimate]:
        """One pose per cloud, with its final score."""
        if not clouds:
            return []
        points_camera = np.stack([cloud.points_camera for cloud in clouds])
        poses = self.predictor.predict(points_camera, [cloud.instance.category for cloud in clouds])
        return [
            dataclasses.replace(pose, score=pose.score * cloud.instance.score)
            for pose, cloud in zip(poses, clouds, strict=True)
        ]


def _clouds(
    frame: RgbdFrame, found: Sequence[InstanceMask], config: PoseNodeConfig
) -> tuple[list[ObjectCloud], list[Rejection]]:
    """The cloud of each instance, or why it has none."""
    results = [extract_cloud(frame, instance, config.cloud) for instance in found]
    clouds = [result for result in results if isinstance(result, ObjectCloud)]
    return clouds, [result for result in results if isinstance(result, Rejection)]


def _enabled(config: PoseNodeConfig, categories: CategorySet) -> frozenset[str]:
    """Names of the categories to pose."""
    return frozenset(categories[name].name for name in config.categories) or frozenset(categories.names)


def _asked_for(config: PoseNodeConfig) -> SegmentationConfig:
    """What the segmenter is told: where only some categories are posed, the others must not take up their places."""
    if not config.categories:
        return config.segmentation
    return dataclasses.replace(config.segmentation, max_instances=MAX_INSTANCES_LIMIT)
