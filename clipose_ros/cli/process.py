"""``process``: estimate the poses in every frame of a recording and write them, a video and a report.

Reads rosbag2 recordings (MCAP, sqlite3) and ROS 1 bags; no ROS graph is needed. The camera is found by type, frame and
size of its topics. Writes into --out: poses/ (MCAP with metadata.yaml: detections, markers, TF), poses.csv,
annotated.mp4, report.html and summary.json. Ctrl-C ends after the present frame and leaves whole files. The exit status
is 0, 1 after an error, and 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from clipose_ros.cli.node_settings import (
    SEGMENTERS,
    SHIPPED_SEGMENTER,
    local_model,
    read_parameters,
    segmenter_settings,
    set_parameters,
)
from clipose_ros.cli.process_output import REPORT, RESULTS, SUMMARY, TABLE, VIDEO, OutputChoice, ProcessOutput
from clipose_ros.config import PoseNodeConfig, nest
from clipose_ros.data.bags.camera_topics import CameraTopics
from clipose_ros.data.bags.recording import Recording, open_recording
from clipose_ros.errors import CliposeError, DataError, one_line
from clipose_ros.evaluation.report.recording_report import RecordingSource
from clipose_ros.evaluation.runs.recording_poses import RecordingProcessor
from clipose_ros.evaluation.runs.recording_statistics import RecordingStatistics
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.training.runtime.signals import stop_requested

INTERRUPTED = 130
_LINE_INTERVAL_S = 5.0
TOPIC_OPTIONS = ("color", "depth", "info", "labels", "truth")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    notes: list[str] = []

    def report(text: str) -> None:
        notes.append(one_line(text))
        print(f"process: {notes[-1]}", file=sys.stderr, flush=True)

    try:
        with stop_requested() as stopped:
            config = process_config(options)
            recording = open_recording(options.bag, chosen_topics(options), report)
            _print_topics(recording)
            return _process(options, config, recording, _Run(notes, report, stopped))
    except (CliposeError, OSError) as error:
        print(f"process: {one_line(str(error))}", file=sys.stderr)
        return 1


def add_topic_options(add: Callable[..., object]) -> None:
    """Add the options that name topics of a recording."""
    for name, what in zip(
        TOPIC_OPTIONS,
        ("colour image", "depth image, registered to colour", "camera_info", "label image", "true poses"),
        strict=True,
    ):
        add(f"--{name}", metavar="TOPIC", help=f"Topic of the {what} (found by type, frame and size).")


def chosen_topics(options: argparse.Namespace) -> CameraTopics:
    """Return the topics that are given by name; a name without a slash in front gets one."""
    given = {name: getattr(options, name) for name in TOPIC_OPTIONS}
    return CameraTopics(**{name: value and f"/{value.lstrip('/')}" for name, value in given.items()})


def process_config(options: argparse.Namespace) -> PoseNodeConfig:
    """Return the settings of the pose node that ``--params``, ``--segmenter``, ``--model`` and ``--set`` give.

    The time budget of the network is lifted: no frame waits, and results do not depend on the speed of the machine.

    Raises:
        ConfigError: A setting or an option is wrong.
    """
    settings = read_parameters(options.params) if options.params else {}
    if options.segmenter or not options.params:
        settings |= segmenter_settings(options.segmenter or SHIPPED_SEGMENTER, with_parameters=not options.params)
    if options.model:
        settings["network.model"] = local_model(options.model)
    config = PoseNodeConfig.from_mapping(nest(settings | set_parameters(options.settings)))
    return replace(config, network=replace(config.network, budget_ms=0.0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="process", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bag", type=Path, metavar="BAG", help="Recording: an .mcap, .db3 or .bag file, or a folder.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="Write all files to this folder.")
    add_topic_options(parser.add_argument_group("topics").add_argument)
    add = parser.add_argument_group("pose node").add_argument
    add("--params", type=Path, metavar="YAML", help="Use these parameters of the pose node, as in config/pose.yaml.")
    add("--segmenter", metavar="WHICH", help=f"Detect the objects with this segmenter: {SEGMENTERS} (shipped).")
    add("--model", help="Use this shipped model or model file (clipose_small).")
    add(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="Set a parameter of the pose node, such as tracking.frame=world. May be repeated.",
    )  # fmt: skip
    add = parser.add_argument_group("output").add_argument
    add("--images", action="store_true", help="Write annotated images (JPEG) into the recording of the results.")
    add("--no-video", action="store_true", help="Write no annotated video.")
    add("--no-recording", action="store_true", help="Write no recording of the results.")
    return parser


class _Run:
    """Reporting and stopping of a run.

    Args:
        notes: Lines that were reported.
        report: Reports a line.
        stopped: Returns the signal that asked the run to end, or None.
    """

    def __init__(self, notes: list[str], report: Callable[[str], None], stopped: Callable[[], int | None]) -> None:
        self.notes, self.report, self.stopped = notes, report, stopped


def _process(options: argparse.Namespace, config: PoseNodeConfig, recording: Recording, run: _Run) -> int:
    """Process all frames and write the files; return the exit status."""
    pipeline = PosePipeline.from_config(config, live=True)
    statistics = RecordingStatistics(pipeline.predictor.categories)
    processor = RecordingProcessor(recording, pipeline, config)
    choice = OutputChoice(not options.no_recording, options.images, not options.no_video)
    start_s, frame_id = time.monotonic(), config.publish.target_frame
    with (
        ProcessOutput(options.out, choice, statistics, config.publish) as output,
        contextlib.closing(processor.run()) as frames,
        _progress() as show,
    ):
        for note in output.notes:
            run.report(note)
        for processed in frames:
            output.add(processed)
            frame_id = processed.published.frame_id if processed.published is not None else frame_id
            show(processed.progress, statistics)
            if run.stopped() is not None:
                break
    seconds = time.monotonic() - start_s
    for note in (*processor.notes, *output.notes):
        if note not in run.notes:
            run.report(note)
    output.finish(RecordingSource(str(recording.path), _describe(pipeline, config), frame_id, seconds, run.notes))
    print(_summary(statistics, seconds, options))
    if run.stopped() is not None:
        print("process: interrupted: the files hold the frames so far", file=sys.stderr)
        return INTERRUPTED
    if not statistics.posed:
        reason = next(iter(statistics.faults), "it holds no colour image")
        raise DataError(f"'{recording.path}' has no usable frame: {reason}")
    return 0


def _describe(pipeline: PosePipeline, config: PoseNodeConfig) -> str:
    """Return the names of model, engine and segmenter."""
    from clipose_ros.inference.predictor import Predictor  # imports torch

    predictor = pipeline.predictor
    engine = f", engine {predictor.engine_name}" if isinstance(predictor, Predictor) else ""
    segmenter = f"{config.segmentation.backend} {config.segmentation.model}".rstrip()
    return f"{config.network.model}{engine}, segmenter {segmenter}"


def _print_topics(recording: Recording) -> None:
    topics = recording.topics
    extra = "".join(f", {name} {topic}" for name in ("labels", "truth") if (topic := getattr(topics, name)))
    print(f"colour {topics.color}, depth {topics.depth}, calibration {topics.info}{extra}", flush=True)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[float, RecordingStatistics], None]]:
    """Yield a function that shows the progress: a bar on a terminal, otherwise a line every few seconds."""
    console, start_s = Console(stderr=True), time.monotonic()
    if console.is_terminal:
        columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=1.0)
            yield lambda fraction, statistics: bar.update(
                task, completed=fraction, description=_rate_text(statistics, start_s)
            )
        return
    next_s = start_s + _LINE_INTERVAL_S

    def show(fraction: float, statistics: RecordingStatistics) -> None:
        nonlocal next_s
        now_s = time.monotonic()
        if now_s >= next_s:
            next_s = now_s + _LINE_INTERVAL_S
            left_s = (now_s - start_s) * (1.0 - fraction) / max(fraction, 1e-6)
            text = _rate_text(statistics, start_s)
            print(f"{100 * fraction:3.0f} %: {text}, {left_s:.0f} s left", file=sys.stderr, flush=True)

    yield show


def _rate_text(statistics: RecordingStatistics, start_s: float) -> str:
    rate = statistics.frames / max(time.monotonic() - start_s, 1e-6)
    return f"{statistics.frames} frames, {rate:.1f} frames/s, {len(statistics.tracks)} tracks"


def _summary(statistics: RecordingStatistics, seconds: float, options: argparse.Namespace) -> str:
    """Return the result in a few lines."""
    unusable = statistics.frames - statistics.posed
    lines = [
        f"{statistics.frames} frames in {seconds:.1f} s ({statistics.frames / max(seconds, 1e-6):.1f} frames/s): "
        f"{statistics.posed} posed, {statistics.with_objects} with objects, {unusable} unusable; "
        f"{len(statistics.tracks)} tracks, {sum(statistics.rejections.values())} rejections"
    ]
    for fault, count in statistics.faults.most_common(5):
        lines.append(f"{count} frames unusable: {one_line(fault)}")
    for name, row in statistics.errors().items():
        if row.translation_cm is not None and row.rotation_deg is not None:
            figures = f"median error {row.translation_cm:.1f} cm, {row.rotation_deg:.1f} deg"
            lines.append(f"{name:8s} {row.poses:5d} poses, {figures}, {row.missed} missed")
    names = [f"{RESULTS}/"] * (not options.no_recording) + [TABLE] + [VIDEO] * (not options.no_video)
    return "\n".join([*lines, f"output in {options.out}: {', '.join([*names, REPORT, SUMMARY])}"])


if __name__ == "__main__":
    sys.exit(main())
