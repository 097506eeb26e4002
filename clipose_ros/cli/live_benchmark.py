"""End to end: a camera process, a node process, and a subscriber in this one, for a while."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clipose_ros.benchmark.process_usage import ProcessUsageMeter
from clipose_ros.cli.live_system import LiveSystem, live_system, ros_arguments
from clipose_ros.resources import config_path

_SETTLING_S = 2.0  # after the first answer: tracks are born, queues empty
_LOOK_EVERY_S = 0.5


@dataclass(frozen=True)
class LiveCase:
    """What is shown to the node, and for how long it is watched.

    Attributes:
        objects: On the table.
        seconds: Watched, once answers come.
        rate_hz: Images per second.
        segmenter: Its name in the tables.
        node: Parameters of the pose node; segmentation by label images unless they say otherwise.
        camera: More parameters of the synthetic camera.
    """

    objects: int
    seconds: float
    rate_hz: float = 30.0
    segmenter: str = "labels"
    node: Mapping[str, Any] = field(default_factory=dict)
    camera: Mapping[str, Any] = field(default_factory=dict)


def run_live(case: LiveCase, folder: Path) -> dict[str, Any]:
    """Run one case; everything started for it has ended when this returns.

    The camera renders before the node starts, and then replays: it costs the node nothing but what a driver would.

    Args:
        case: What to run.
        folder: For the logs of both processes.

    Returns:
        Plain values for JSON: rate, drops, latencies from stamp to subscriber, errors, start-up, cost of the processes.

    Raises:
        SubprocessDiedError: Camera or node ended by itself.
        SilenceError: The node never answered.
    """
    with live_system(folder, pictures=False) as system:
        camera = system.start_camera(
            "clipose_ros.ros_tools.synthetic_camera",
            *ros_arguments({"objects": case.objects, "rate_hz": case.rate_hz, **case.camera}),
        )
        system.wait_until(lambda: system.observer.summary()["frames_in"] > 0, "a frame of the camera")
        begun = time.monotonic()
        node = system.start_node(*ros_arguments(case.node, config_path("demo.yaml")))
        system.wait_until(lambda: system.observer.answered, "an answer of the pose node")
        start_s = time.monotonic() - begun
        _watch(system, {}, _SETTLING_S)
        meters = {
            "camera": ProcessUsageMeter(camera.pid),
            "node": ProcessUsageMeter(node.pid),
            "subscriber": ProcessUsageMeter(os.getpid()),
        }
        system.observer.begin()
        _watch(system, meters, case.seconds)
        summary = system.observer.summary()
    answered = summary["frames_in"] - summary["dropped"]
    return {
        "objects": case.objects,
        "segmenter": case.segmenter,
        "asked_hz": case.rate_hz,
        "seconds": case.seconds,
        "start_s": round(start_s, 2),
        "objects_posed": sum(figures["count"] for figures in summary["categories"].values()) / max(answered, 1),
        **summary,
        "processes": {name: asdict(meter.usage()) for name, meter in meters.items()},
    }


def _watch(system: LiveSystem, meters: Mapping[str, ProcessUsageMeter], seconds: float) -> None:
    """Let it run, looking now and then whether all processes still do."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0.0:
        time.sleep(min(_LOOK_EVERY_S, left))
        system.check()
        for meter in meters.values():
            meter.look()
