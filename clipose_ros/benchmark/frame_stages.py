"""Stages of processing one frame with five objects, each as a separate call."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clipose_ros.benchmark.inputs import BenchmarkInputs
from clipose_ros.categories import CategorySet
from clipose_ros.config import CheckConfig, CloudConfig, SegmentationConfig, TrackingConfig
from clipose_ros.inference.pipeline import PosePredictor
from clipose_ros.inference.point_cloud import extract_cloud
from clipose_ros.inference.pose_checks import check_poses
from clipose_ros.segmentation.factory import create_segmenter
from clipose_ros.segmentation.labels import LabelSegmenter
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import FrameResult, ObjectCloud, PoseEstimate, StageTimes, TrackedObject
from clipose_ros.visualization.draw import draw_tracks

FRAME_NS = 33_333_333
"""Interval between frames at 30 Hz, nanoseconds."""


@dataclass(frozen=True)
class ProcessedFrame:
    """Results of all stages for one frame, the inputs of later stages.

    Attributes:
        clouds: Point cloud of each object.
        poses: Estimated pose of each object.
        result: Poses and clouds as passed to the tracker.
        tracks: Tracked objects.
    """

    clouds: list[ObjectCloud]
    poses: list[PoseEstimate]
    result: FrameResult
    tracks: list[TrackedObject]


def process_frame(inputs: BenchmarkInputs, predictor: PosePredictor) -> ProcessedFrame:
    """Estimate and track the poses of all objects of the frame; pose checks are skipped, so that none is rejected."""
    clouds = inputs.object_clouds()
    poses = predictor.predict(
        np.stack([cloud.points_camera for cloud in clouds]), [cloud.instance.category for cloud in clouds]
    )
    result = FrameResult(tuple(poses), tuple(clouds), (), StageTimes(0.0, 0.0, 0.0))
    tracks = Tracker(TrackingConfig(), predictor.categories).update(result, 0, np.eye(4), confirm=True)
    return ProcessedFrame(clouds, poses, result, tracks)


def frame_stages(
    inputs: BenchmarkInputs, predictor: PosePredictor, processed: ProcessedFrame
) -> dict[str, Callable[[], object]]:
    """Return a call of each stage between input and output messages, by name of the stage."""
    frame, cloud_config, check = inputs.frame, CloudConfig(), CheckConfig()
    labels = LabelSegmenter(SegmentationConfig(backend="labels"), predictor.categories)
    stacked = np.stack([cloud.points_camera for cloud in processed.clouds])
    names = [cloud.instance.category for cloud in processed.clouds]
    masks = [cloud.instance for cloud in processed.clouds]
    tracker, stamps = Tracker(TrackingConfig(), predictor.categories), itertools.count(0, FRAME_NS)
    return {
        "segmentation, labels": lambda: labels.segment(frame),
        "point clouds": lambda: [extract_cloud(frame, instance, cloud_config) for instance in masks],
        "network": lambda: predictor.predict(stacked, names),
        "pose checks": lambda: check_poses(processed.poses, processed.clouds, check, predictor.categories),
        "tracking": lambda: tracker.update(processed.result, next(stamps), np.eye(4)),
        "drawing": lambda: draw_tracks(frame.rgb, processed.tracks, frame.intrinsics, masks),
    }


def segmentation_stage(
    config: SegmentationConfig, categories: CategorySet, device: str, inputs: BenchmarkInputs
) -> Callable[[], object]:
    """Return a call that segments the frame with a given segmenter.

    Raises:
        SegmentationError: The segmenter cannot be created.
    """
    segmenter = create_segmenter(config, categories, device)
    return lambda: segmenter.segment(inputs.frame)
