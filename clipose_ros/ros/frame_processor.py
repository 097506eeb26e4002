"""Processing of one frame: conversion, poses, tracks, publication."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from clipose_ros.config import PoseNodeConfig
from clipose_ros.decoding.calibration import CalibrationReader
from clipose_ros.decoding.frame_checks import (
    describe_camera_axes,
    describe_camera_frame,
    describe_depth_unit,
    describe_shift,
)
from clipose_ros.decoding.frames import read_frame
from clipose_ros.decoding.messages import FrameMessages, Topics
from clipose_ros.errors import SegmentationError
from clipose_ros.geometry.alignment import ShiftDetector
from clipose_ros.inference.pipeline import DetectedFrame, PosePipeline
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.publishers import Publishers
from clipose_ros.ros.transforms import Transforms
from clipose_ros.tracking.published_frame import PublishedFrame, select_tracks
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import FloatArray, FrameResult, Rejection, RejectionReason, RgbdFrame, TrackedObject

_CHECK_REMEDIES = {
    RejectionReason.CENTRE_OUTSIDE_POINTS: "is depth registered to colour, does the mask cover one object? The limit "
    "is check.centre_tolerance",
    RejectionReason.SIZE_CONTRADICTS_POINTS: "does the mask cover one object, and all of it? The limits are "
    "check.size_tolerance and check.max_occlusion_ratio",
    RejectionReason.TOO_LARGE_FOR_CATEGORY: "is it of that category, and depth in the right unit? The limit is "
    "check.category_tolerance",
    RejectionReason.NOT_FINITE: "the model is damaged or its engine has a fault: try another network.engine",
}
_LACKS_DEPTH = (RejectionReason.TOO_FEW_POINTS, RejectionReason.NO_DEPTH)


@dataclass(frozen=True, slots=True)
class RosInterfaces:
    """Parts of the node that a frame processor uses.

    Attributes:
        topics: Names of the input topics, for messages.
        transforms: Lookup of the camera's pose in other frames.
        publishers: Publishers of the results.
        diagnostics: Collector of latencies, rejections and problems.
    """

    topics: Topics
    transforms: Transforms
    publishers: Publishers
    diagnostics: NodeDiagnostics


class FrameProcessor:
    """Runs pipeline and tracker on frames and publishes the results, in two steps: ``detect``, then ``estimate``.

    The steps may run in different threads at the same time, for successive frames; neither may run twice at once.
    """

    def __init__(self, pipeline: PosePipeline, config: PoseNodeConfig, ros: RosInterfaces) -> None:
        self._pipeline = pipeline
        self._topics, self._transforms, self._publishers = ros.topics, ros.transforms, ros.publishers
        self._diagnostics = ros.diagnostics
        self._detection_config = self._config = config  # of the last frame of each step
        self._tracker = Tracker(config.tracking, pipeline.predictor.categories)
        self._calibrations = CalibrationReader(config.sync.rectify, partial(self._diagnostics.hint, "calibration"))
        self._shifts = ShiftDetector()
        self._reset_requested = threading.Event()

    @property
    def is_parallel(self) -> bool:
        """Return True if both steps should run at the same time."""
        return self._pipeline.is_parallel

    def reset(self) -> None:
        """Forget all tracks. May only be called while no frame is estimated, or by the thread that estimates."""
        self._tracker.reset()

    def request_reset(self) -> None:
        """Forget all tracks before the next estimate; any thread may call this."""
        self._reset_requested.set()

    def detect(self, messages: FrameMessages, config: PoseNodeConfig) -> DetectedFrame:
        """Convert a frame and find its objects.

        Args:
            messages: Matched input messages.
            config: Settings that hold for this frame.

        Raises:
            CliposeError: The input is unusable.
        """
        if config is not self._detection_config:
            self._pipeline.reconfigure(config)
            self._detection_config = config
        started_s = time.perf_counter()
        frame = read_frame(messages, self._topics, self._calibrations)
        self._check(frame, messages)
        self._diagnostics.latency("conversion", 1e3 * (time.perf_counter() - started_s))
        try:
            return self._pipeline.detect(frame)
        except SegmentationError as error:  # the topic of the pixels is known only here
            topic = self._topics.color
            if frame.labels is not None or frame.boxes is not None:
                topic = self._topics.boxes if frame.labels is None else self._topics.labels
            raise SegmentationError(f"'{topic}': {error}") from error

    def estimate(self, detected: DetectedFrame, confirm: bool) -> Sequence[TrackedObject]:
        """Estimate, track and publish the poses of the objects of a frame.

        Args:
            detected: Result of ``detect``, whose settings hold.
            confirm: Publish objects on their first observation, regardless of ``tracking.min_hits``, with the poses of
                this frame alone and with all passes of the network.

        Returns:
            The published tracks.

        Raises:
            CliposeError: TF lacks a required transform; nothing was published.
        """
        frame = detected.frame
        if self._reset_requested.is_set():
            self._reset_requested.clear()
            self._tracker.reset()
        if detected.config is not self._config:
            self._config = detected.config
            self._tracker.reconfigure(self._config.tracking)
        # The doubt about the objects and the tracks need the same transform; a frame without objects needs it once.
        tracking_frame = functools.cache(lambda: self._lookup(self._config.tracking.frame, frame, "tracking.frame"))
        doubt_of = None if confirm else lambda clouds: self._tracker.compute_doubt(clouds, tracking_frame())
        result = self._pipeline.estimate(detected, doubt_of)
        self._record(result)
        posed_s = time.perf_counter()
        tracks = self._tracker.update(result, frame.stamp_ns, tracking_frame(), confirm=confirm)
        posed = self._select_tracks(frame, result, tracks)
        tracked_s = time.perf_counter()
        self._publishers.publish(posed, self._config.publish)
        self._diagnostics.latency("tracking", 1e3 * (tracked_s - posed_s))
        self._diagnostics.latency("publishing", 1e3 * (time.perf_counter() - tracked_s))
        return posed.tracks

    def _check(self, frame: RgbdFrame, messages: FrameMessages) -> None:
        """Report what makes the poses of a frame doubtful although it can be processed."""
        for warning in self._calibrations.warnings:
            self._diagnostics.warning("calibration", warning)
        unit = describe_depth_unit(messages.depth, frame, self._topics.depth)
        if unit is not None:
            self._diagnostics.warning("depth_unit", unit)
        shift = self._shifts.update(frame)
        if shift is not None:
            self._diagnostics.warning(
                "alignment", describe_shift(shift.right, shift.down, self._topics.depth, self._topics.color)
            )
        hint = describe_camera_frame(frame.frame_id)
        if hint is not None:
            self._diagnostics.hint("camera_frame", hint)

    def _select_tracks(self, frame: RgbdFrame, result: FrameResult, tracks: Sequence[TrackedObject]) -> PublishedFrame:
        """Count the tracks, select those to publish and express them in the target frame."""
        publish = self._config.publish
        self._diagnostics.count("objects_coasting", self._tracker.track_counts.coasting)
        self._diagnostics.count("tracks_lost", self._tracker.track_counts.lost)
        T_frame_camera = self._lookup(publish.target_frame, frame, "publish.target_frame")
        published = select_tracks(frame, result, tracks, T_frame_camera, publish)
        if published.left_out:
            self._report_not_finite(published.left_out)
        return published

    def _report_not_finite(self, dropped: Sequence[str]) -> None:
        self._diagnostics.count("objects_not_finite", len(dropped))
        self._diagnostics.warning(
            "not_finite",
            f"{', '.join(dropped)} left out: a value of pose, size or covariance is not finite; check the calibration "
            f"on '{self._topics.info}' and the transforms on '/tf'",
        )

    def _lookup(self, target: str, frame: RgbdFrame, parameter: str) -> FloatArray:
        timeout_s = self._config.publish.tf_timeout_s
        T_target_camera = self._transforms.lookup(
            target or frame.frame_id, frame.frame_id, frame.stamp_ns, timeout_s, parameter
        )
        turned = describe_camera_axes(frame.frame_id, target, T_target_camera) if target else None
        if turned is not None:
            self._diagnostics.warning("camera_frame", turned)
        return T_target_camera

    def _record(self, result: FrameResult) -> None:
        times = result.times
        for stage, duration_ms in (
            ("segmentation", times.segmentation_ms),
            ("point_cloud", times.cloud_ms),
            ("network", times.network_ms),
        ):
            self._diagnostics.latency(stage, duration_ms)
        for rejection in result.rejections:
            self._diagnostics.count("rejections")
            self._diagnostics.count(f"rejections.{rejection.reason.name.lower()}")
            if rejection.reason is not RejectionReason.LOW_SCORE:
                self._diagnostics.warning(
                    f"rejection.{rejection.reason.name.lower()}", self._describe_rejection(rejection)
                )

    def _describe_rejection(self, rejection: Rejection) -> str:
        text = f"a {rejection.category} got no pose: {rejection.reason.value} ({rejection.detail})"
        if rejection.reason is RejectionReason.UNKNOWN_LABEL:
            return (
                f"'{self._topics.labels}': {text}: label everything else 0, or list the values in "
                "segmentation.label_ids"
            )
        if rejection.reason in _LACKS_DEPTH:
            return (
                f"'{self._topics.depth}': {text}: check that it lies between cloud.depth_min_m and "
                "cloud.depth_max_m; dark and glossy surfaces have little depth; cloud.min_points is the minimum"
            )
        return f"'{self._topics.color}': {text}: {_CHECK_REMEDIES[rejection.reason]}"
