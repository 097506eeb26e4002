"""``benchmark``: measure the speed of network, stages, start-up, training step and of the running system.

Writes ``benchmark.json``, ``benchmark.png`` and the logs of the processes. Other programs should not run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from clipose_ros.benchmark.record import FORMAT, read_record, write_record
from clipose_ros.benchmark.result_tables import ResultTable, build_tables, machine_line
from clipose_ros.cli.live_benchmark import LiveCase, run_live
from clipose_ros.cli.live_system import live_environment, set_parameters
from clipose_ros.cli.node_settings import SEGMENTERS, segmenter_settings
from clipose_ros.cli.option_rules import add_renamed_flag
from clipose_ros.cli.subprocesses import ended_by_signals
from clipose_ros.config import NetworkConfig, TtaConfig, config_fields
from clipose_ros.errors import CliposeError, ConfigError

_DEFAULTS = NetworkConfig()
_Rows = Iterator[dict[str, Any]]  # the rows of one part of the record, plain values for JSON


@dataclass(frozen=True)
class _BenchmarkRun:
    """Settings of all parts.

    Attributes:
        options: Options of the command.
        network: Settings of the network in stages, start-up and end to end.
        cases: End-to-end measurements.
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
    # as in the node's launch file; read when torch is loaded
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
    add = parser.add_argument
    add(
        "--only",
        nargs="+",
        choices=tuple(_PARTS),
        metavar="PART",
        help=f"parts to measure: {', '.join(_PARTS)} (all)",
    )
    add("--model", default="clipose_small", help="pose network: name of a shipped model or a file (clipose_small)")
    add("--device", default="auto", help="device of the network: auto, cpu, cuda or cuda:N (auto)")
    add(
        "--engine",
        default="auto",
        help="engine of the network in the stages and end to end, built-in or installed (auto)",
    )
    add("--max-passes", type=int, default=_DEFAULTS.tta.max_passes,
        help=f"test-time augmentation passes in all but the network part ({_DEFAULTS.tta.max_passes})")  # fmt: skip
    add_renamed_flag(parser, "--looks", "--max-passes")
    add("--threads", type=int, default=0, help="CPU threads of the network; 0 for the default of the libraries (0)")
    add(
        "--budget",
        type=float,
        default=0.7,
        metavar="S",
        help="time of each measurement of network and stages, seconds (0.7)",
    )
    add(
        "--objects",
        type=int,
        nargs="+",
        default=[1, 3, 5],
        metavar="N",
        help="numbers of objects on the table, end to end (1 3 5)",
    )
    add(
        "--minutes",
        type=float,
        default=0.2,
        metavar="M",
        help="duration of each end-to-end measurement (0.2); memory growth needs about 10",
    )
    add("--rate", type=float, default=30.0, metavar="HZ", help="images per second, end to end (30)")
    add("--frames", type=int, default=12, metavar="N", help="number of images that the camera renders and replays (12)")
    add(
        "--segmenter", action="append", default=[], metavar="WHICH",
        help=f"further segmenter to measure as a stage and end to end: {SEGMENTERS}; may be repeated",
    )  # fmt: skip
    add(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="set a parameter of the pose node, end to end; may be repeated",
    )  # fmt: skip
    add("--output", type=Path, default=Path("benchmark_output"), metavar="DIR", help="output folder (benchmark_output)")
    add("--json", type=Path, metavar="FILE", help="file for the record (benchmark.json in --output)")
    add(
        "--page", type=Path, metavar="FILE", help="Markdown page whose tables are replaced, such as docs/performance.md"
    )
    add("--record", type=Path, metavar="FILE", help="show and draw this record instead of measuring")
    return parser


def _measure(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure part by part and return the record; the file is rewritten after each part."""
    from clipose_ros.benchmark.machine import describe_machine  # imports torch, which --help and --record do not need

    # wrong options raise here, before the first measurement
    config = NetworkConfig(
        options.model, options.device, options.threads, options.engine, TtaConfig(options.max_passes)
    )
    run = _BenchmarkRun(options, config, live_cases(options, config), console)
    options.output.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"format": FORMAT, "machine": describe_machine(), "looks": config.tta.max_passes}
    for part in options.only or _PARTS:
        console.print(f"measuring: {part}", highlight=False)
        record[part] = list(_PARTS[part](run))
        write_record(record, options.json or options.output / "benchmark.json")
    return record


def _show_and_draw(record: dict[str, Any], options: argparse.Namespace, console: Console) -> None:
    """Print the tables, draw the plot and update the page of ``--page``."""
    from clipose_ros.benchmark.markdown_page import update_page
    from clipose_ros.benchmark.plot import plot_record

    console.print(machine_line(record), highlight=False)
    for result in build_tables(record):
        console.print(_to_rich_table(result))
    options.output.mkdir(parents=True, exist_ok=True)
    plot_record(record, options.output / "benchmark.png")
    if options.page:
        update_page(options.page, record)


def _to_rich_table(result: ResultTable) -> Table:
    table = Table(title=result.title, title_justify="left")
    for number, name in enumerate(result.head):
        table.add_column(name, justify="right" if number else "left")
    for row in result.rows:
        table.add_row(*row)
    return table


def _network(run: _BenchmarkRun) -> _Rows:
    from clipose_ros.benchmark.inputs import BenchmarkInputs
    from clipose_ros.benchmark.network import (
        Grid,
        build_paper_network,
        create_entry,
        load_shipped_network,
        time_networks,
    )

    config = run.network
    entries = [
        create_entry(config.model, partial(load_shipped_network, config.model), config.device, config.threads),
        create_entry("paper's widths", build_paper_network, config.device, config.threads),
    ]
    for name, reason in entries[0].unavailable.items():
        run.console.print(f"not measured: {name}: {reason}", highlight=False, markup=False, soft_wrap=True)
    results = time_networks(entries, BenchmarkInputs.rendered(), Grid(budget_s=run.options.budget))
    return (result.as_record() for result in results)


def _start(run: _BenchmarkRun) -> _Rows:
    from clipose_ros.benchmark.startup import time_start

    config = run.network
    for cache, repeats in (("on disk", 3), ("none", 1)):
        timing = time_start(config, cache == "none", repeats)
        yield {"model": config.model, "engine": config.engine, "cache": cache, **asdict(timing)}


def _stages(run: _BenchmarkRun) -> _Rows:
    from clipose_ros.benchmark.frame_stages import frame_stages, process_frame, segmentation_stage
    from clipose_ros.benchmark.inputs import BenchmarkInputs
    from clipose_ros.benchmark.timing import time_call
    from clipose_ros.config import SegmentationConfig, nest
    from clipose_ros.inference.predictor import Predictor
    from clipose_ros.ros_tools.message_benchmark import message_stages

    options, inputs = run.options, BenchmarkInputs.rendered()
    predictor = Predictor.from_config(run.network)
    processed = process_frame(inputs, predictor)
    calls: dict[str, Callable[[], object]] = frame_stages(inputs, predictor, processed)
    calls |= message_stages(inputs.frame, processed.tracks)
    for segmenter in options.segmenter:
        settings = SegmentationConfig.from_mapping(nest(segmenter_settings(segmenter))["segmentation"])
        name = f"segmentation, {_segmenter_label(segmenter)}"
        calls[name] = segmentation_stage(settings, predictor.categories, predictor.device, inputs)
    for stage, call in calls.items():
        yield {"stage": stage, **asdict(time_call(call, options.budget))}


def _training(run: _BenchmarkRun) -> _Rows:
    from clipose_ros.benchmark.training import time_training

    return (result.as_record() for result in time_training())


def _live(run: _BenchmarkRun) -> _Rows:
    for number, case in enumerate(run.cases):
        yield run_live(case, run.options.output / f"live_{number}").as_record()


def live_cases(options: argparse.Namespace, config: NetworkConfig) -> list[LiveCase]:
    """Return a case with label images for each number of objects and, for the largest, one for each segmenter."""
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


_PARTS: dict[str, Callable[[_BenchmarkRun], _Rows]] = {
    "network": _network,
    "stages": _stages,
    "start": _start,
    "training": _training,
    "live": _live,
}

if __name__ == "__main__":
    sys.exit(main())
