"""``demo``: run a camera and the pose node for a given time and show the estimated poses.

Camera and node are separate processes. Without ``--input`` the camera is synthetic; with ``--input`` a recording or a
folder of real RGB-D frames is played. Writes ``summary.json``, ``demo.mp4``, ``demo.png``, ``pictures/``, with
``--animation`` ``demo.webp``, with ``--record`` ``recording/``, and the logs of both processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live

from clipose_ros.atomic_files import write_atomically
from clipose_ros.cli.demo_output import MediaRecorder, object_table, progress_line, summary_text
from clipose_ros.cli.live_system import (
    LiveSystem,
    SilenceError,
    live_system,
    ros_arguments,
)
from clipose_ros.cli.node_settings import (
    SEGMENTERS,
    SHIPPED_SEGMENTER,
    local_model,
    read_parameters,
    segmenter_settings,
    set_parameters,
)
from clipose_ros.cli.subprocesses import Subprocess, ended_by_signals
from clipose_ros.cli.view import ADDRESS_LINE
from clipose_ros.data.bags.recording import open_recording
from clipose_ros.data.bags.storage import is_recording
from clipose_ros.data.rgbd_folder import open_rgbd_folder
from clipose_ros.errors import CliposeError, ConfigError
from clipose_ros.resources import config_path
from clipose_ros.ros_tools.topic_recorder import recorded_topics

RECORDING = "recording"
"""Name of the folder that ``--record`` writes."""
FIRST_POSE_LIMIT_S = 20.0
"""Longest wait for a first object, seconds. The first frames are slow: libraries load, kernels are compiled."""
_TABLE_INTERVAL_S = 0.2
_LINE_INTERVAL_S = 3.0
_SEGMENTER_NAMES = {"shipped": "the shipped detector", "labels": "label images of the camera"}


class NoPosesError(CliposeError):
    """No pose was published during the demo."""


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """Settings of one demo run.

    Attributes:
        camera: Module and arguments of the camera process.
        node: Arguments of the pose node.
        intro: Text shown to the user before the start.
        image_interval_s: Interval between two saved images, seconds.
    """

    camera: list[str]
    node: list[str]
    intro: str
    image_interval_s: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    console = Console()
    with ended_by_signals():
        try:
            return _run(options, _demo_config(options), console)
        except (CliposeError, OSError) as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("demo: interrupted", file=sys.stderr)
            return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_camera_options(parser)
    _add_node_options(parser)
    _add_output_options(parser)
    _add_view_options(parser)
    return parser


def _add_camera_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the played or synthetic images."""
    add = parser.add_argument_group("camera").add_argument
    add(
        "--input", type=Path, metavar="PATH",
        help="Play this recording (.mcap, .db3, .bag or folder), or this folder of RGB-D frames: *color*.png, "
        "*depth*.png and intrinsics.",
    )  # fmt: skip
    add("--seed", type=int, default=0, help="Set the random seed of the synthetic scene (0).")
    add(
        "--rate",
        type=float,
        metavar="HZ",
        help="Publish images at this rate, Hz (30; a folder 15, a recording its own).",
    )
    add("--frames", type=int, default=60, help="Render this number of synthetic frames and replay them (60).")


def _add_node_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the pose node."""
    add = parser.add_argument_group("pose node").add_argument
    add(
        "--segmenter", default="shipped", metavar="WHICH",
        help=f"Detect the objects with this segmenter: {SEGMENTERS} (shipped).",
    )  # fmt: skip
    add("--model", default="clipose_small", help="Use this shipped model, model file or hf:owner/name (clipose_small).")
    add(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="Set a parameter of the pose node, such as segmentation.score_threshold=0.3. May be repeated.",
    )  # fmt: skip


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the run and of the written files."""
    add = parser.add_argument_group("output").add_argument
    add(
        "--duration", type=float, default=30.0, metavar="S",
        help="Run for this time after the first pose, seconds (30).",
    )  # fmt: skip
    add(
        "--output", type=Path, default=Path("demo_output"), metavar="DIR",
        help="Write all files to this folder (demo_output).",
    )  # fmt: skip
    add(
        "--animation", type=float, default=0.0, metavar="S",
        help="Write demo.webp, an animated image of this duration, seconds; 0 writes none (0).",
    )  # fmt: skip
    add("--record", action="store_true", help="Record the topics of camera and node into recording/ (MCAP).")


def _add_view_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the page in the browser."""
    add = parser.add_argument_group("view").add_argument
    add("--view", action="store_true", help="Show the objects in the browser, too, at the address that is printed.")
    add("--view-port", type=int, default=8080, metavar="N", help="Listen on this port; 0 takes any free one (8080).")


def _demo_config(options: argparse.Namespace) -> DemoConfig:
    """Return the settings of the run, checked before any process starts.

    Raises:
        ConfigError: An option is wrong.
        DataError: The input folder cannot be read.
    """
    if options.duration <= 0.0:
        raise ConfigError(f"--duration must be positive, got {options.duration:g}")
    if options.animation < 0.0:
        raise ConfigError(f"--animation must not be negative, got {options.animation:g}")
    is_rendered = options.segmenter == SHIPPED_SEGMENTER and options.input is None
    node = {
        **segmenter_settings(options.segmenter),
        **(read_parameters(config_path("demo_detector.yaml")) if is_rendered else {}),
        "network.model": local_model(options.model),
        **set_parameters(options.settings),
    }
    segmentation = f"Segmentation: {_SEGMENTER_NAMES.get(options.segmenter, options.segmenter)}."
    if options.input is None:
        scene = {"seed": options.seed, "frames": options.frames, "rate_hz": options.rate or 30.0}
        camera = ["clipose_ros.ros_tools.synthetic_camera", *ros_arguments(scene)]
        intro = f"Synthetic RGB-D camera, scene {options.seed}. {segmentation}"
        return DemoConfig(camera, ros_arguments(node, config_path("demo.yaml")), intro, max(options.duration / 8, 0.5))
    if is_recording(options.input):
        return _recording_config(options, node, segmentation)
    if options.segmenter == "labels":
        raise ConfigError(
            "--segmenter labels does not work with --input, whose frames have no labels: leave out --segmenter or give "
            "local weights, such as --segmenter yolo:/path/to/yolo11n-seg.onnx (ultralytics, AGPL-3.0)"
        )
    count = len(open_rgbd_folder(options.input))
    hold_s = min(max(options.duration / count, 0.5), 5.0)
    playback = {"folder": str(options.input.resolve()), "hold_s": hold_s, "rate_hz": options.rate or 15.0}
    camera = ["clipose_ros.ros_tools.rgbd_player", *ros_arguments(playback)]
    intro = f"{count} RGB-D frames of {options.input}, each held for {hold_s:.1f} s. {segmentation}"
    return DemoConfig(camera, ros_arguments(node), intro, hold_s / 2)


def _recording_config(options: argparse.Namespace, node: Mapping[str, object], segmentation: str) -> DemoConfig:
    """Return the settings of a run that plays a recording."""
    open_recording(options.input)  # raises before any process starts
    playback = {"bag": str(options.input.resolve()), "rate_hz": options.rate or 0.0}
    camera = ["clipose_ros.ros_tools.bag_player", *ros_arguments(playback)]
    intro = f"Recording {options.input}. {segmentation}"
    return DemoConfig(camera, ros_arguments(node), intro, max(options.duration / 8, 0.5))


def _run(options: argparse.Namespace, config: DemoConfig, console: Console) -> int:
    """Run camera and node, record and show the poses, and write the summary; return the exit status."""
    with (
        live_system(options.output) as system,
        MediaRecorder(options.output, config.image_interval_s, options.animation) as recorder,
        recorded_topics(options.output / RECORDING) if options.record else contextlib.nullcontext(),
    ):
        domain = os.environ["ROS_DOMAIN_ID"]
        console.print(
            f"{config.intro}\nOther ROS nodes can subscribe with ROS_DOMAIN_ID={domain}.",
            highlight=False,
            soft_wrap=True,
        )
        camera, node = system.start_camera(*config.camera), system.start_node(*config.node)
        if options.view:
            _print_address(system, system.start_view(options.view_port), console)
        _wait_for_poses(system, camera, console)
        _show_and_record(system, recorder, options.duration, console)
        summary = system.observer.summary()
        record = json.dumps(summary.as_record(), indent=2) + "\n"
        write_atomically(options.output / "summary.json", [record.encode()])
        if not summary.frames_posed:
            raise NoPosesError(
                f"no poses were published in {options.duration:g} s: the camera published {summary.frames_in} frames "
                f"and the pose node answered {summary.frames_answered}, each with an empty list. Last log lines of the "
                f"pose node ({options.output}):\n{node.tail(6)}"
            )
    console.print(summary_text(summary, options.output), highlight=False, soft_wrap=True)
    if options.record:
        folder = options.output / RECORDING
        console.print(
            f"recording in {folder}: pose it with `process {folder} --out DIR`", highlight=False, soft_wrap=True
        )
    return 0


def _print_address(system: LiveSystem, view: Subprocess, console: Console) -> None:
    """Wait for the address of the view and print it."""

    def find() -> str:
        return next((line for line in view.tail(20).splitlines() if ADDRESS_LINE in line), "")

    system.wait_until(lambda: bool(find()), "the address of the view")
    console.print(find().strip(), highlight=False, markup=False, soft_wrap=True)


def _wait_for_poses(system: LiveSystem, camera: Subprocess, console: Console) -> None:
    """Wait for the first answer of the node and then for a first object; print the log lines of the camera."""
    last_shown = camera.tail(1)

    def node_has_answered() -> bool:
        nonlocal last_shown
        line = camera.tail(1)
        if line != last_shown:
            console.print(f"camera: {line.rpartition(']: ')[2].strip()}", highlight=False, markup=False, soft_wrap=True)
            last_shown = line
        return system.observer.has_detections

    system.wait_until(node_has_answered, "an answer of the pose node")
    with contextlib.suppress(SilenceError):  # the scene may hold no object; the summary shows it
        system.wait_until(lambda: bool(system.observer.objects()), "a first object", FIRST_POSE_LIMIT_S)


def _show_and_record(system: LiveSystem, recorder: MediaRecorder, duration_s: float, console: Console) -> None:
    """Record annotated images and show progress: a live table on a terminal, otherwise a line every few seconds."""
    observer = system.observer
    observer.reset_statistics()
    start, next_output_s = time.monotonic(), 0.0
    live = Live(console=console, refresh_per_second=round(1.0 / _TABLE_INTERVAL_S)) if console.is_terminal else None
    with live or contextlib.nullcontext():
        while (elapsed_s := time.monotonic() - start) < duration_s:
            system.check()
            while not observer.images.empty():
                recorder.add(observer.images.get_nowait())
            if elapsed_s >= next_output_s:
                next_output_s = elapsed_s + (_LINE_INTERVAL_S if live is None else _TABLE_INTERVAL_S)
                objects, summary = observer.objects(), observer.summary()
                if live is not None:
                    live.update(object_table(objects, summary, elapsed_s, duration_s))
                else:
                    line = progress_line(objects, summary, elapsed_s)
                    console.print(line, highlight=False, markup=False, soft_wrap=True)
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
