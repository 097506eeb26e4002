"""One frame's way: messages, frame, poses, tracks, publication."""

from __future__ import annotations

import time
from collections.abc import Sequence

from clipose_ros.config import PoseNodeConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.ros.conversions import FrameMessages, Topics, read_frame
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.publishers import PublishedFrame, Publishers
from clipose_ros.ros.transforms import Transforms
from clipose_ros.tracking.frames import express_in
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import FloatArray, FrameResult, Rejection, RejectionReason, RgbdFrame, TrackedObject

_LACKS_DEPTH = (RejectionReason.TOO_FEW_POINTS, RejectionReason.NO_DEPTH)


class FrameProcessor:
    """Sends frames through pipeline and tracker and publishes what comes out. Only the worker's thread calls it."""

    def __init__(
        self,
        pipeline: PosePipeline,
        config: PoseNodeConfig,
        topics: Topics,
        transforms: Transforms,
        publishers: Publishers,
        health: NodeDiagnostics,
    ) -> None:
        self._pipeline, self._transforms, self._publishers, self._health = pipeline, transforms, publishers, health
        self._topics = topics
        self._config = config
        self._tracker = Tracker(config.tracking, pipeline.predictor.categories)

    def reset(self) -> None:
        """Forget all tracks."""
        self._tracker.reset()

    def reconfigure(self, config: PoseNodeConfig) -> None:
        """Take over settings that changed."""
        if config is not self._config:
            self._pipeline.reconfigure(config)
            self._tracker.reconfigure(config.tracking)
            self._config = config

    def pose(self, messages: FrameMessages, at_once: bool) -> Sequence[TrackedObject]:
        """Pose a frame and publish it.

        Args:
            messages: The matched set.
            at_once: Publish what this one frame shows, not waiting for more frames to confirm it.

        Returns:
            What was published.

        Raises:
            CliposeError: The frame cannot be used, or not be expressed in the frame asked for; nothing was published.
        """
        begun_s = time.perf_counter()
        frame = read_frame(messages, self._topics)
        converted_s = time.perf_counter()
        result = self._segmented_and_posed(frame)
        posed_s = time.perf_counter()
        posed = self._tracked(frame, result, at_once)
        tracked_s = time.perf_counter()
        self._publishers.publish(posed, self._config.publish)
        self._health.latency("conversion", 1e3 * (converted_s - begun_s))
        self._health.latency("tracking", 1e3 * (tracked_s - posed_s))
        self._health.latency("publishing", 1e3 * (time.perf_counter() - tracked_s))
        return posed.tracks

    def _segmented_and_posed(self, frame: RgbdFrame) -> FrameResult:
        try:
            result = self._pipeline.process(frame)
        except SegmentationError as error:  # segmentation knows pixels; which topic they came on is known here
            topic = self._topics.color if frame.labels is None else self._topics.labels
            raise SegmentationError(f"'{topic}': {error}") from error
        self._report(result)
        return result

    def _tracked(self, frame: RgbdFrame, result: FrameResult, at_once: bool) -> PublishedFrame:
        """Give the poses identities and put them into the frame asked for."""
        tracking, publish = self._config.tracking, self._config.publish
        T_tracking_camera = self._lookup(tracking.frame, frame, "tracking.frame")
        tracks = self._tracker.update(result, frame.stamp_ns, T_tracking_camera, confirm=at_once)
        shown = [track for track in tracks if track.seen or publish.coasting]
        T_frame_camera = self._lookup(publish.target_frame, frame, "publish.target_frame")
        moved = express_in(shown, T_frame_camera) if publish.target_frame else shown
        return PublishedFrame(frame, result, shown, moved, publish.target_frame or frame.frame_id, T_frame_camera)

    def _lookup(self, target: str, frame: RgbdFrame, parameter: str) -> FloatArray:
        timeout_s = self._config.publish.tf_timeout_s
        return self._transforms.lookup(target or frame.frame_id, frame.frame_id, frame.stamp_ns, timeout_s, parameter)

    def _report(self, result: FrameResult) -> None:
        times = result.times
        for stage, took_ms in (
            ("segmentation", times.segmentation_ms),
            ("point_cloud", times.cloud_ms),
            ("network", times.network_ms),
        ):
            self._health.latency(stage, took_ms)
        for rejection in result.rejections:
            self._health.count("rejections")
            self._health.count(f"rejections.{rejection.reason.name.lower()}")
            if rejection.reason is not RejectionReason.LOW_SCORE:
                self._health.warning(f"rejection.{rejection.reason.name.lower()}", self._advice(rejection))

    def _advice(self, rejection: Rejection) -> str:
        what = f"a {rejection.category} got no pose: {rejection.reason.value} ({rejection.detail})"
        if rejection.reason is RejectionReason.UNKNOWN_LABEL:
            return f"'{self._topics.labels}': {what}: label everything else 0"
        if rejection.reason in _LACKS_DEPTH:
            return (
                f"'{self._topics.depth}': {what}: is it within cloud.depth_min_m and cloud.depth_max_m, is it dark or "
                "glossy? cloud.min_points says how many points are asked for"
            )
        settings = (
            "check.centre_tolerance, check.size_tolerance, check.max_occlusion_ratio and check.category_tolerance"
        )
        return f"'{self._topics.color}': {what}: see {settings}"
