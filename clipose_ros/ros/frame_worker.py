"""Threads that process the frames: detection, and the estimation of poses, in one thread or in two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rclpy.node import Node

from clipose_ros.config import PoseNodeConfig
from clipose_ros.decoding.messages import FrameMessages
from clipose_ros.errors import CliposeError, one_line
from clipose_ros.inference.pipeline import DetectedFrame
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.frame_processor import FrameProcessor
from clipose_ros.ros.services import DetectOnceService, Outcome, Request
from clipose_ros.ros.worker import ExceptionRelay, Worker

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FrameServices:
    """Parts of the node that the threads use.

    Attributes:
        detect_once: Service whose requests the frames answer.
        diagnostics: Collector of counters and problems.
        settings: Returns the current settings.
        relay: Receives exceptions of the threads outside of frames.
    """

    detect_once: DetectOnceService
    diagnostics: NodeDiagnostics
    settings: Callable[[], PoseNodeConfig]
    relay: ExceptionRelay


@dataclass(frozen=True, slots=True)
class _Job:
    """A matched set, with the number of the frame."""

    number: int
    messages: FrameMessages


@dataclass(frozen=True, slots=True, eq=False)
class _DetectedJob:
    """A frame whose objects are found, with the requests that it answers."""

    requests: Sequence[Request]
    detected: DetectedFrame


class FrameWorker:
    """Processes the newest frame, in the order of arrival.

    If detection runs in parallel with posing, it has a thread of its own. A detected frame waits until the frame before
    is published. Only frames that wait for detection are replaced by newer ones, so that no detection is in vain.

    Args:
        node: Node whose clock and context count.
        processor: Processing of a frame.
        services: Parts of the node.
    """

    def __init__(self, node: Node, processor: FrameProcessor, services: FrameServices) -> None:
        self._node, self._processor, self._services = node, processor, services
        self._estimation: Worker[_DetectedJob] | None = None
        if processor.is_parallel:
            self._estimation = Worker(self._estimate, services.relay, "pose_worker")
        name = "detection_worker" if processor.is_parallel else "pose_worker"
        self._detection: Worker[_Job] = Worker(self._detect, services.relay, name)

    def offer(self, number: int, messages: FrameMessages) -> bool:
        """Pass on a matched set.

        Args:
            number: Number of the frame, from ``DetectOnceService.number_frame``.
            messages: The set.

        Returns:
            True if an older frame, not yet begun, was dropped for it.
        """
        return self._detection.offer(_Job(number, messages))

    def stop(self) -> None:
        """End the threads: the frame whose poses are being estimated is finished, later ones are dropped."""
        workers = [worker for worker in (self._estimation, self._detection) if worker is not None]
        for worker in workers:  # before one of them ends: detection may wait for the estimation
            worker.close()
        for worker in workers:
            worker.stop()

    def _detect(self, job: _Job) -> None:
        """Detect the objects of a frame and pass it on."""
        # One read of the settings per frame: they may be replaced while the frame is processed.
        requests, config = self._services.detect_once.claim(job.number), self._services.settings()
        if not (config.enabled or requests):
            return
        detected = self._attempt(lambda: self._processor.detect(job.messages, config), requests)
        if detected is None:
            return
        found = _DetectedJob(requests, detected)
        if self._estimation is None:
            self._estimate(found)
        else:
            self._estimation.hand_over(found)  # if it is closed, the node refuses the requests

    def _estimate(self, job: _DetectedJob) -> None:
        """Estimate and publish the poses of a frame, and answer its requests."""
        tracks = self._attempt(
            lambda: self._processor.estimate(job.detected, confirm=bool(job.requests)),
            job.requests,
            after_exception=self._processor.reset,  # the exception may have left the tracks half updated
        )
        if tracks is None:
            return
        diagnostics = self._services.diagnostics
        diagnostics.count("frames_processed")
        diagnostics.count("objects_published", len(tracks))
        # From the stamp of the camera to this point, so transport and waiting are included.
        latency_ns = self._node.get_clock().now().nanoseconds - job.detected.frame.stamp_ns
        diagnostics.latency("latency", 1e-6 * latency_ns)
        names = ", ".join(track.name for track in tracks)
        seconds, nanoseconds = divmod(job.detected.frame.stamp_ns, 1_000_000_000)
        # The stamp tells callers which message on ~/detections the reply belongs to.
        text = f"{len(tracks)} objects at {seconds}.{nanoseconds:09}" + (f": {names}" if names else "")
        self._services.detect_once.answer(job.requests, Outcome(True, text))

    def _attempt(
        self, step: Callable[[], T], requests: Sequence[Request], after_exception: Callable[[], None] | None = None
    ) -> T | None:
        """Run a step of a frame. Only this method catches exceptions of a frame, which is left out then.

        Args:
            step: The step.
            requests: Requests that the frame answers; an exception is the answer.
            after_exception: Called after an unexpected exception.

        Returns:
            The result of the step, or None after an exception.
        """
        diagnostics = self._services.diagnostics
        try:
            return step()
        except CliposeError as error:
            diagnostics.count("frames_failed")
            diagnostics.warning("frame", str(error))
            outcome = Outcome(False, one_line(str(error)))
        except Exception as error:  # an input that nobody thought of costs its frame, not the node
            if not self._node.context.ok():  # publishing raises after a shutdown
                raise
            diagnostics.count("frames_failed")
            outcome = Outcome(False, diagnostics.exception("frame_exception", "a frame", error))
            if after_exception is not None:
                after_exception()
        self._services.detect_once.answer(requests, outcome)
        return None
