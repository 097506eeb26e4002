"""``benchmark``: measure the speed of network, stages, pipeline, start-up, training step and running system.

Writes ``benchmark.json``, ``benchmark.png`` and the logs of the processes. Close other programs, which distort the
figures.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from clipose_ros.benchmark.record import BenchmarkRecord, read_record, write_record
from clipose_ros.benchmark.result_tables import ResultTable, build_tables, machine_line
from clipose_ros.benchmark.rows import StageRow, StartRow
from clipose_ros.cli.live_benchmark import LiveCase, run_live
from clipose_ros.cli.live_system import live_environment
from clipose_ros.cli.node_settings import SEGMENTERS, local_model, segmenter_settings, set_parameters
from clipose_ros.cli.option_rules import add_renamed_flag
from clipose_ros.cli.subprocesses import ended_by_signals
from clipose_ros.config import NetworkConfig, TtaConfig, config_fields
from clipose_ros.errors import CliposeError, ConfigError, DeviceError

if TYPE_CHECKING:
    from clipose_ros.model.network import CLIPoseNet

_DEFAULTS = NetworkConfig()


@dataclass(frozen=True)
class _BenchmarkRun:
    """Settings of all parts.

    Attributes:
        options: Options of the command.
        network: Settings of the network in the parts ``stages``, ``start`` and ``live``.
        cases: Measurements of the part ``live``.
        console: Console for progress messages.
    """

    options: argparse.Namespace
    network: NetworkConfig
    cases: Sequence[LiveCase]
    console: Console


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    console = Console()
    console.width = max(console.width, 160)  # the tables do not fit into the 80 columns of a pipe
    # the value of the node's launch file; torch reads it when it is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", live_environment()["OMP_WAIT_POLICY"])
    with ended_by_signals():
        try:
            record = read_record(options.record) if options.record else _measure(options, console)
            _show_and_draw(record, options, console)
        except (CliposeError, OSError) as error:
            print(f"benchmark: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("benchmark: interrupted", file=sys.stderr)
            return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", choices=tuple(_PARTS), metavar="PART",
        help=f"Measure only these parts: {', '.join(_PARTS)} (all).",
    )  # fmt: skip
    parser.add_argument(
        "--gpu", action="store_true",
        help=f"Measure a GPU: the parts {', '.join(_GPU_PARTS)} unless --only names others, with the engines, batch "
        "sizes and training steps of a GPU. --device cpu rehearses this without one.",
    )  # fmt: skip
    _add_network_options(parser)
    _add_measurement_options(parser)
    _add_live_options(parser)
    _add_output_options(parser)
    return parser


def _add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the network that is measured."""
    add = parser.add_argument_group("network").add_argument
    add(
        "--model",
        default="clipose_small",
        help="Measure this shipped model, model file or hf:owner/name (clipose_small).",
    )
    add("--device", default="auto", help="Run the network on this device: auto, cpu, cuda or cuda:N (auto).")
    add(
        "--engine",
        default="auto",
        help="Use this engine, built-in or installed, in the parts stages, start and live (auto).",
    )
    add(
        "--max-passes",
        type=int,
        default=_DEFAULTS.tta.max_passes,
        help="Set the largest number of test-time augmentation passes in all parts but network "
        f"({_DEFAULTS.tta.max_passes}).",
    )
    add_renamed_flag(parser, "--looks", "--max-passes")
    add(
        "--threads",
        type=int,
        default=0,
        help="Set the CPU threads; 0 is the default of each engine (0).",
    )


def _add_measurement_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the parts ``network`` and ``stages``."""
    group = parser.add_argument_group("measurement")
    group.add_argument(
        "--budget",
        type=float,
        default=0.7,
        metavar="S",
        help="Repeat each call of the parts network and stages for this time, seconds (0.7).",
    )
    group.add_argument(
        "--segmenter", action="append", default=[], metavar="WHICH",
        help=f"Measure this segmenter too, as a stage and end to end: {SEGMENTERS}. May be repeated.",
    )  # fmt: skip


def _add_live_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the part ``live``."""
    add = parser.add_argument_group("live", "end-to-end measurements of camera, pose node and subscriber").add_argument
    add(
        "--objects", type=int, nargs="+", default=[1, 3, 5], metavar="N",
        help="Measure with these numbers of objects on the table (1 3 5).",
    )  # fmt: skip
    add(
        "--minutes",
        type=float,
        default=0.2,
        metavar="M",
        help="Run each measurement for this time, minutes (0.2). Memory growth needs about 10 minutes.",
    )
    add("--rate", type=float, default=30.0, metavar="HZ", help="Publish images at this rate, Hz (30).")
    add("--frames", type=int, default=12, metavar="N", help="Render this number of images and replay them (12).")
    add(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="Set a parameter of the pose node. May be repeated.",
    )  # fmt: skip


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the written files."""
    add = parser.add_argument_group("output").add_argument
    add(
        "--output", type=Path, default=Path("benchmark_output"), metavar="DIR",
        help="Write all files to this folder (benchmark_output).",
    )  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="Write the record to this file (benchmark.json in --output).")
    add(
        "--page", type=Path, metavar="FILE",
        help="Replace the tables of this Markdown page, such as docs/reference/performance.md.",
    )  # fmt: skip
    add(
        "--history", type=Path, metavar="FILE",
        help="Add the headline figures as a row to the history by commit of this Markdown page.",
    )  # fmt: skip
    add("--commit", metavar="NAME", help="Name the measured commit of --history so (the commit of this checkout).")
    add("--record", type=Path, metavar="FILE", help="Show and plot this record of an earlier run without measuring.")


def _measure(options: argparse.Namespace, console: Console) -> BenchmarkRecord:
    """Measure part by part and return the record; the file is rewritten after each part."""
    from clipose_ros.benchmark import history
    from clipose_ros.benchmark.machine import describe_machine  # imports torch, which --help and --record do not need
    from clipose_ros.benchmark.markdown_page import split_page

    # wrong options raise here, before the first measurement
    if options.history:
        split_page(options.history, history.BEGIN, history.END)
        options.commit = options.commit or history.current_commit()
    config = NetworkConfig(
        local_model(options.model),
        _resolve_device(options),
        options.threads,
        options.engine,
        TtaConfig(options.max_passes),
    )
    run = _BenchmarkRun(options, config, live_cases(options, config), console)
    options.output.mkdir(parents=True, exist_ok=True)
    record = BenchmarkRecord(describe_machine(), config.tta.max_passes)
    for part in options.only or (_GPU_PARTS if options.gpu else _PARTS):
        console.print(f"measuring: {part}", highlight=False)
        try:
            record = _PARTS[part](run, record)
        except (CliposeError, RuntimeError) as error:  # torch raises RuntimeError for faults of compiler and GPU
            if not options.gpu:
                raise
            # A GPU may be at hand for minutes only: one part that fails must not cost the others.
            _report_not_measured(console, part, str(error))
        _write(record, options)
    return record


def _resolve_device(options: argparse.Namespace) -> str:
    """Return ``--device``; with ``--gpu`` the device that is measured.

    Raises:
        DeviceError: ``--gpu`` is given, but there is no GPU.
    """
    if not options.gpu:
        return str(options.device)
    from clipose_ros.inference.predictor import resolve_device

    device = resolve_device(options.device)
    if options.device == "auto" and device == "cpu":
        raise DeviceError("--gpu measures a GPU, and torch finds none: see doctor; --device cpu rehearses the parts")
    return device


def _report_not_measured(console: Console, what: str, reason: str) -> None:
    console.print(f"not measured: {what}: {reason}", highlight=False, markup=False, soft_wrap=True)


def _write(record: BenchmarkRecord, options: argparse.Namespace) -> None:
    write_record(record, options.json or options.output / "benchmark.json")


def _show_and_draw(record: BenchmarkRecord, options: argparse.Namespace, console: Console) -> None:
    """Print the tables, draw the plot and update the page of ``--page``."""
    from clipose_ros.benchmark.history import add_to_history, current_commit
    from clipose_ros.benchmark.markdown_page import update_page
    from clipose_ros.benchmark.plot import plot_record

    console.print(machine_line(record), highlight=False)
    for result in build_tables(record):
        console.print(_to_rich_table(result))
    options.output.mkdir(parents=True, exist_ok=True)
    plot_record(record, options.output / "benchmark.png")
    if options.page:
        update_page(options.page, record)
    if options.history:
        add_to_history(options.history, record, options.commit or current_commit())


def _to_rich_table(result: ResultTable) -> Table:
    table = Table(title=result.title, title_justify="left")
    for number, name in enumerate(result.head):
        table.add_column(name, justify="right" if number else "left")
    for row in result.rows:
        table.add_row(*row)
    return table


def _measure_network(run: _BenchmarkRun, record: BenchmarkRecord) -> BenchmarkRecord:
    """Measure the inference time of all engines; the file is rewritten after each network."""
    from clipose_ros.benchmark.inputs import BenchmarkInputs
    from clipose_ros.benchmark.network import (
        GPU_GRID,
        Grid,
        build_paper_network,
        create_entry,
        load_shipped_network,
        time_networks,
    )

    config, inputs = run.network, BenchmarkInputs.rendered()
    grid = replace(GPU_GRID if run.options.gpu else Grid(), budget_s=run.options.budget)
    networks: tuple[tuple[str, Callable[[], CLIPoseNet]], ...] = (
        (config.model, partial(load_shipped_network, config.model)),
        ("paper's widths", build_paper_network),
    )
    for model, build in networks:
        entry = create_entry(model, build, config.device, config.threads)
        for name, reason in entry.unavailable.items():
            _report_not_measured(run.console, f"{name}, {model}", reason)
        record = replace(record, network=(*record.network, *time_networks([entry], inputs, grid)))
        _write(record, run.options)
    return record


def _measure_pipeline(run: _BenchmarkRun, record: BenchmarkRecord) -> BenchmarkRecord:
    """Measure the whole pipeline by number of objects."""
    from clipose_ros.benchmark.inputs import BenchmarkInputs
    from clipose_ros.benchmark.whole_pipeline import OBJECTS, time_pipeline

    config, inputs = run.network, BenchmarkInputs.rendered()
    is_compared = config.device.startswith("cuda") and config.engine == "auto"
    rows = [
        row
        for engine in (("pytorch", "cuda") if is_compared else (config.engine,))
        for row in time_pipeline(replace(config, engine=engine), inputs, OBJECTS, run.options.budget)
    ]
    return replace(record, pipeline=tuple(rows))


def _measure_start(run: _BenchmarkRun, record: BenchmarkRecord) -> BenchmarkRecord:
    """Measure the start-up time with and without compiled kernels on disk."""
    from clipose_ros.benchmark.startup import time_start

    config = run.network
    rows = [
        StartRow(config.model, config.engine, cache, time_start(config, cache == "none", repeats))
        for cache, repeats in (("on disk", 3), ("none", 1))
    ]
    return replace(record, start=tuple(rows))


def _measure_stages(run: _BenchmarkRun, record: BenchmarkRecord) -> BenchmarkRecord:
    """Measure the stages of a frame, and each further segmenter as a stage."""
    from clipose_ros.benchmark.frame_stages import frame_stages, process_frame, segmentation_stage
    from clipose_ros.benchmark.inputs import BenchmarkInputs
    from clipose_ros.benchmark.timing import time_call
    from clipose_ros.config import SegmentationConfig, nest
    from clipose_ros.inference.predictor import Predictor
    from clipose_ros.ros_tools.message_benchmark import message_stages

    options, inputs = run.options, BenchmarkInputs.rendered()
    predictor = Predictor.from_config(run.network)
    processed = process_frame(inputs, predictor)
    calls = frame_stages(inputs, predictor, processed) | message_stages(inputs.frame, processed.tracks)
    for segmenter in options.segmenter:
        settings = SegmentationConfig.from_mapping(nest(segmenter_settings(segmenter))["segmentation"])
        name = f"segmentation, {_segmenter_label(segmenter)}"
        calls[name] = segmentation_stage(settings, predictor.categories, predictor.device, inputs)
    rows = [StageRow(stage, time_call(call, options.budget)) for stage, call in calls.items()]
    return replace(record, stages=tuple(rows))


def _measure_training(run: _BenchmarkRun, record: BenchmarkRecord) -> BenchmarkRecord:
    """Measure a training step in all kinds."""
    from clipose_ros.benchmark.training import CASES, GPU_CASES, time_training

    cases = [replace(case, device=run.network.device) for case in GPU_CASES] if run.options.gpu else CASES
    return replace(record, training=tuple(time_training(cases)))


def _measure_live(run: _BenchmarkRun, record: BenchmarkRecord) -> BenchmarkRecord:
    """Measure camera, pose node and subscriber end to end."""
    rows = [run_live(case, run.options.output / f"live_{number}") for number, case in enumerate(run.cases)]
    return replace(record, live=tuple(rows))


def live_cases(options: argparse.Namespace, config: NetworkConfig) -> list[LiveCase]:
    """Return the end-to-end measurements.

    Each number of objects is measured with label images, the largest number also with each further segmenter.

    Raises:
        ConfigError: An option is wrong.
    """
    network = {field.path: field.value for field in config_fields(config, "network.")}
    node = {**network, **set_parameters(options.settings)}
    camera = {"frames": options.frames}
    seconds = 60.0 * options.minutes
    if seconds <= 0.0:
        raise ConfigError(f"--minutes must be positive, got {options.minutes:g}")
    cases = [LiveCase(count, seconds, options.rate, "labels", node, camera) for count in options.objects]
    max_objects = max(options.objects)
    return cases + [
        LiveCase(
            max_objects, seconds, options.rate, _segmenter_label(name), {**segmenter_settings(name), **node}, camera
        )
        for name in options.segmenter
    ]


def _segmenter_label(segmenter: str) -> str:
    """Return the name of a segmenter in tables: ``yolo model.onnx`` for ``yolo:/path/to/model.onnx``."""
    backend, _, weights = segmenter.partition(":")
    return f"{backend} {Path(weights).name}".strip()


_PARTS: dict[str, Callable[[_BenchmarkRun, BenchmarkRecord], BenchmarkRecord]] = {
    "network": _measure_network,
    "stages": _measure_stages,
    "pipeline": _measure_pipeline,
    "start": _measure_start,
    "training": _measure_training,
    "live": _measure_live,
}
"""Function of each part, which returns the record with the rows of the part."""
_GPU_PARTS = ("pipeline", "training", "network")
"""Parts of ``--gpu``; the longest comes last."""

if __name__ == "__main__":
    sys.exit(main())
