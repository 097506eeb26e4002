"""Poses of every frame of a recording, as the pose node computes them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

import numpy as np

from clipose_ros.config import PoseNodeConfig
from clipose_ros.data.bags.recording import RecordedFrame, RecordedObject, Recording
from clipose_ros.data.prefetch import prefetched
from clipose_ros.decoding.frame_checks import describe_camera_axes
from clipose_ros.errors import CliposeError, ConfigError
from clipose_ros.inference.pipeline import DetectedFrame, PosePipeline
from clipose_ros.plugins import BUILTIN_SEGMENTERS
from clipose_ros.tracking.published_frame import PublishedFrame, select_tracks
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import FloatArray, RgbdFrame

STAGES = ("reading", "segmentation", "point_cloud", "network", "tracking")
"""Stages whose times are measured, in their order."""


@dataclass(frozen=True, slots=True, eq=False)
class ProcessedFrame:
    """Result of one frame of a recording.

    Attributes:
        stamp_ns: Stamp of the colour image, nanoseconds.
        published: What the pose node would publish; None if the frame could not be used.
        fault: Why it could not be used; empty if it could.
        truths: True objects; None if they are not known.
        progress: Fraction of the recording up to this frame, 0 to 1.
        times_ms: Wall time by stage, milliseconds.
    """

    stamp_ns: int
    published: PublishedFrame | None
    fault: str
    truths: tuple[RecordedObject, ...] | None
    progress: float
    times_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _DetectedRecord:
    """Frame of a recording whose objects are found, or not."""

    recorded: RecordedFrame
    detected: DetectedFrame | None
    fault: str
    reading_ms: float


class RecordingProcessor:
    """Runs pipeline and tracker on every frame of a recording. Detection works on the next frame meanwhile.

    Args:
        recording: The recording.
        pipeline: Pipeline; it is used by one processor at a time.
        config: Settings of the pose node.

    Attributes:
        notes: What makes the poses doubtful, each once.

    Raises:
        ConfigError: The segmentation backend takes detections of another program, which recordings do not give.
    """

    def __init__(self, recording: Recording, pipeline: PosePipeline, config: PoseNodeConfig) -> None:
        row = BUILTIN_SEGMENTERS.get(config.segmentation.backend)
        self._with_labels = row is not None and row.frame_input == "labels"
        if row is not None and row.frame_input == "boxes":
            raise ConfigError(
                f"segmentation.backend '{config.segmentation.backend}' takes boxes of a running detector: choose "
                "another one for recordings, such as --segmenter shipped"
            )
        self._recording, self._pipeline, self._config = recording, pipeline, config
        self._tracker = Tracker(config.tracking, pipeline.predictor.categories)
        self.notes: list[str] = []

    def run(self) -> Generator[ProcessedFrame]:
        """Yield the result of every frame in the order of the recording."""
        with prefetched(self._detect()) as records:
            for record in records:
                yield self._estimate(record)

    def _detect(self) -> Iterator[_DetectedRecord]:
        """Read the frames and find their objects."""
        start_s = time.perf_counter()
        for recorded in self._recording.frames(self._config.sync, with_labels=self._with_labels):
            reading_ms = 1e3 * (time.perf_counter() - start_s)
            detected, fault = None, recorded.fault
            if recorded.frame is not None:
                try:
                    detected = self._pipeline.detect(recorded.frame)
                except CliposeError as error:
                    fault = str(error)
            yield _DetectedRecord(recorded, detected, fault, reading_ms)
            start_s = time.perf_counter()

    def _estimate(self, record: _DetectedRecord) -> ProcessedFrame:
        """Estimate and track the poses of a frame."""
        recorded, published, fault = record.recorded, None, record.fault
        times = {"reading": record.reading_ms}
        if record.detected is not None:
            try:
                published = self._track(record.detected, times)
            except CliposeError as error:
                fault = str(error)
        return ProcessedFrame(recorded.stamp_ns, published, fault, recorded.truths, recorded.progress, times)

    def _track(self, detected: DetectedFrame, times: dict[str, float]) -> PublishedFrame:
        frame, config = detected.frame, self._config
        T_tracking_camera = self._lookup(config.tracking.frame, frame)
        result = self._pipeline.estimate(
            detected, lambda clouds: self._tracker.compute_doubt(clouds, T_tracking_camera)
        )
        start_s = time.perf_counter()
        tracks = self._tracker.update(result, frame.stamp_ns, T_tracking_camera)
        target = self._lookup(config.publish.target_frame, frame)
        published = select_tracks(frame, result, tracks, target, config.publish)
        times |= {
            "segmentation": result.times.segmentation_ms,
            "point_cloud": result.times.cloud_ms,
            "network": result.times.network_ms,
            "tracking": 1e3 * (time.perf_counter() - start_s),
        }
        return published

    def _lookup(self, target: str, frame: RgbdFrame) -> FloatArray:
        if not target:  # the recording is not read for transforms that nobody needs
            return np.eye(4)
        T = self._recording.transforms.lookup(target, frame.frame_id, frame.stamp_ns)
        turned = describe_camera_axes(frame.frame_id, target, T)
        if turned is not None and turned not in self.notes:
            self.notes.append(turned)
        return T
