"""``demo``: a camera and the pose node as processes of their own, watched for a while.

Without ``--input`` the camera is synthetic and segmentation reads its label images; with ``--input`` a folder of real
RGB-D frames is played and a real segmenter works. Writes ``summary.json``, ``demo.mp4``, ``demo.png``, ``pictures/``
and the logs of both processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
import rclpy.signals
import yaml
from rclpy.executors import SingleThreadedExecutor
from rich.console import Console
from rich.live import Live

from clipose_ros.cli.children import Child
from clipose_ros.cli.demo_output import Album, progress_line, summary_text, table
from clipose_ros.data.rgbd_folder import open_rgbd_folder
from clipose_ros.errors import CliposeError, ConfigError
from clipose_ros.resources import config_path
from clipose_ros.ros.observer import Observer
from clipose_ros.ros.shutdown import until_shutdown

_POSE_NODE = ("-m", "clipose_ros.ros.pose_node")
_STARTUP_LIMIT_S = 600.0
_FIRST_POSE_S = 20.0  # the first clouds are slow: libraries load, kernels are compiled
_LINE_EVERY_S = 3.0


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
    # Told to end in whatever way, the children end first.
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        return _run(options, _plan(options), console)
    except CliposeError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
        default="",
        metavar="BACKEND:WEIGHTS",
        help="yolo:FILE or mask_rcnn:FILE, a local file; needed with --input",
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
    node = {"network.model": options.model, **_settings(options.settings)}
    if options.input is None:
        camera = {"seed": options.seed, "frames": options.frames, "rate_hz": options.rate or 30.0}
        backend = _segmentation(options.segmenter) if options.segmenter else {}
        named = options.segmenter or "labels (the camera's own label images, until a trained segmenter ships)"
        intro = f"Synthetic RGB-D camera, scene {options.seed}. Segmentation: {named}."
        files = ["--params-file", str(config_path("demo.yaml"))]
        command = ["clipose_ros.ros.synthetic_camera", *_ros_arguments(camera)]
        return Plan(command, [*_ros_arguments({**backend, **node}), *files], intro, max(options.duration / 8, 0.5))
    if not options.segmenter:
        raise ConfigError(
            "--input needs --segmenter, since real images come without labels: give local weights, as in --segmenter "
            "yolo:/path/to/yolo11n-seg.onnx (ultralytics, AGPL-3.0). Nothing is downloaded automatically"
        )
    segmentation = _segmentation(options.segmenter)
    count = len(open_rgbd_folder(options.input))
    hold_s = min(max(options.duration / count, 0.5), 5.0)
    camera = {"folder": str(options.input.resolve()), "hold_s": hold_s, "rate_hz": options.rate or 15.0}
    intro = f"{count} RGB-D frames of {options.input}, each held for {hold_s:.1f} s. Segmentation: {options.segmenter}."
    command = ["clipose_ros.ros.rgbd_player", *_ros_arguments(camera)]
    return Plan(command, _ros_arguments({**segmentation, **node}), intro, hold_s / 2)


def _segmentation(segmenter: str) -> dict[str, Any]:
    """Parameters of ``BACKEND:WEIGHTS``."""
    backend, _, weights = segmenter.partition(":")
    if backend not in ("yolo", "mask_rcnn") or not Path(weights).exists():
        raise ConfigError(
            f"--segmenter must be yolo:WEIGHTS or mask_rcnn:WEIGHTS with a local file, got '{segmenter}'. Nothing is "
            "downloaded automatically"
        )
    return {"segmentation.backend": backend, "segmentation.model": str(Path(weights).resolve())}


def _settings(entries: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` entries, values read as YAML."""
    settings = {}
    for entry in entries:
        name, sign, value = entry.partition("=")
        if not (name and sign):
            raise ConfigError(f"--set needs NAME=VALUE, got '{entry}'")
        settings[name] = yaml.safe_load(value)
    return settings


def _ros_arguments(parameters: Mapping[str, Any]) -> list[str]:
    """Parameters as a node's arguments. JSON is YAML, so no string can be mistaken for a number."""
    pairs = [("-p", f"{name}:={json.dumps(value)}") for name, value in parameters.items()]
    return ["--ros-args", *(argument for pair in pairs for argument in pair)]


def _run(options: argparse.Namespace, plan: Plan, console: Console) -> int:
    """Start everything, watch, end everything, tell."""
    environment = _environment()
    os.environ.update(environment)
    options.output.mkdir(parents=True, exist_ok=True)
    domain = environment["ROS_DOMAIN_ID"]
    console.print(
        f"{plan.intro}\nOther ROS nodes can watch with ROS_DOMAIN_ID={domain}.", highlight=False, soft_wrap=True
    )
    with contextlib.ExitStack() as stack:
        album = stack.enter_context(Album(options.output, plan.picture_every_s))
        observer = stack.enter_context(_observer())

        def start(name: str, *arguments: str) -> Child:
            log = options.output / f"{name.replace(' ', '_')}.log"
            return stack.enter_context(Child(name, [sys.executable, *arguments], environment, log))

        camera = start("camera", "-m", *plan.camera)
        node = start("pose node", *_POSE_NODE, *plan.node)
        _wait_for_poses(observer, camera, node, console)
        _watch(observer, (camera, node), album, options.duration, console)
        summary = observer.summary()
        (options.output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        if not summary["frames_posed"]:
            answered = summary["frames_in"] - summary["dropped"]
            raise NoPosesError(
                f"no poses came in {options.duration:g} s, though {summary['frames_in']} frames left the camera and "
                f"{answered} were answered. The pose node's last words ({options.output}):\n{node.tail(6)}"
            )
    console.print(summary_text(summary, options.output), highlight=False, soft_wrap=True)
    return 0


def _environment() -> dict[str, str]:
    """Of all three processes: room for images in shared memory, and a domain of its own where none was chosen.

    Camera, node and this process share the cores: threads that spin while they wait for each other would slow the
    network tenfold on a busy machine, so they sleep.
    """
    environment = {
        "FASTDDS_DEFAULT_PROFILES_FILE": str(config_path("fastdds.xml")),
        "ROS_DOMAIN_ID": str(random.randint(60, 101)),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUNBUFFERED": "1",
    }
    return environment | dict(os.environ)


@contextlib.contextmanager
def _observer() -> Iterator[Observer]:
    """The observing node, spinning in a thread of its own."""
    # Signals stay ours: children must end before ROS does.
    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    observer, executor = Observer(), SingleThreadedExecutor()
    executor.add_node(observer)

    def spin() -> None:
        with until_shutdown(observer.context):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield observer
    finally:
        executor.shutdown()
        thread.join()
        observer.destroy_node()
        rclpy.try_shutdown()


def _wait_for_poses(observer: Observer, camera: Child, node: Child, console: Console) -> None:
    """Wait until the pose node answers, and a while longer for a first object, telling what is waited for."""
    limit, told = time.monotonic() + _STARTUP_LIMIT_S, ""
    while not observer.rows():
        camera.check()
        node.check()
        if observer.answered:
            limit = min(limit, time.monotonic() + _FIRST_POSE_S)
        if time.monotonic() >= limit:
            if observer.answered:
                return
            raise NoPosesError(
                f"the pose node answered nothing in {_STARTUP_LIMIT_S:g} s. Its last words:\n{node.tail(6)}"
            )
        last = camera.tail(1).strip()
        if last != told:
            console.print(f"camera: {last}", highlight=False, markup=False, soft_wrap=True)
            told = last
        time.sleep(0.2)


def _watch(observer: Observer, children: Sequence[Child], album: Album, duration_s: float, console: Console) -> None:
    """Show and keep what comes for a while: a live table on a terminal, now and then a line elsewhere."""
    observer.begin()
    begun, line_due = time.monotonic(), 0.0
    live = Live(console=console, refresh_per_second=5) if console.is_terminal else None
    with live or contextlib.nullcontext():
        while (elapsed := time.monotonic() - begun) < duration_s:
            for child in children:
                child.check()
            while not observer.pictures.empty():
                album.add(observer.pictures.get_nowait())
            rows = observer.rows()
            if live is not None:
                live.update(table(rows, observer.summary(), elapsed, duration_s))
            elif elapsed >= line_due:
                console.print(
                    progress_line(rows, observer.summary(), elapsed), highlight=False, markup=False, soft_wrap=True
                )
                line_due = elapsed + _LINE_EVERY_S
            time.sleep(0.05)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
