"""``benchmark``: how fast it is here, stage by stage and end to end, beside the plain network in the same run.

Writes ``benchmark.json``, ``benchmark.png`` and the logs of the processes. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from clipose_ros.benchmark.result_tables import ResultTable, machine_line, sheets
from clipose_ros.cli.live_benchmark import LiveCase, run_live
from clipose_ros.cli.live_system import live_environment, set_parameters
from clipose_ros.cli.node_settings import SEGMENTERS, segmenter_settings
from clipose_ros.cli.option_rules import add_renamed_flag
from clipose_ros.cli.subprocesses import ended_by_signals
from clipose_ros.config import NetworkConfig, TtaConfig, config_fields
from clipose_ros.errors import CliposeError, ConfigError

FORMAT = "clipose_ros benchmark/2"
"""Names the layout of the record; it changes where a figure's meaning or name does."""
_USUAL = NetworkConfig()
_Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class _Run:
    """What every part is told."""

    options: argparse.Namespace
    config: NetworkConfig
    cases: Sequence[LiveCase]
    console: Console


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    console = Console()
    console.width = max(console.width, 160)  # a pipe claims 80 columns
    # As the node is launched, and before torch loads: threads that wait for each other sleep.
    os.environ.setdefault("OMP_WAIT_POLICY", live_environment()["OMP_WAIT_POLICY"])
    with ended_by_signals():
        try:
            record = _read(options.record) if options.record else _measured(options, console)
            _tell(record, options, console)
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
        choices=tuple(_SECTIONS),
        metavar="PART",
        help=f"of {', '.join(_SECTIONS)}; all if left out",
    )
    add("--model", default="clipose_small", help="pose network: a shipped name or a file (clipose_small)")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add(
        "--engine",
        default="auto",
        help="engine of the network in the stages and end to end, built-in or installed (auto)",
    )
    add("--max-passes", type=int, default=_USUAL.tta.max_passes,
        help=f"test-time augmentation passes, in stages and end to end ({_USUAL.tta.max_passes})")  # fmt: skip
    add_renamed_flag(parser, "--looks", "--max-passes")
    add("--threads", type=int, default=0, help="CPU threads of the network; 0 leaves the choice to the libraries")
    add("--budget", type=float, default=0.7, metavar="S", help="seconds for each figure of network and stages (0.7)")
    add("--objects", type=int, nargs="+", default=[1, 3, 5], metavar="N", help="on the table, end to end (1 3 5)")
    add("--minutes", type=float, default=0.2, metavar="M", help="watched with each, end to end (0.2); 10 for memory")
    add("--rate", type=float, default=30.0, metavar="HZ", help="images per second, end to end (30)")
    add("--frames", type=int, default=12, metavar="N", help="images that the camera renders and replays (12)")
    add(
        "--segmenter", action="append", default=[], metavar="WHICH",
        help=f"also time this as a stage and end to end: {SEGMENTERS}; may be repeated",
    )  # fmt: skip
    add(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="a parameter of the pose node, end to end; may be repeated",
    )  # fmt: skip
    add("--output", type=Path, default=Path("benchmark_output"), metavar="DIR", help="where results go")
    add("--json", type=Path, metavar="FILE", help="where the record goes (benchmark.json in --output)")
    add("--page", type=Path, metavar="FILE", help="also put the figures into this page, such as docs/performance.md")
    add("--record", type=Path, metavar="FILE", help="measure nothing, but show and draw this record")
    return parser


def _read(path: Path) -> dict[str, Any]:
    """A record that an earlier run wrote."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"--record must be a file that --json wrote, got '{path}': {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ConfigError(f"--record must be of format '{FORMAT}', got '{path}'")
    return record


def _measured(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure part by part; the record on disk grows with each."""
    from clipose_ros.benchmark.machine import describe_machine  # loads torch, which --help and --record need not

    # Wrong options are told before anything is timed.
    config = NetworkConfig(
        options.model, options.device, options.threads, options.engine, TtaConfig(options.max_passes)
    )
    run = _Run(options, config, live_cases(options, config), console)
    options.output.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"format": FORMAT, "machine": describe_machine(), "looks": config.tta.max_passes}
    for part in options.only or _SECTIONS:
        console.print(f"measuring: {part}", highlight=False)
        record[part] = list(_SECTIONS[part](run))
        _save(record, options)
    return record


def _save(record: dict[str, Any], options: argparse.Namespace) -> None:
    path = options.json or options.output / "benchmark.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _tell(record: dict[str, Any], options: argparse.Namespace, console: Console) -> None:
    """Tables here, the plot beside the record, and the page where one was named."""
    from clipose_ros.benchmark.markdown_page import update_page
    from clipose_ros.benchmark.plot import plot

    console.print(machine_line(record), highlight=False)
    for sheet in sheets(record):
        console.print(_rendered(sheet))
    options.output.mkdir(parents=True, exist_ok=True)
    plot(record, options.output / "benchmark.png")
    if options.page:
        update_page(options.page, record)


def _rendered(sheet: ResultTable) -> Table:
    table = Table(title=sheet.title, title_justify="left")
    for number, name in enumerate(sheet.head):
        table.add_column(name, justify="right" if number else "left")
    for row in sheet.rows:
        table.add_row(*row)
    return table


def _network(run: _Run) -> _Rows:
    from clipose_ros.benchmark.inputs import BenchmarkInputs
    from clipose_ros.benchmark.network import Grid, benchmark_entry, paper_widths, shipped, time_networks

    config = run.config
    entries = [
        benchmark_entry(name, build, config.device, config.threads)
        for name, build in ((config.model, shipped(config.model)), ("paper's widths", paper_widths))
    ]
    for name, reason in entries[0].absent.items():
        run.console.print(f"not measured: {name}: {reason}", highlight=False, markup=False, soft_wrap=True)
    return time_networks(entries, BenchmarkInputs.rendered(), Grid(budget_s=run.options.budget))


def _start(run: _Run) -> _Rows:
    from clipose_ros.benchmark.startup import time_start

    config = run.config
    for cache, times in (("on disk", 3), ("none", 1)):
        timing = time_start(config, cache == "none", times)
        yield {"model": config.model, "engine": config.engine, "cache": cache, **asdict(timing)}


def _stages(run: _Run) -> _Rows:
    from clipose_ros.benchmark.frame_stages import frame_stages, posed, segmentation_stage
    from clipose_ros.benchmark.inputs import BenchmarkInputs
    from clipose_ros.benchmark.timing import time_call
    from clipose_ros.config import SegmentationConfig, nest
    from clipose_ros.inference.predictor import Predictor
    from clipose_ros.ros_tools.message_benchmark import message_stages

    options, inputs = run.options, BenchmarkInputs.rendered()
    predictor = Predictor.from_config(run.config)
    seen = posed(inputs, predictor)
    calls: dict[str, Callable[[], object]] = frame_stages(inputs, predictor, seen)
    calls |= message_stages(inputs.frame, seen.tracks)
    for segmenter in options.segmenter:
        settings = SegmentationConfig.from_mapping(nest(segmenter_settings(segmenter))["segmentation"])
        name = f"segmentation, {_short(segmenter)}"
        calls[name] = segmentation_stage(settings, predictor.categories, predictor.device, inputs)
    for stage, call in calls.items():
        yield {"stage": stage, **asdict(time_call(call, options.budget))}


def _training(run: _Run) -> _Rows:
    from clipose_ros.benchmark.training import time_training

    return time_training()


def _live(run: _Run) -> _Rows:
    for number, case in enumerate(run.cases):
        yield run_live(case, run.options.output / f"live_{number}").as_record()


def live_cases(options: argparse.Namespace, config: NetworkConfig) -> list[LiveCase]:
    """Each number of objects with label images, the largest with each real segmenter."""
    network = {field.path: field.value for field in config_fields(config, "network.")}
    node = {**network, **set_parameters(options.settings)}
    camera = {"frames": options.frames}
    seconds = 60.0 * options.minutes
    if seconds <= 0.0:
        raise ConfigError(f"--minutes must be positive, got {options.minutes:g}")
    cases = [LiveCase(count, seconds, options.rate, "labels", node, camera) for count in options.objects]
    most = max(options.objects)
    return cases + [
        LiveCase(most, seconds, options.rate, _short(name), {**segmenter_settings(name), **node}, camera)
        for name in options.segmenter
    ]


def _short(segmenter: str) -> str:
    """``yolo:/path/to/model.onnx`` without its folders."""
    backend, _, weights = segmenter.partition(":")
    return f"{backend} {Path(weights).name}".strip()


_SECTIONS: dict[str, Callable[[_Run], _Rows]] = {
    "network": _network,
    "stages": _stages,
    "start": _start,
    "training": _training,
    "live": _live,
}

if __name__ == "__main__":
    sys.exit(main())
