"""End-to-end benchmark: a camera process, a pose node process and a subscriber in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipose_ros.benchmark.process_usage import ProcessUsageMeter
from clipose_ros.benchmark.rows import LiveRow
from clipose_ros.cli.live_system import LiveSystem, live_system, ros_arguments
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


def run_live(case: LiveCase, folder: Path) -> LiveRow:
    """Run one end-to-end measurement; the processes that it starts have ended on return.

    The camera renders its images before the node starts and replays them during the measurement, so its CPU usage is
    like that of a camera driver.

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
    return LiveRow(
        case.objects,
        case.segmenter,
        case.rate_hz,
        case.seconds,
        round(start_s, 2),
        summary.objects_per_answer,
        summary,
        {name: meter.usage() for name, meter in meters.items()},
    )


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
