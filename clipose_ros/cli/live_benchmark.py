"""End-to-end benchmark: a camera process, a pose node process and a subscriber in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clipose_ros.benchmark.process_usage import ProcessUsage, ProcessUsageMeter
from clipose_ros.cli.live_system import LiveSystem, live_system, ros_arguments
from clipose_ros.evaluation.runs.live_statistics import LiveSummary
from clipose_ros.resources import config_path

SETTLING_S = 2.0
"""Time from the first answer to the measurement, in which tracks are confirmed and queues empty, seconds."""
_CHECK_INTERVAL_S = 0.5


@dataclass(frozen=True)
class LiveCase:
    """Settings of one end-to-end measurement.

    Attributes:
        objects: Number of objects on the table.
        seconds: Duration of the measurement, which begins after the first answer.
        rate_hz: Images per second.
        segmenter: Name of the segmenter in the result tables.
        node: Parameters of the pose node. Label images are used for segmentation unless these choose another segmenter.
        camera: Further parameters of the synthetic camera.
    """

    objects: int
    seconds: float
    rate_hz: float = 30.0
    segmenter: str = "labels"
    node: Mapping[str, Any] = field(default_factory=dict)
    camera: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LiveResult:
    """Result of one end-to-end measurement.

    Attributes:
        case: Settings of the measurement.
        start_s: Time from the start of the node process to its first answer, seconds.
        summary: Frame counts, rate, latency and errors.
        processes: CPU and memory usage by name: ``camera``, ``node``, ``subscriber``.
    """

    case: LiveCase
    start_s: float
    summary: LiveSummary
    processes: Mapping[str, ProcessUsage]

    @property
    def objects_posed(self) -> float:
        """Return the mean number of published objects per answered frame."""
        published = sum(category.count for category in self.summary.categories.values())
        return published / max(self.summary.frames_answered, 1)

    def as_record(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "objects": self.case.objects,
            "segmenter": self.case.segmenter,
            "asked_hz": self.case.rate_hz,
            "seconds": self.case.seconds,
            "start_s": round(self.start_s, 2),
            "objects_posed": self.objects_posed,
            **self.summary.as_record(),
            "processes": {name: asdict(usage) for name, usage in self.processes.items()},
        }


def run_live(case: LiveCase, folder: Path) -> LiveResult:
    """Run one end-to-end measurement. All processes started for it have ended on return.

    The camera renders its images before the node starts and replays them afterwards, so its CPU usage during the
    measurement is that of a camera driver.

    Args:
        case: Settings of the measurement.
        folder: Folder for the logs of both processes.

    Returns:
        Frame counts, latency from stamp to subscriber, errors, start-up time and usage of the processes.

    Raises:
        SubprocessDiedError: The camera or the node ended unexpectedly.
        SilenceError: The node never answered.
    """
    with live_system(folder, debug_images=False) as system:
        camera = system.start_camera(
            "clipose_ros.ros_tools.synthetic_camera",
            *ros_arguments({"objects": case.objects, "rate_hz": case.rate_hz, **case.camera}),
        )
        system.wait_until(lambda: system.observer.summary().frames_in > 0, "a frame of the camera")
        start = time.monotonic()
        node = system.start_node(*ros_arguments(case.node, config_path("demo.yaml")))
        system.wait_until(lambda: system.observer.has_detections, "an answer of the pose node")
        start_s = time.monotonic() - start
        _run_for(system, {}, SETTLING_S)
        meters = {
            "camera": ProcessUsageMeter(camera.pid),
            "node": ProcessUsageMeter(node.pid),
            "subscriber": ProcessUsageMeter(os.getpid()),
        }
        system.observer.reset_statistics()
        _run_for(system, meters, case.seconds)
        summary = system.observer.summary()
    return LiveResult(case, start_s, summary, {name: meter.usage() for name, meter in meters.items()})


def _run_for(system: LiveSystem, meters: Mapping[str, ProcessUsageMeter], seconds: float) -> None:
    """Sample the usage of the processes for some time.

    Raises:
        SubprocessDiedError: A process ended unexpectedly.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0.0:
        time.sleep(min(_CHECK_INTERVAL_S, left))
        system.check()
        for meter in meters.values():
            meter.sample()
