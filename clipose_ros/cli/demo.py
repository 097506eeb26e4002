"""``demo``: a camera and the pose node as processes of their own, watched for a while.

Without ``--input`` the camera is synthetic; with ``--input`` a folder of real RGB-D frames is played. Writes
``summary.json``, ``demo.mp4``, ``demo.png``, ``pictures/`` and the logs of both processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live

from clipose_ros.cli.demo_output import MediaRecorder, progress_line, summary_text, table
from clipose_ros.cli.live_system import (
    LiveSystem,
    SilenceError,
    live_system,
    ros_arguments,
    set_parameters,
)
from clipose_ros.cli.node_settings import SEGMENTERS, segmenter_settings
from clipose_ros.cli.subprocesses import Subprocess, ended_by_signals
from clipose_ros.data.rgbd_folder import open_rgbd_folder
from clipose_ros.errors import CliposeError, ConfigError
from clipose_ros.resources import config_path

_FIRST_POSE_S = 20.0  # the first clouds are slow: libraries load, kernels are compiled
_TABLE_EVERY_S = 0.2
_LINE_EVERY_S = 3.0
_NAMES = {"shipped": "the shipped detector", "labels": "the camera's own label images"}


class NoPosesError(CliposeError):
    """The demo ran, but nothing was posed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run.

    Attributes:
        camera: Module and arguments of the camera process.
        node: Arguments of the pose node.
        intro: What the user should know beforehand.
        picture_every_s: How often a picture is kept.
    """

    camera: list[str]
    node: list[str]
    intro: str
    picture_every_s: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    console = Console()
    with ended_by_signals():
        try:
            return _run(options, _plan(options), console)
        except CliposeError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("demo: interrupted", file=sys.stderr)
            return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--duration", type=float, default=30.0, metavar="S", help="seconds to watch, once poses can come (30)"
    )
    parser.add_argument(
        "--input", type=Path, metavar="DIR", help="folder of real frames: *color*.png, *depth*.png, intrinsics"
    )
    parser.add_argument(
        "--segmenter",
        default="shipped",
        metavar="WHICH",
        help=f"what finds the objects: {SEGMENTERS} (shipped)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("demo_output"), metavar="DIR", help="where results go (demo_output)"
    )
    parser.add_argument(
        "--model", default="clipose_small", help="pose network: a shipped name or a file (clipose_small)"
    )
    parser.add_argument("--seed", type=int, default=0, help="scene of the synthetic camera (0)")
    parser.add_argument("--rate", type=float, metavar="HZ", help="images per second (30, a folder 15)")
    parser.add_argument(
        "--frames", type=int, default=60, help="frames that the synthetic camera renders beforehand (60)"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="a parameter of the pose node, such as segmentation.score_threshold=0.3; may be repeated",
    )  # fmt: skip
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    """What to run, checked as far as it can be before anything starts."""
    if options.duration <= 0.0:
        raise ConfigError(f"--duration must be positive, got {options.duration:g}")
    node = {
        **segmenter_settings(options.segmenter),
        "network.model": options.model,
        **set_parameters(options.settings),
    }
    named = f"Segmentation: {_NAMES.get(options.segmenter, options.segmenter)}."
    if options.input is None:
        seen = {"seed": options.seed, "frames": options.frames, "rate_hz": options.rate or 30.0}
        camera = ["clipose_ros.ros_tools.synthetic_camera", *ros_arguments(seen)]
        intro = f"Synthetic RGB-D camera, scene {options.seed}. {named}"
        return Plan(camera, ros_arguments(node, config_path("demo.yaml")), intro, max(options.duration / 8, 0.5))
    if options.segmenter == "labels":
        raise ConfigError(
            "--input has no labels: leave out --segmenter, or give local weights, as in --segmenter "
            "yolo:/path/to/yolo11n-seg.onnx (ultralytics, AGPL-3.0)"
        )
    count = len(open_rgbd_folder(options.input))
    hold_s = min(max(options.duration / count, 0.5), 5.0)
    played = {"folder": str(options.input.resolve()), "hold_s": hold_s, "rate_hz": options.rate or 15.0}
    camera = ["clipose_ros.ros_tools.rgbd_player", *ros_arguments(played)]
    intro = f"{count} RGB-D frames of {options.input}, each held for {hold_s:.1f} s. {named}"
    return Plan(camera, ros_arguments(node), intro, hold_s / 2)


def _run(options: argparse.Namespace, plan: Plan, console: Console) -> int:
    """Start everything, watch, end everything, tell."""
    with live_system(options.output) as system, MediaRecorder(options.output, plan.picture_every_s) as album:
        domain = os.environ["ROS_DOMAIN_ID"]
        console.print(
            f"{plan.intro}\nOther ROS nodes can watch with ROS_DOMAIN_ID={domain}.", highlight=False, soft_wrap=True
        )
        camera, node = system.start_camera(*plan.camera), system.start_node(*plan.node)
        _wait_for_poses(system, camera, console)
        _watch(system, album, options.duration, console)
        summary = system.observer.summary()
        (options.output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        if not summary["frames_posed"]:
            answered = summary["frames_in"] - summary["dropped"]
            raise NoPosesError(
                f"no poses came in {options.duration:g} s, though {summary['frames_in']} frames left the camera and "
                f"{answered} were answered. The pose node's last words ({options.output}):\n{node.tail(6)}"
            )
    console.print(summary_text(summary, options.output), highlight=False, soft_wrap=True)
    return 0


def _wait_for_poses(system: LiveSystem, camera: Subprocess, console: Console) -> None:
    """Wait until the pose node answers, and a while longer for a first object, telling what is waited for."""
    told = camera.tail(1)

    def answers() -> bool:
        nonlocal told
        last = camera.tail(1)
        if last != told:
            console.print(f"camera: {last.rpartition(']: ')[2].strip()}", highlight=False, markup=False, soft_wrap=True)
            told = last
        return system.observer.answered

    system.wait_until(answers, "an answer of the pose node")
    with contextlib.suppress(SilenceError):  # there may be nothing to pose: the watch tells
        system.wait_until(lambda: bool(system.observer.rows()), "a first object", _FIRST_POSE_S)


def _watch(system: LiveSystem, album: MediaRecorder, duration_s: float, console: Console) -> None:
    """Show and keep what comes for a while: a live table on a terminal, now and then a line elsewhere."""
    observer = system.observer
    observer.begin()
    begun, due = time.monotonic(), 0.0
    live = Live(console=console, refresh_per_second=round(1.0 / _TABLE_EVERY_S)) if console.is_terminal else None
    with live or contextlib.nullcontext():
        while (elapsed := time.monotonic() - begun) < duration_s:
            system.check()
            while not observer.pictures.empty():
                album.add(observer.pictures.get_nowait())
            if elapsed >= due:
                due = elapsed + (_LINE_EVERY_S if live is None else _TABLE_EVERY_S)
                rows, summary = observer.rows(), observer.summary()
                if live is not None:
                    live.update(table(rows, summary, elapsed, duration_s))
                else:
                    line = progress_line(rows, summary, elapsed)
                    console.print(line, highlight=False, markup=False, soft_wrap=True)
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
